"""Checks on a Summary: what they see, and that nothing seen is never a pass."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from agentlocust.errors import ConfigError
from agentlocust.failures import Failure, FailureKind
from agentlocust.ledger import Ledger
from agentlocust.records import WARMUP_PHASE, AgentRun, Call, EndReason, Finding, FindingKind, ToolCall
from agentlocust.sketch import Sketch
from agentlocust.sla import due, evaluate, load_checks, parse_check
from agentlocust.summary import CheckResult, Phase, Summary, TestFacts, build_summary, dump_summary, parse_summary
from agentlocust.summary.load_model import Arrivals, ShapeModel
from agentlocust.summary.model import Point
from agentlocust.usage import Usage

PHASES = [Phase(WARMUP_PHASE, 0, 20), Phase("main", 20, 120)]


def a_call(**changes: Any) -> Call:
    fields: dict[str, Any] = {"name": "refund", "model": "m", "started": 0.0, "latency": 2.0, "ttft": 0.5}
    return Call(**(fields | {"cost_picousd": 10**10, "usage": Usage(uncached_input=100, output=50)} | changes))


def a_summary(ledger: Ledger, phases: list[Phase] = PHASES) -> Summary:
    facts = TestFacts("t", "a.py", "2026-11-20T10:40:00Z", 120.0, "mock", 1, phases=phases)
    # By way of its file: a check on a finished test is as good as one on a running one.
    return parse_summary(dump_summary(build_summary(ledger, facts)))


def full() -> Ledger:
    """A hundred calls, of which two failed and one was cut; ten in the warm-up, far slower."""
    ledger = Ledger()
    for number in range(97):
        ledger.add_call(a_call(labels=(("tenant", "ab"[number % 2]),), good=number < 50), number)
    for _ in range(2):
        ledger.add_call(a_call(latency=0.002, failure=Failure(FailureKind.RESET, "gone")), 98)
    ledger.add_call(a_call(name="search", latency=4.0, ttft=1.0), 99)
    ledger.add_call(a_call(failure=Failure(FailureKind.CANCELLED, "")), 119)
    for _ in range(10):
        ledger.add_call(a_call(phase=WARMUP_PHASE, latency=60.0, ttft=30.0), 1)
    for number in range(10):
        ledger.add_tool(ToolCall("lookup", 0.0, 0.1, error="" if number else "boom"))
        run = AgentRun("refund", 0.0, 10.0, calls=9, tool_calls=1, usage=Usage(output=900), cost_picousd=10**11)
        ledger.add_run(run, 5)
    ledger.add_metric("docs_found", 7, "refund", "main", (("tenant", "a"),))
    ledger.add_metric("docs_found", 9, "refund", "main")
    ledger.count("task_errors", 3)
    return ledger


def check(text: str, summary: Summary) -> CheckResult:
    (result,) = evaluate([parse_check(text, own_metrics=["docs_found"])], summary)
    return result


@pytest.mark.parametrize(
    ("text", "observed", "samples"),
    [
        ("p50(latency) < 3s", 2.0, 98),
        ("max(latency) < 5s", 4.0, 98),
        ("p99.9(ttft){name=refund} < 1s", 0.5, 97),
        ("mean(latency){name=search} < 5s", 4.0, 1),
        ("count(ttft){tenant=a} == 49", 49.0, 49),
        ("max(ttft){phase=warm-up} < 1m", 30.0, 10),
        ("max(failed_latency) < 1s", 0.002, 2),
        ("error_rate < 5%", 0.02, 100),
        ("sum(calls) == 100", 100.0, 101),
        ("sum(failed) <= 2", 2.0, 101),
        ("sum(cancelled) <= 1", 1.0, 101),
        ("rate(calls) > 0.5/s", 1.0, 101),
        ("throughput > 0.5/s", 0.98, 100),
        ("goodput > 0.4/s", 0.5, 100),
        ("sum(cost) < $2", 1.01, 101),
        ("rate(cost) < $0.02/s", 0.0101, 101),
        ("mean(call_cost) < $0.02", 0.01, 100),
        ("sum(tokens) > 100", 15_150.0, 101),
        ("mean(run_cost) < $0.2", 0.1, 10),
        ("mean(run_tokens) < 1000", 900.0, 10),
        ("max(run_calls) < 10", 9.0, 10),
        ("p95(run_latency) < 11s", 10.0, 10),
        ("sum(runs) == 10", 10.0, 10),
        ("tool_error_rate < 20%", 0.1, 10),
        ("p95(tool_latency) < 1s", 0.1, 9),
        ("sum(task_errors) < 4", 3.0, 3),
        ("sum(other_failed) <= 0", 0.0, 1),
        ("mean(docs_found) > 7", 8.0, 2),
        ("max(docs_found){tenant=a} < 8", 7.0, 1),
        ("rate(docs_found) < 1/s", 0.16, 2),
    ],
)
def test_a_check_sees_exactly_its_rows(text: str, observed: float, samples: int) -> None:
    """Filters narrow it down, warm-up is left out unless named, and rates are over the time it took."""
    result = check(text, a_summary(full()))
    assert (result.observed, result.samples, result.ok) == (pytest.approx(observed, rel=0.0101), samples, True)
    assert result.reason == ""


@pytest.mark.parametrize(
    ("text", "observed_text", "margin", "reason"),
    [
        ("max(latency) < 2s", "4.00 s", -1.0, "100% over the limit"),
        ("max(latency) < 4s", "4.00 s", 0.0, "at the limit"),
        ("rate(calls) > 4/s", "1/s", -0.75, "75.0% under the limit"),
        ("sum(task_errors) <= 0", "3", None, "not <= 0"),
        ("sum(failed) == 3", "2", None, "not == 3"),
        ("sum(cost) < $1", "$1.01", -0.01, "1.0% over the limit"),
        ("error_rate < 1%", "2.0%", -1.0, "100% over the limit"),
    ],
)
def test_a_failed_check_says_by_how_much(text: str, observed_text: str, margin: float | None, reason: str) -> None:
    """Observed, limit and margin are there to print."""
    result = check(text, a_summary(full()))
    assert (result.ok, result.observed_text, result.reason) == (False, observed_text, reason)
    assert result.margin == (None if margin is None else pytest.approx(margin))


@pytest.mark.parametrize(
    "text",
    [
        "p95(ttft) < 2s", "error_rate < 1%", "sum(failed) <= 0", "rate(calls) >= 0/s", "throughput >= 0/s",
        "goodput >= 0/s", "sum(cost) < $1", "mean(run_cost) < $1", "run_error_rate < 1%", "max(docs_found) < 1",
        "tool_error_rate < 1%", "count(latency) >= 0",
    ],
)  # fmt: skip
def test_no_samples_is_no_pass(text: str) -> None:
    """A check that saw nothing fails and says so, in an empty test and under a filter that matches nothing."""
    assert (check(text, a_summary(Ledger())).ok, check(text, a_summary(Ledger())).reason) == (False, "no samples")
    left, right = text.split(" ", 1)
    assert check(f"{left}{{name=gone}} {right}", a_summary(full())).reason == "no samples"


def test_all_calls_failed_is_no_pass() -> None:
    """Where nothing succeeded, percentiles have no samples and the error rate is 100%."""
    ledger = Ledger()
    ledger.add_call(a_call(failure=Failure(FailureKind.CONNECT, "refused")), 1)
    summary = a_summary(ledger)
    assert check("p95(latency) < 9s", summary).reason == "no samples"
    assert check("error_rate < 1%", summary).observed == 1.0


def test_cut_calls_are_in_no_error_rate() -> None:
    """Only cancelled calls: nothing completed, so there is nothing to judge."""
    ledger = Ledger()
    ledger.add_call(a_call(failure=Failure(FailureKind.CANCELLED, "")), 1)
    assert check("error_rate < 1%", a_summary(ledger)).reason == "no samples"


def test_min_samples_must_be_reached() -> None:
    """A good number from too few samples is not a pass."""
    checks = load_checks([{"check": "p95(ttft) < 2s", "min_samples": 99}, "error_rate < 9%"])
    first, second, _ = evaluate(checks, a_summary(full()))
    assert (first.ok, first.reason) == (False, "98 of 99 samples needed")
    assert second.ok


@pytest.mark.parametrize("text", ["sum(cost) < $9", "mean(call_cost) < $9", "max(run_cost) < $9", "rate(cost) < $9/s"])
def test_an_unknown_price_is_no_pass(text: str) -> None:
    """A cost of which a part is unknown is never below a limit; the model is named."""
    ledger = full()
    ledger.add_call(a_call(model="acme/llama", cost_picousd=None), 1)
    ledger.add_run(AgentRun("refund", 0.0, 1.0, cost_picousd=None), 1)
    result = check(text, a_summary(ledger))
    assert (result.ok, result.observed, result.reason) == (False, None, "no price for acme/llama")
    if "run" not in text:
        left, right = text.split(" ", 1)
        assert check(f"{left}{{model=m}} {right}", a_summary(ledger)).ok


def test_a_phase_of_no_length_has_no_rate() -> None:
    """Dividing by no time is a failure with a reason, not a crash."""
    result = check("rate(calls){phase=main} > 1/s", a_summary(full(), [Phase("main", 5, 5)]))
    assert (result.ok, result.reason) == (False, "no time passed")


@pytest.mark.parametrize(
    ("kind", "text"), [("call", "error_rate < 1%"), ("run", "run_error_rate < 1%"), ("tool", "tool_error_rate < 1%")]
)
def test_the_default_check_looks_at_what_the_test_has(kind: str, text: str) -> None:
    """A test of black-box agents has no calls; its default check is on runs, not a failure."""
    ledger = Ledger()
    if kind == "call":
        ledger.add_call(a_call(), 1)
    if kind in ("call", "run"):
        ledger.add_run(AgentRun("a", 0.0, 1.0), 1)
    ledger.add_tool(ToolCall("lookup", 0.0, 0.1))
    results = evaluate(load_checks(["p95(tool_latency) < 1s"]), a_summary(ledger))
    assert [(result.check, result.ok, result.default) for result in results[1:]] == [
        (text, True, True), ("sum(task_errors) <= 0", True, True),
    ]  # fmt: skip


def test_an_aborting_check_is_due_when_it_is_violated() -> None:
    """It waits for its time and for samples, and one that is kept to is never due."""
    forms = [
        {"check": "error_rate < 1%", "abort": True, "after": "30s"},
        {"check": "error_rate < 50%", "abort": True},
        {"check": "max(latency) < 1s", "abort": True, "min_samples": 99},
        {"check": "max(latency) < 1s", "abort": False},
        {"check": "p95(tool_latency){name=gone} < 1s", "abort": True},
    ]
    checks = load_checks(forms)
    assert due(checks, a_summary(full()), 29.0) == []
    assert [result.check for result in due(checks, a_summary(full()), 30.0)] == ["error_rate < 1%"]
    assert due(checks, a_summary(Ledger()), 30.0) == []


def over_time(**fields: Any) -> Summary:
    """The usual test with a series, a monitor, arrivals or a shape."""
    return parse_summary(dump_summary(a_summary(full()).model_copy(update=fields)))


def climbing(start: float, end: float, seconds: range = range(120)) -> list[list[float]]:
    return [[t, start + (end - start) * t / 119] for t in seconds]


MONITOR = {
    "subjects": {
        "target:8000": {
            "memory": {"points": climbing(1e8, 2e8), "high": [3e8] * 120},
            "cpu": {"points": [[t, 500 + t] for t in range(120)]},
            "fds": {"points": climbing(10, 10)},
        },
        "target:db": {"memory": {"points": climbing(1e8, 1e8)}},
        "generator:a": {"memory": {"points": climbing(5e7, 5e7)}, "cpu": {"points": climbing(300, 300)}},
        "generator:b": {"memory": {"points": climbing(5e7, 5e7)}, "cpu": {"points": climbing(700, 700)}},
        "machine": {"memory": {"points": climbing(9e9, 9e9)}},
    }
}


@pytest.mark.parametrize(
    ("text", "observed"),
    [
        ("max(memory){subject=target:8000} < 400MB", 3e8),
        ("max(memory){subject=db} < 400MB", 1e8),
        ("mean(memory) < 400MB", 2e8 + 1e8 * 69.5 / 119),
        ("min(memory){phase=warm-up} < 400MB", 2e8),
        ("growth(memory){subject=8000} < 90%", 0.714),
        ("growth(memory) < 50%", 0.384),
        ("growth(memory){subject=db} < 1%", 0.0),
        ("p50(cpu) < 80%", 0.569),
        ("max(fds) < 20", 10.0),
        ("mean(generator_memory) < 200MB", 1e8),
        ("max(generator_cpu) < 80%", 0.7),
    ],
)
def test_a_check_sees_what_was_watched(text: str, observed: float) -> None:
    """Targets together or one of them; the generator's processes by themselves; CPU in cores; warm-up left out."""
    result = check(text, over_time(monitor=MONITOR))
    assert (result.observed, result.ok) == (pytest.approx(observed, rel=0.01, abs=1e-9), True)


