"""An agent run under way: its verdict, its end, its steps."""

from __future__ import annotations

import json
from types import SimpleNamespace

import gevent
import pytest
from locust.env import Environment
from locust.event import Events
from locust.exception import StopUser

from agentlocust import dialects
from agentlocust.dialects.base import Decoded, ToolRequest
from agentlocust.errors import ConfigError
from agentlocust.failures import Failure, FailureKind
from agentlocust.pricing import PriceBook
from agentlocust.records import AgentRun, Call, EndReason, FindingKind
from agentlocust.redact import MASK, Scrubber
from agentlocust.usage import Usage
from agentlocust.users.meter import Meter
from agentlocust.users.run import Run, Unjudged

SECRET = "canary-secret-0123456789"
TOOLS = [{"name": "find", "input_schema": {"type": "object", "properties": {"order": {"type": "integer"}}}}]
BODY = json.dumps(
    {"model": "m", "messages": [{"role": "user", "content": f"find it {SECRET}"}], "tools": TOOLS}
).encode()


@pytest.fixture
def user():
    meter = Meter(Environment(events=Events()), PriceBook.load(), Scrubber([SECRET]))
    meter.ledger.captured.keep(10)
    permits = SimpleNamespace(ended=lambda *, cut: None)
    found = SimpleNamespace(meter=meter, current_run=None, load=SimpleNamespace(runs=permits), runs=[])
    found.read_only_tools = ("look_up",)
    found._begin_run = lambda: 0
    found.turns = SimpleNamespace(new_trace=lambda: "0" * 32)
    record = meter.record_run

    def recorded(run: AgentRun) -> None:
        found.runs.append(run)
        record(run)

    meter.record_run = recorded
    return found


def agent_run(user, name="refund"):
    return Run(user, name, dialects.by_name("openai-chat"), ())


def call(**changes):
    fields = {"name": "refund", "model": "gpt-4o-mini", "started": 1.0, "latency": 0.5, "cost_picousd": 5}
    return Call(**(fields | {"usage": Usage(uncached_input=50, output=5)} | changes))


def failed(kind):
    return call(failure=Failure(kind, "no"))


def reply(*tools, text="", arguments='{"order": 1}'):
    return Decoded(text=text, tool_calls=[ToolRequest(f"id{n}", name, arguments) for n, name in enumerate(tools)])


def test_a_run_ends_with_its_answer(user):
    """Sums, first times and steps are in its record."""
    with agent_run(user) as run:
        run.call_ended(call(), reply("find"), BODY)
        with run.tool("find") as tool:
            tool.result = [1, 2, 3]
        run.call_ended(call(started=2.0, ttft=0.25, ttfo=0.25), reply(text="order 42"), BODY)
        assert run.answer == "order 42"
    (record,) = user.runs
    assert (record.end_reason, record.error, record.calls, record.turns, record.tool_calls) == ("final", "", 2, 2, 1)
    assert (record.usage.total, record.cost_picousd, record.context_max, record.context_growth) == (110, 10, 50, 0.0)
    first, second, third = record.steps
    assert [(ask.name, ask.problem) for ask in first.asks] == [("find", "")]
    assert (second.items, second.size, second.arguments) == (3, 9, first.asks[0].digest)
    assert third.repeats
    assert not first.repeats
    assert user.current_run is None


@pytest.mark.parametrize(
    ("ending", "reason", "error"),
    [
        (lambda run: run.call_ended(call(), reply("find"), BODY), "max_turns", ""),
        (lambda run: run.call_ended(call(), reply("final_result"), BODY), "final", ""),
        (lambda run: run.check(ok=False, why="wrong order"), "check_failed", "wrong order"),
        (lambda run: run.call_ended(failed(FailureKind.RESET)), "error", "call failed: reset"),
        (lambda run: run.call_ended(failed(FailureKind.TIMEOUT)), "timeout", "call failed: timeout"),
        (lambda run: run.end("max_turns"), "max_turns", ""),
        (lambda run: run.end("budget", "over $0.05"), "budget", "over $0.05"),
        (lambda run: run.end(EndReason.ABANDONED), "abandoned", ""),
        (lambda run: run.fail("no stock"), "error", "no stock"),
        (lambda run: (run.fail("first"), run.check(ok=False, why="second")), "error", "first"),
    ],
)
def test_why_a_run_ended(user, ending, reason, error):
    """Told by the agent, or seen in what happened; the first failure is the one that is told."""
    with agent_run(user) as run:
        ending(run)
    (record,) = user.runs
    assert (record.end_reason, record.error, record.abandoned) == (reason, error, reason == "abandoned")


class MaxTurnsExceeded(Exception):
    pass


class OverBudget(Exception):
    pass


