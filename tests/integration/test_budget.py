"""A test spends no more than its budget, whatever happens to its processes, and keeps what it measured."""

from __future__ import annotations

import signal
import time
from decimal import Decimal
from typing import Any

import pytest

from harness import MockServer, processes_of, run, wait_until
from sample_locustfiles import chat

MODEL = "gpt-4o"
INPUT, OUTPUT = Decimal("2.5") / 10**6, Decimal(10) / 10**6  # dollars a token, as the provider publishes them
SPEC = "ttft=20ms,itl=1ms,tokens=20"
WITH_WORKERS = ["local", "processes"]


def asker(body: str = 'self.chat("Hello")', *, model: str = MODEL, max_tokens: int | None = 50, more: str = "") -> str:
    """A User that calls a dear model, with other class attributes in `more`."""
    settings = f'model = "{model}"\n    max_tokens = {max_tokens}\n    {more}\n    '
    return chat("error_rate < 1%", body=body).replace('model = "gpt-4o-mini"\n    ', settings)


def cost(truth: dict[str, Any]) -> Decimal:
    """What the mock's replies cost, also those that were cut; it caches nothing here."""
    output = truth["tokens"]["output"] + truth["aborted_tokens"]["output"]
    return truth["tokens"]["input"] * INPUT + output * OUTPUT


@pytest.mark.parametrize("way", WITH_WORKERS)
def test_the_budget_of_a_test_is_kept_and_nearly_used(tmp_path, mock_server, way):
    """It ends with 5 before its time, having spent what the truth says, all calls kept, little money left."""
    server = mock_server(SPEC)
    result = run(tmp_path, asker(), "--budget", "$0.01", "--host", server.url, way=way, users=20, run_time="40s")
    result.expect(5)
    truth, totals, budget = server.final_truth(), result.summary["totals"], result.summary["budget"]
    assert Decimal("0.009") < cost(truth) <= Decimal("0.01")
    assert Decimal(budget["spent_usd"]) == Decimal(totals["cost_usd"]) == cost(truth)
    assert totals["calls"] == truth["requests"] == truth["completed"]
    assert Decimal(budget["unknown_usd"]) == Decimal(budget["written_off_usd"]) == 0
    assert Decimal(budget["reserved_peak_usd"]) <= Decimal("0.01")
    assert result.duration_s < 30
    assert result.summary["verdict"]["reasons"] == [f"stopped by the budget: {budget['stopped']}"]
    assert "of $0.01 is spent, and the next call may cost $" in budget["stopped"]


@pytest.mark.parametrize("way", WITH_WORKERS)
def test_a_budget_that_is_not_used_up_changes_nothing(tmp_path, mock_server, way):
    """The test runs its time and is judged as any other; what it spent is told."""
    server = mock_server(SPEC)
    result = run(tmp_path, asker(), "--budget", "$50", "--host", server.url, way=way).expect(0)
    truth, budget = server.final_truth(), result.summary["budget"]
    assert Decimal(budget["spent_usd"]) == cost(truth) > 0
    assert (budget["waited_calls"], budget["refused_calls"], budget["stopped"]) == (0, 0, "")


def test_replies_that_are_cut_count_as_their_worst_case(tmp_path, mock_server):
    """Nobody tells what a call cost that the end of the test cut: the truth is no more than what was written down."""
    server = mock_server("ttft=50ms,itl=100ms,tokens=50")
    code = asker()
    result = run(tmp_path, code, "--budget", "$5", "--host", server.url, users=5, run_time="2s", stop_timeout="0")
    truth, budget = server.final_truth(), result.summary["budget"]
    assert result.summary["totals"]["cancelled"] == truth["aborted"] > 0
    assert 0 < cost(truth) <= Decimal(budget["spent_usd"]) <= 5
    assert Decimal(budget["unknown_usd"]) > 0