@pytest.mark.parametrize(
    ("text", "monitor", "reason"),
    [
        ("growth(memory) < 20%", {}, "nothing was watched: give --watch"),
        ("max(cpu) < 20%", {"subjects": {"machine": {}, "generator:a": {}}}, "nothing was watched: give --watch"),
        ("max(memory){subject=gone} < 1GB", MONITOR, "no samples"),
        ("max(threads) < 5", MONITOR, "no samples"),
        ("growth(threads) < 5%", MONITOR, "no samples"),
        (
            "growth(fds) < 5%",
            {"subjects": {"target:a": {"fds": {"points": [[30, 1], [31, 1]]}}}},
            "2 points in time, a trend needs 8",
        ),
        (
            "growth(fds) < 5%",
            {"subjects": {"target:a": {"fds": {"points": climbing(0, 0)}}}},
            "it began at nothing, so it has no growth",
        ),
    ],
)
def test_nothing_watched_is_no_pass(text: str, monitor: dict[str, Any], reason: str) -> None:
    """A check without data says what is missing, and ends no test."""
    summary = over_time(monitor=monitor)
    result = check(text, summary)
    assert (result.ok, result.observed, result.reason) == (False, None, reason)
    if result.samples == 0:
        assert due([dataclasses.replace(parse_check(text), abort=True)], summary, 60.0) == []