class APITimeoutError(Exception):
    pass


@pytest.mark.parametrize(
    ("raised", "reason"),
    [
        (MaxTurnsExceeded("10"), "max_turns"),
        (OverBudget("$1"), "budget"),
        (APITimeoutError(""), "timeout"),
        (gevent.Timeout(1), "timeout"),
        (TimeoutError(), "timeout"),
        (KeyError("x"), "error"),
    ],
)
def test_an_exception_ends_a_run_and_goes_on_up(user, raised, reason):
    """Those of frameworks are known by their names."""
    with pytest.raises(type(raised)), agent_run(user):
        raise raised
    (record,) = user.runs
    assert record.end_reason == reason
    assert record.error.startswith(type(raised).__name__)


@pytest.mark.parametrize(("raised", "cancelled"), [(gevent.GreenletExit(), True), (StopUser(), False)])
def test_the_end_of_the_test_is_no_failure(user, raised, cancelled):
    """Nor is Locust's own way of leaving a task."""
    with pytest.raises(type(raised)), agent_run(user):
        raise raised
    (record,) = user.runs
    assert (record.error, record.cancelled, record.end_reason) == ("", cancelled, "cancelled" if cancelled else "final")


@pytest.mark.parametrize(
    ("scorer", "score", "error"),
    [
        (lambda run: run.name == "refund", 1.0, ""),
        (lambda run: False, 0.0, "score 0 is below 0.5"),
        (lambda run: 0.7, 0.7, ""),
        (lambda run: 1 / 0, None, "the scorer raised ZeroDivisionError: division by zero"),
        (lambda run: None, None, "the scorer raised TypeError"),
        (lambda run: float("nan"), None, "the scorer gave nan"),
        (lambda run: 1e300, None, "the scorer gave 1e+300"),
    ],
)
def test_a_scorer_judges(user, scorer, score, error):
    """A bool or a number; below the threshold the run has failed, as it has when the scorer raises."""
    with agent_run(user) as run:
        assert run.score(scorer) == score
    (record,) = user.runs
    assert record.scores == (() if score is None else (score,))
    assert record.error.startswith(error)
    assert bool(record.error) == bool(error)
    assert record.end_reason == ("check_failed" if error else "final")


def test_a_judge_that_is_not_there_fails_nobody(user):
    """No score, no failure; a mistake in its settings is told at once."""

    def silent(run):
        raise Unjudged("no answer")

    def wrong(run):
        raise ConfigError("no host")

    with agent_run(user) as run:
        assert run.score(silent, threshold=1) is None
        with pytest.raises(ConfigError):
            run.score(wrong)
    assert (user.runs[0].error, user.runs[0].scores) == ("", ())


def test_judging_is_not_the_agent_s_time(user):
    """Nor that of the run around it."""
    with agent_run(user, "outer"), agent_run(user, "inner") as run:
        run.score(lambda _: gevent.sleep(0.2) or True)
    assert [record.latency < 0.15 for record in user.runs] == [True, True]


def test_a_run_inside_a_run_is_a_part_of_it(user):
    """Its failure, its sums and its branch of steps are the outer's too."""
    with agent_run(user, "outer"), agent_run(user, "inner") as inner:
        inner.call_ended(failed(FailureKind.TIMEOUT))
        inner.hand_off("bob")
    inner_record, outer = user.runs
    assert (outer.calls, outer.error, outer.end_reason) == (1, "inner: call failed: timeout", "timeout")
    assert (outer.steps[0].name, outer.steps[0].steps) == ("inner", inner_record.steps)
    assert (outer.hand_offs, inner_record.hand_offs) == (("bob",), ("bob",))
    assert (outer.inside, inner_record.inside) == (False, True)


def test_only_a_run_that_is_no_part_of_another_uses_a_permit_up(user):
    """And one that was left gives it back, as it is not counted as made."""
    ended = []
    user.load.runs.ended = lambda *, cut: ended.append(cut)
    with agent_run(user, "outer"), agent_run(user, "inner"):
        pass
    with agent_run(user) as run:
        run.request_ended(AgentRun("ask", 3.0, 2.0, abandoned=True, end_reason=EndReason.ABANDONED, inside=True))
    assert ended == [False, True]


def test_hand_offs_name_who_acts(user):
    """What follows is another's doing, and has a context of its own."""
    with agent_run(user) as run:
        run.call_ended(call(), reply(text="a"), BODY)
        run.hand_off("refunds")
        run.call_ended(call(), reply(text="b"), BODY)
        run.call_ended(call(), reply(text="c"), BODY, agent="guard")
    (record,) = user.runs
    assert [(step.agent, step.repeats) for step in record.steps] == [("", False), ("refunds", False), ("guard", False)]
    assert record.hand_offs == ("refunds",)


