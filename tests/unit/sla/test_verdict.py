"""The verdict follows the table of exit codes, top down."""

from __future__ import annotations

from itertools import pairwise, permutations
from typing import Any

import pytest

from agentlocust.failures import Failure, FailureKind
from agentlocust.ledger import Ledger
from agentlocust.records import AgentRun, Call, ToolCall
from agentlocust.sla import decide, evaluate, load_checks, worst
from agentlocust.summary import TestFacts, VerdictModel, build_summary
from agentlocust.summary.load_model import ShapeModel

FAILURE = Failure(FailureKind.SERVER_ERROR, "boom", 500)
PASSING, FAILING = ["p95(latency) < 9s", "error_rate < 60%"], ["p95(latency) < 1ms"]


def ledger(*failures: Failure | None) -> Ledger:
    made = Ledger()
    for failure in failures:
        made.add_call(Call("refund", "m", 0.0, 1.0, failure=failure, cost_picousd=0), 0)
    return made


def verdict(made: Ledger, sla: list[str], *, report_failed: bool = False, **facts: Any) -> VerdictModel:
    known = TestFacts("t", "a.py", "2026-11-20T10:40:00Z", 10.0, "mock", 1, **facts)
    summary = build_summary(made, known)
    return decide(summary, evaluate(load_checks(sla), summary), report_failed=report_failed)


EVERYTHING: dict[str, Any] = {"stop_reason": "budget", "validity": "saturated", "report_failed": True, "signal": 15}


@pytest.mark.parametrize(
    ("without", "sla", "exit_code", "status"),
    [
        ([], FAILING, 5, "budget"),
        (["stop_reason"], FAILING, 3, "invalid"),
        (["stop_reason", "validity"], FAILING, 99, "failed"),
        (["stop_reason", "validity"], PASSING, 4, "passed"),
        (["stop_reason", "validity", "report_failed"], PASSING, 143, "interrupted"),
        (["stop_reason", "validity", "report_failed"], [], 143, "interrupted"),
        (["stop_reason", "validity", "report_failed", "signal"], [], 1, "failed"),
        (["stop_reason", "validity", "report_failed", "signal"], PASSING, 0, "passed"),
    ],
)
def test_the_first_row_that_applies_decides(without: list[str], sla: list[str], exit_code: int, status: str) -> None:
    """With everything wrong at once, taking away one cause gives the next row of the table."""
    facts = {name: value for name, value in EVERYTHING.items() if name not in without}
    found = verdict(ledger(None, FAILURE), sla, **facts)
    assert (found.exit_code, found.status) == (exit_code, status)
    assert bool(found.reasons) == (exit_code != 0)


def test_interrupting_twice_is_told_by_its_signal() -> None:
    """Ctrl-C is 130, SIGTERM is 143."""
    assert verdict(ledger(None), PASSING, signal=2).exit_code == 130
    assert verdict(ledger(None), PASSING, signal=15).exit_code == 143


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (Ledger(), "no requests in a started test"),
        (ledger(Failure(FailureKind.CANCELLED, "")), "no request completed"),
    ],
)
def test_a_test_without_requests_is_not_valid(made: Ledger, reason: str) -> None:
    """Nothing done is never green, with or without an SLA."""
    for sla in ([], PASSING):
        found = verdict(made, sla)
        assert (found.exit_code, found.status, found.reasons) == (3, "invalid", [reason])


SPENT = "$0 of $0.001 is spent, and the next call may cost $0.0098"


@pytest.mark.parametrize(
    ("made", "more"),
    [
        (Ledger(), []),
        (ledger(None), []),
        (ledger(Failure(FailureKind.CANCELLED, "")), ["no request completed"]),
    ],
)
def test_a_test_that_the_budget_stopped_says_what_the_guard_says(made: Ledger, more: list[str]) -> None:
    """Its sentence is the reason; that nothing was sent is no reason of its own, that all was cut is."""
    found = verdict(made, PASSING, stop_reason="budget", budget={"stopped": SPENT})
    assert (found.exit_code, found.reasons) == (5, [f"stopped by the budget: {SPENT}", *more])