@pytest.mark.parametrize(
    ("text", "observed"),
    [
        ("growth(latency) < 100%", 0.82),
        ("growth(ttft) < 1%", 0.0),
        ("growth(error_rate) < 9%", 0.083),
        ("growth(ttft){phase=main} < 1%", 0.0),
    ],
)
def test_growth_is_of_the_line_through_the_series(text: str, observed: float) -> None:
    """A share of its start; of the error rate, which may start at none, the difference itself."""
    series = [
        Point(t=t, calls=1000, failed=t, latency_p50=1 + t / 100 if t != 119 else 1e9, ttft_p50=0.2)
        for t in range(20, 120)
    ]
    assert check(text, over_time(series=series)).observed == pytest.approx(observed, abs=0.02)
    assert check(text, over_time(series=[])).reason == "no samples"


def test_arrivals_are_seen_by_user_class() -> None:
    """How late they began, how many were offered, how many found nobody free."""
    lag = Sketch()
    lag.extend([10**6] * 99 + [10**9])
    rows = [
        Arrivals(name="Support", phase="main", seconds=100, offered=110, started=100, late=10, sketch=lag.encode()),
        Arrivals(name="Sales", phase="main", seconds=100, offered=10, started=0, late=10),
        Arrivals(name="Support", phase=WARMUP_PHASE, seconds=20, offered=1000, started=1000, late=1000),
    ]
    summary = over_time(arrivals=rows)
    assert check("p50(schedule_lag) < 2ms", summary).ok
    assert check("max(schedule_lag) < 2ms", summary).observed == 1.0
    assert check("sum(arrivals) == 120", summary).ok
    assert check("rate(arrivals) > 1/s", summary).observed == 1.2
    assert check("sum(arrivals_late){name=Support} <= 10", summary).ok
    assert check("p50(schedule_lag){name=Sales} < 1s", summary).reason == "no samples"
    assert check("sum(arrivals_late) <= 0", over_time()).reason == "no samples"