def test_a_tool_that_was_run_elsewhere_is_recorded(user):
    """It answers its request, counts, and has a row."""
    with agent_run(user) as run:
        run.call_ended(call(), reply("find"), BODY)
        run.tool_seen("find", 5.0, 0.25, id="id0", arguments='{"order": 1}', result='{"orders": [1, 2]}')
    (record,) = user.runs
    (step,) = record.steps[1:]
    assert (record.end_reason, record.tool_calls, step.items, step.started) == ("final", 1, 2, 5.0)
    assert step.arguments == record.steps[0].asks[0].digest
    ((_, row),) = user.meter.ledger.select("TOOL")
    assert row.sketches["tool_latency"].sum == 250_000_000


def test_what_has_no_effect_may_be_done_twice(user):
    """A tool with equal arguments is a duplicate, unless it is named as one that only reads."""
    with agent_run(user) as run:
        for name in ("buy", "look_up") * 2:
            run.tool_seen(name, 1.0, 0.5, arguments='{"order": 1}')
    rows = {row_key[1]: row.counts for row_key, row in user.meter.ledger.rows.items() if row_key[0] == "TOOL"}
    assert (rows["buy"].get("duplicates", 0), rows["look_up"].get("duplicates", 0)) == (1, 0)


def test_findings_are_made_when_the_run_ends(user):
    """From its own steps, with the schema that its own request held."""
    with agent_run(user) as run:
        run.call_ended(call(), reply("find", arguments='{"order": "x"}'), BODY)
        run.call_ended(call(), reply(f"tool {SECRET}"), BODY)
    (record,) = user.runs
    (finding,) = record.findings
    assert (finding.kind, finding.amount) == (FindingKind.INVALID_ARGUMENTS, 2)
    assert SECRET not in str(record.steps)
    assert user.meter.ledger.captured.example("invalid_arguments")["name"] == "refund"


def test_texts_are_kept_only_when_asked_for_and_without_secrets(user):
    """Bounded each and together."""
    for texts in (False, True):
        user.meter.ledger.captured.keep(10, texts=texts)
        with agent_run(user) as run:
            run.call_ended(call(), reply("find", text="let me look" + SECRET + "x" * 10_000), BODY)
            with run.tool("find") as tool:
                tool.result = f"found {SECRET}"
    without, kept = user.runs
    assert "let me look" not in str(without.steps)
    told = str(kept.steps) + kept.asked
    assert SECRET not in told
    assert f"find it {MASK}" in kept.asked
    assert f"found {MASK}" in told
    assert len(kept.steps[0].replied) == 4000
    lines = user.meter.ledger.captured.lines()
    assert sum("let me look" in line for line in lines) == 1


def test_a_black_box_request_inside_a_run_counts_in_it(user):
    """Also that its user left."""
    with agent_run(user, "session") as run:
        run.request_ended(AgentRun("ask", 1.0, 2.0, usage=Usage(output=9), tool_calls=2, black_box=True, reported=True))
        run.request_ended(AgentRun("ask", 3.0, 2.0, abandoned=True, end_reason=EndReason.ABANDONED))
    (record,) = user.runs
    assert (record.usage.output, record.tool_calls, record.abandoned, record.end_reason) == (9, 2, True, "abandoned")
    assert not record.reported


@pytest.mark.parametrize(
    ("seen", "injected"),
    [
        (lambda run: run.call_ended(struck("reset", FailureKind.RESET, injected=True)), True),
        (lambda run: run.call_ended(struck("reset", FailureKind.SERVER_ERROR)), False),
        (lambda run: (run.call_ended(struck("refusal")), run.check(ok=False, why="declined")), True),
        (lambda run: (run.call_ended(struck("latency")), run.check(ok=False, why="wrong")), False),
        (lambda run: (run.check(ok=False, why="wrong"), run.call_ended(struck("reset", FailureKind.RESET))), False),
        (lambda run: run.call_ended(struck("latency")), False),
    ],
)
def test_a_run_that_a_fault_failed_says_so(user, seen, injected):
    """By the first thing that failed it; what struck it is on its record either way, and counted with its calls."""
    with agent_run(user) as run:
        seen(run)
    (record,) = user.runs
    assert record.injected is injected
    assert len(record.faults) == 1
    [row] = [row for key, row in user.meter.ledger.rows.items() if key[0] == "AGENT"]
    assert row.counts["injected"] == 1
    assert row.counts.get("injected_failed", 0) == injected
    assert not any(name.startswith("fault:") for name in user.meter.ledger.counts)


def struck(fault, kind=None, *, injected=False):
    failure = Failure(kind, "no", injected=injected) if kind is not None else None
    return call(failure=failure, faults=(fault,))
