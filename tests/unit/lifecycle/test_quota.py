"""A quota hands out exactly N permits, whoever asks, comes back or is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentlocust.ledger import Ledger
from agentlocust.lifecycle.load_plan import LoadPlan
from agentlocust.lifecycle.quota import Quota
from agentlocust.records import AgentRun, Call


def delta(calls=0, runs=0) -> dict:
    ledger = Ledger()
    for _ in range(calls):
        ledger.add_call(Call("chat", "m", 0.0, 0.1), 0)
    for _ in range(runs):
        ledger.add_run(AgentRun("run", 0.0, 0.1), 0)
    return ledger.take()


@given(st.integers(1, 500), st.integers(1, 9), st.lists(st.integers(0, 8), max_size=100))
def test_no_more_is_granted_than_there_is(total, workers, asks):
    """Slices never sum to more than the total, and every ask gets something while anything is left."""
    quota = Quota.of(LoadPlan(calls=total))
    given_out = 0
    for ask in asks:
        n = quota.ask(f"w{ask % workers}", workers)
        assert (n > 0) == (given_out < total)
        given_out += n
    assert given_out == total - quota.left
    assert given_out <= total


def test_what_a_lost_worker_did_not_report_is_for_the_others():
    """Of four granted three were reported: one comes back, and who waits is known."""
    quota = Quota.of(LoadPlan(calls=4))
    while quota.ask("a", 1):
        pass
    assert quota.ask("b", 2) == 0
    assert quota.waiting == {"a", "b"}
    quota.report("a", delta(calls=3, runs=7))
    quota.lost("a")
    assert quota.waiting == {"b"}
    assert quota.ask("b", 1) == 1


def test_runs_are_counted_for_runs():
    """A quota of runs is met by runs, not by calls."""
    quota = Quota.of(LoadPlan(runs=2))
    ledger = Ledger()
    ledger.merge(delta(calls=5, runs=1))
    assert not quota.met(ledger)
    ledger.merge(delta(runs=1))
    assert quota.met(ledger)
    assert str(quota) == "all 2 runs are made"


def test_a_run_inside_another_is_not_one_more():
    """It took no permit; neither what a worker reports nor what is made counts it."""
    quota = Quota.of(LoadPlan(runs=2))
    ledger = Ledger()
    for inside in (True, True, False):
        ledger.add_run(AgentRun("r", 0.0, 1.0, inside=inside), 0)
    assert not quota.met(ledger)
    quota.report("a", ledger.take())
    assert quota.made == {"a": 1}


def test_without_a_number_nothing_ends_the_test():
    """No quota is never met."""
    quota = Quota.of(LoadPlan())
    assert not quota.met(Ledger())
    quota.report("a", delta(calls=1))
    assert not quota.made