@pytest.mark.parametrize(
    ("text", "metrics", "ok", "reason"),
    [
        ("recovery_time < 10s", {"recovery_time": 4.0}, True, ""),
        ("recovery_time < 3s", {"recovery_time": 4.0}, False, "33.3% over the limit"),
        ("recovery_time < 10s", {"recovery_time": None}, False, "not recovered"),
        ("recovery_time < 10s", {}, False, "no --shape spike in this test"),
        ("recovery_time < 10s", None, False, "no --shape spike in this test"),
        ("capacity >= 40", {"capacity": 42}, True, ""),
        ("capacity >= 40", {"capacity_rate": 42}, False, "this test has capacity_rate instead"),
        ("capacity_rate > 1/s", {"capacity_rate": None}, False, "no load met the SLA"),
        ("breaking_point > 100", {"breaking_point": None}, False, "it did not break"),
        ("breaking_rate > 100/s", {}, False, "no --shape stress in this test"),
    ],
)
def test_what_a_shape_found_can_be_checked(
    text: str, metrics: dict[str, float | None] | None, ok: bool, reason: str
) -> None:
    """A number; looked for in vain and never looked for are two reasons to fail."""
    shape = None if metrics is None else ShapeModel(name="a", load="users", metrics=metrics)
    result = check(text, over_time(shape=shape))
    assert (result.ok, result.reason) == (ok, reason)