@pytest.mark.parametrize("way", WITH_WORKERS)
def test_a_rate_of_spending_is_kept_without_ending_the_test(tmp_path, mock_server, way):
    """$0.30 a minute: a tenth at once, the rest as time passes; calls wait, none fails, the test runs its time."""
    server = mock_server(SPEC)
    args = ("--budget", "$0.30/min", "--host", server.url)
    result = run(tmp_path, asker(), *args, way=way, users=20, run_time="6s").expect(0)
    spent, seconds = cost(server.final_truth()), Decimal(str(result.duration_s))
    assert Decimal("0.03") < spent <= Decimal("0.03") + Decimal("0.005") * seconds
    assert result.summary["budget"]["waited_calls"] > 0


IN_RUNS = """with self.agent_run("job") as run:
                    for _ in range(9):
                        self.chat("Hello")"""


@pytest.mark.parametrize("how", ["option", "class"])
def test_a_run_may_not_spend_more_than_its_own_budget(tmp_path, mock_server, how):
    """The call that does not fit is never sent: the run ends with reason budget, others go on."""
    server = mock_server(SPEC)
    args = ("--budget", "$0.002/run") if how == "option" else ()
    code = asker(IN_RUNS, more='run_budget = "$0.002"' if how == "class" else "")
    result = run(tmp_path, code, *args, "--host", server.url)
    truth, totals = server.final_truth(), result.summary["totals"]
    (row,) = [row for row in result.summary["rows"] if row["kind"] == "AGENT"]
    assert totals["calls"] == truth["requests"]
    assert totals["failed"] == 0
    assert result.summary["budget"]["refused_calls"] > 0
    assert row["ends"]["budget"] == row["count"] > 0
    assert cost(truth) <= Decimal("0.002") * (row["count"] + row["cancelled"])


def test_a_model_without_a_price_is_refused_before_any_load(tmp_path, mock_server):
    """Exit 2 and a hint, where the class names it; nothing was sent."""
    server = mock_server(SPEC)
    result = run(tmp_path, asker(model="gpt-4q"), "--budget", "$1", "--host", server.url).expect(2)
    assert "the model 'gpt-4q' has no price, so no budget can be kept" in result.stderr
    assert "--pricing FILE" in result.stderr
    assert "Traceback" not in result.output
    assert server.truth()["requests"] == 0


@pytest.mark.parametrize("way", WITH_WORKERS)
def test_a_model_without_a_price_that_only_a_call_names_ends_the_test(tmp_path, mock_server, way):
    """It is not sent; the test ends with 5 and says which it was."""
    server = mock_server(SPEC)
    code = asker('self.chat("Hello", model="nobody-knows-9")')
    result = run(tmp_path, code, "--budget", "$1", "--host", server.url, way=way, run_time="40s").expect(5)
    assert server.truth()["requests"] == 0
    assert "'nobody-knows-9' has no price" in result.output


JUDGED = """with self.agent_run("job") as run:
                    self.chat("Hello")
                    run.score(judge, threshold=0)"""


def judged(host: str, *, judge: str = MODEL, more: str = "") -> str:
    """Runs that a model judges."""
    made = f'judge = Judge("{judge}", "Was it right?", judge_host="{host}")'
    return f"from agentlocust.users.judge import Judge\n\n{made}\n" + asker(JUDGED, more=more)


@pytest.mark.parametrize("way", WITH_WORKERS)
def test_judges_are_paid_from_the_same_budget(tmp_path, mock_server, way):
    """What both servers did is no more than it, and nearly all of it."""
    target, bench = mock_server(SPEC), mock_server(SPEC)
    args = ("--budget", "$0.05", "--host", target.url)
    result = run(tmp_path, judged(bench.url), *args, way=way, users=4, run_time="40s").expect(5)
    asked, heard = target.final_truth(), bench.final_truth()
    totals, budget = result.summary["totals"], result.summary["budget"]
    assert Decimal("0.03") < cost(asked) + cost(heard) <= Decimal(budget["spent_usd"]) <= Decimal("0.05")
    assert totals["judge_calls"] == heard["completed"] > 0
    assert Decimal(totals["judge_cost_usd"]) == cost(heard)
    assert Decimal(budget["spent_usd"]) - Decimal(budget["unknown_usd"]) == cost(asked) + cost(heard)