def test_a_budget_that_let_no_call_of_a_run_go_is_the_only_reason() -> None:
    """The run that it cut is its own doing; a lost worker is not."""
    made = Ledger()
    made.add_run(AgentRun("refund", 0.0, 1.0, cancelled=True), 0)
    stopped = {"stop_reason": "budget", "budget": {"stopped": SPENT}}
    assert verdict(made, [], **stopped).reasons == [f"stopped by the budget: {SPENT}"]
    assert verdict(made, [], **stopped, validity="degraded").reasons == [f"stopped by the budget: {SPENT}", "degraded"]


@pytest.mark.parametrize("facts", [{"validity": "degraded"}, {"validity": "saturated"}, {"workers_lost": ["w1"]}])
def test_a_test_that_cannot_be_trusted_is_not_valid(facts: dict[str, Any]) -> None:
    """A lost worker, a crashed listener and a saturated generator all make it so; strain does not."""
    assert verdict(ledger(None), PASSING, **facts).exit_code == 3
    assert verdict(ledger(None), PASSING, validity="strained").exit_code == 0


def test_a_tolerated_failure_passes_with_an_sla_only() -> None:
    """An SLA takes the place of Locust's rule for what it judges."""
    assert verdict(ledger(None, FAILURE), PASSING).exit_code == 0
    found = verdict(ledger(None, FAILURE), [])
    assert (found.exit_code, found.reasons) == (1, ["1 failed call"])
    assert verdict(ledger(None), []).exit_code == 0


def test_failures_of_tools_runs_and_tasks_count_without_an_sla() -> None:
    """Locust's rule counts every request and every exception."""
    made = ledger(None)
    made.add_tool(ToolCall("lookup", 0.0, 0.1, error="boom"))
    made.add_run(AgentRun("refund", 0.0, 1.0, error="wrong"), 0)
    made.count("task_errors", 2)
    found = verdict(made, [])
    assert (found.exit_code, found.reasons) == (1, ["1 failed tool call", "1 failed run", "2 task errors"])


def test_task_errors_fail_an_sla_unless_a_check_tolerates_them() -> None:
    """Exceptions of the locustfile's own code are not forgotten."""
    made = ledger(None)
    made.count("task_errors", 2)
    assert verdict(made, PASSING).exit_code == 99
    assert verdict(made, [*PASSING, "sum(task_errors) < 5"]).exit_code == 0


def test_requests_of_other_users_keep_locust_s_rule() -> None:
    """Their failures exit with 1 beside a passing SLA, unless a check speaks of them."""
    made = ledger(None)
    made.count("other_requests", 5)
    made.count("other_failed", 1)
    assert verdict(made, []).exit_code == 1
    assert verdict(made, PASSING).exit_code == 1
    assert verdict(made, [*PASSING, "sum(other_failed) < 3"]).exit_code == 0
    assert verdict(made, [*PASSING, "sum(other_failed) < 1"]).exit_code == 99


def test_a_test_of_other_users_alone_is_a_test() -> None:
    """Requests of an HttpUser are requests."""
    made = Ledger()
    made.count("other_requests", 5)
    assert verdict(made, []).exit_code == 0


def test_the_worst_of_several_tests_stands_highest_in_the_table() -> None:
    """The process exits with the code whose row comes first, whatever the order of its tests."""
    order = [2, 5, 3, 99, 4, 143, 1, 0]
    assert all(worst(codes) == higher for higher, lower in pairwise(order) for codes in permutations((higher, lower)))
    assert worst(reversed(order)) == 2
    assert worst([0, 130, 1]) == 130
    assert worst([0, 7]) == 7
    assert worst([]) == 0


def test_what_a_search_made_fail_is_no_failure() -> None:
    """Its calls failed on purpose, and an SDK raises for each of them; a task's own mistake still counts."""
    searching = ShapeModel(name="stress", load="users", searches=True)
    made = ledger(None, FAILURE, FAILURE)
    made.count("task_errors", 2)
    assert verdict(made, []).exit_code == 1
    assert verdict(made, [], shape=searching).exit_code == 0
    made.count("task_errors")
    found = verdict(made, [], shape=searching)
    assert (found.exit_code, found.reasons) == (1, ["1 task error"])