def test_metrics_of_runs_are_read_from_their_rows() -> None:
    """What a run cost where half of them failed, what agents repeat, what a judge costs: each a check."""
    ledger = Ledger()
    for number in range(10):
        error = "wrong" if number % 2 else ""
        reason = EndReason.CHECK_FAILED if error else EndReason.FINAL
        found = (Finding(FindingKind.LOOP, "x"),) if number < 3 else ()
        run = AgentRun(
            "refund", 0.0, 4.0, calls=2, attempts=3, turns=2, tool_calls=1, usage=Usage(output=50), cost_picousd=10**11,
            context_max=900, context_growth=40.4, ttft=0.5, ttfo=1.0, ttfe=0.25, first_tool=0.75,
            end_reason=reason, error=error, scores=(number / 10,), hand_offs=("b", "c"), findings=found, id=number,
        )  # fmt: skip
        ledger.add_run(run, 1)
        ledger.add_call(a_call(attempts=1 + (number == 0) * 5, usage=Usage(uncached_input=300, cache_read=100)), 1)
    ledger.add_run(AgentRun("refund", 0.0, 9.0, abandoned=True, usage=Usage(output=77)), 1)
    ledger.add_judgement(a_call(name="judge", cost_picousd=3 * 10**11))
    summary = a_summary(ledger)
    expected = {
        "max(run_ttft) < 1s": 0.5, "max(run_ttfo) < 1s": 1.0, "max(run_ttfe) < 1s": 0.25,
        "max(run_first_tool) < 1s": 0.75,
        "max(run_steps) < 9": 3, "max(run_turns) < 9": 2, "max(run_context) < 900": 900, "max(context_growth) < 50": 40,
        "mean(run_score) > 0.4": 0.45, "run_error_rate < 1%": 0.5, "cost_per_success < $0.1": 0.2,
        "amplification < 1.2": 1.5, "cached_share > 20%": 0.25, "sum(hand_offs) < 9": 20, "sum(findings) == 0": 3,
        "sum(runs_abandoned) < 9": 1, "sum(abandoned_tokens) < 9": 77, "sum(judge_calls) < 9": 1,
        "sum(judge_failed) < 1": 0, "sum(judge_cost) < $1": 0.3, "max(judge_latency) < 9s": 2.0,
    }  # fmt: skip
    for text, number in expected.items():
        observed = check(text, summary).observed
        assert observed is not None, text
        assert observed == pytest.approx(number, rel=0.011), text


def test_nothing_that_succeeded_has_no_cost() -> None:
    """It fails the check and says why; unknown prices do as well."""
    ledger = Ledger()
    ledger.add_run(AgentRun("a", 0.0, 1.0, error="no", cost_picousd=5), 0)
    assert check("cost_per_success < $1", a_summary(ledger)).reason == "no run succeeded"
    ledger.add_run(AgentRun("a", 0.0, 1.0, cost_picousd=None), 0)
    assert "price" in check("cost_per_success < $1", a_summary(ledger)).reason
    assert check("amplification < 2", a_summary(ledger)).reason == "no samples"


@pytest.mark.parametrize("text", ["amplification < 20%", "cost_per_success < 3", "p95(amplification) < 2"])
def test_a_ratio_s_limit_is_in_its_unit(text: str) -> None:
    """Tries a call are a number, dollars a success dollars; neither has percentiles."""
    with pytest.raises(ConfigError):
        parse_check(text)


@pytest.mark.parametrize(
    ("text", "observed"),
    [
        ("sum(runs) == 2", 2),
        ("sum(runs_inside) == 4", 4),
        ("sum(runs_failed) == 1", 1),
        ("run_error_rate == 50%", 0.5),
        ("cost_per_success == $2", 2),
        ("sum(runs){name=ask} == 4", 4),
        ("run_error_rate{name=ask} == 25%", 0.25),
        ("count(run_latency) == 4", 4),
        ("sum(sessions) == 2", 2),
        ("sum(session_turns) == 5", 5),
        ("sum(sessions_failed) == 0", 0),
    ],
)
def test_a_run_inside_another_is_no_ask_of_its_own(text: str, observed: float) -> None:
    """Unless a check names it: its money would count twice, and it alone would make half of the rate."""
    ledger = Ledger()
    ledger.count("sessions", 2)
    ledger.count("session_turns", 5)
    for error in ("", "boom"):
        for said in (error, ""):
            ledger.add_run(AgentRun("ask", 0.0, 1.0, error=said, inside=True, cost_picousd=10**11), 0)
        ledger.add_run(AgentRun("visit", 0.0, 3.0, error=error, cost_picousd=10**12), 0)
    result = check(text, a_summary(ledger))
    assert result.observed == observed
    assert result.ok