def test_a_budget_of_runs_is_not_the_judges(tmp_path, mock_server):
    """A run that has room for its own call alone is judged all the same."""
    target, bench = mock_server(SPEC), mock_server(SPEC)
    code = judged(bench.url, judge="nobody-knows-9", more='run_budget = "$0.002"')
    result = run(tmp_path, code, "--host", target.url).expect(0)
    assert result.summary["totals"]["judge_calls"] == bench.final_truth()["completed"] > 0
    assert result.summary["budget"]["refused_calls"] == 0


@pytest.mark.parametrize("way", WITH_WORKERS)
def test_a_judge_without_a_price_is_refused_before_any_load(tmp_path, mock_server, way):
    """Exit 2, with its own place."""
    server = mock_server(SPEC)
    code = judged(server.url, judge="gpt-4q")
    result = run(tmp_path, code, "--budget", "$1", "--host", server.url, way=way).expect(2)
    assert "Judge.model: the model 'gpt-4q' has no price" in result.stderr
    assert "Traceback" not in result.output
    assert server.truth()["requests"] == 0


def test_a_judge_without_a_price_that_only_a_run_makes_ends_the_test(tmp_path, mock_server):
    """It is not asked; exit 5."""
    server, bench = mock_server(SPEC), mock_server(SPEC)
    made = judged(bench.url, judge="gpt-4q").replace("judge = Judge(", "make = lambda: Judge(")
    code = made.replace("score(judge,", "score(make(),")
    result = run(tmp_path, code, "--budget", "$1", "--host", server.url, run_time="40s").expect(5)
    assert bench.truth()["requests"] == 0
    assert "'gpt-4q' has no price" in result.output


def test_a_call_without_a_limit_counts_with_its_models_largest_output(tmp_path, mock_server):
    """16,384 tokens of gpt-4o are $0.16: such a call does not fit into $0.10, and the start says so."""
    server = mock_server(SPEC)
    result = run(tmp_path, asker(max_tokens=None), "--budget", "$0.10", "--host", server.url, run_time="40s").expect(5)
    assert server.truth()["requests"] == 0
    assert "without max_tokens a call of Chat may cost $0.16, more than the budget" in result.stderr
    said = "stopped by the budget: $0 of $0.1 is spent, and the next call may cost $0.16"
    assert result.summary["verdict"]["reasons"] == [said]
    shown = " ".join(result.stdout.split())  # as words: the console folds its lines
    assert f"BUDGET {said} observed limit" in shown


def test_a_killed_worker_does_not_lift_the_budget(start, mock_server):
    """What it held counts as spent; with the others' calls the truth stays within."""
    server = mock_server("ttft=300ms,itl=1ms,tokens=20")  # so that it always has calls under way
    test = start(asker(), "--budget", "$0.05", "--host", server.url, way="processes", users=20, run_time="60s")
    wait_until(lambda: server.truth()["requests"] >= 20, "twenty requests")
    test.worker_processes()[0].kill()
    result = test.finish()
    budget = result.summary["budget"]
    assert Decimal(budget["written_off_usd"]) > 0
    assert 0 < cost(server.final_truth()) <= Decimal(budget["spent_usd"]) <= Decimal("0.05")


@pytest.mark.parametrize("way", ["processes", pytest.param("distributed", marks=pytest.mark.long)])
def test_a_killed_master_does_not_lift_the_budget(start, tmp_path, way):
    """Workers go on until they miss it, within their slices, and end."""
    with MockServer(tmp_path, SPEC) as server:
        test = start(asker(), "--budget", "$0.05", "--host", server.url, way=way, users=20, run_time="100s")
        wait_until(lambda: server.truth()["requests"] >= 20, "twenty requests")
        test.main.send_signal(signal.SIGKILL)
        test.main.wait()
        time.sleep(1)  # in which they would spend
        wait_until(lambda: not processes_of(test.mark), "the workers to end", 30)  # 10 s, on a busy machine
        assert 0 < cost(server.final_truth()) <= Decimal("0.05")
