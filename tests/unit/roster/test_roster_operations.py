"""What an operation is drawn to be, and how it is carried out."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.roster.members import Member, Roster, read_roster
from agentlocust.roster.operations import Event, Operation, OperationFailed, draw, perform

Z_99 = 2.576


def sequence(roster: Roster, name: str, seed: int) -> list[Operation]:
    """All operations of the agent of that name."""
    index = [member.name for member in roster.members].index(name)
    return [draw(roster, index, number, seed) for number in range(1, roster.operations + 1)]


@given(st.integers(0, 2**31), st.permutations(["A", "B", "C"]), st.integers(1, 50))
def test_seed_agent_and_number_alone_decide(seed, order, operations):
    """Others in the roster, their order and how many operations there are change nothing."""
    alone = sequence(read_roster("A", "buy,sell", operations=5), "A", seed)
    among = sequence(read_roster(order, "buy,sell", operations=operations), "A", seed)
    shorter = min(len(alone), len(among))
    assert alone[:shorter] == among[:shorter]


def test_another_seed_is_another_sequence():
    """Two seeds, and two agents of one seed, do not repeat each other."""
    roster = read_roster("A,B", "buy,sell")
    assert sequence(roster, "A", 1) != sequence(roster, "A", 2)
    assert [o.planned for o in sequence(roster, "A", 1)] != [o.planned for o in sequence(roster, "B", 1)]


def test_shares_tasks_and_delays_are_as_asked():
    """Over 20,000 operations the shares lie within their 99% interval, delays within their bounds."""
    roster = Roster((Member("A", tasks={"buy": 3, "sell": 1}),), 20_000, 0.05, 0.15, missing_data=0.2, failure=0.1)
    drawn = sequence(roster, "A", 5)
    events = Counter(operation.planned for operation in drawn)
    tasks = Counter(operation.task for operation in drawn)
    for n, share in ((events[Event.MISSING_DATA], 0.2), (events[Event.FAILURE], 0.1), (tasks["sell"], 0.25)):
        assert abs(n - 20_000 * share) < Z_99 * math.sqrt(20_000 * share * (1 - share))
    assert 0.05 <= min(o.delay_s for o in drawn) < 0.051
    assert 0.149 < max(o.delay_s for o in drawn) <= 0.15


@pytest.mark.parametrize(
    ("missing", "failure", "event"), [(1, 0, "missing_data"), (0, 1, "failure"), (0, 0, "success")]
)
def test_certainty_is_certain(missing, failure, event):
    """A probability of 1 is always, of 0 never."""
    roster = read_roster("A", "buy", missing_data=missing, failure=failure, operations=200)
    assert {operation.planned for operation in sequence(roster, "A", 3)} == {event}


def test_a_hand_off_needs_its_partner():
    """Only the named task hands off, and only to an agent who is there."""
    arbitrage = Member("D", hand_offs={"hedge": "B", "buy": "Z"})
    roster = read_roster([arbitrage, "B"], "hedge,buy")
    assert {o.partner for o in sequence(roster, "D", 1) if o.task == "hedge"} == {"B"}
    assert {o.partner for o in sequence(roster, "D", 1) if o.task == "buy"} == {""}


class Hands:
    """Writes down what it was asked to do."""

    def __init__(self, *, found: object = "data", fails: bool = False):
        self.did: list[str] = []
        self.found = found
        self.fails = fails
        self.result = None

    @contextmanager
    def tool(self, name):
        self.did.append(f"tool {name}")
        yield self

    def fail(self, why):
        self.did.append(f"fail: {why}")

    def wait(self, seconds):
        self.did.append(f"wait {seconds}")

    def look_up(self, operation):
        self.did.append("look_up")
        return self.found

    def decide(self, operation, data):
        self.did.append("decide")
        if self.fails:
            raise OperationFailed("no answer")
        return "yes"

    def hand_off(self, operation, decision):
        self.did.append(f"hand off to {operation.partner}")
        return decision

    def act(self, operation, decision):
        self.did.append("act")


def operation(planned: Event, partner: str = "") -> Operation:
    """An operation that is to end so."""
    return Operation("A", 1, "buy", planned, 0.1, partner)


def test_a_success_looks_up_decides_hands_off_and_acts():
    """In that order."""
    hands = Hands()
    assert perform(operation(Event.SUCCESS, "B"), hands) is Event.SUCCESS
    assert hands.did == ["tool look_up", "wait 0.1", "look_up", "decide", "hand off to B", "tool buy", "act"]


def test_missing_data_ends_it_before_the_model_is_asked():
    """Planned or found to be so: the agent has nothing to decide on."""
    planned, found = Hands(), Hands(found=None)
    assert perform(operation(Event.MISSING_DATA), planned) is Event.MISSING_DATA
    assert planned.did == ["tool look_up", "wait 0.1"]
    assert perform(operation(Event.SUCCESS), found) is Event.MISSING_DATA
    assert found.did == ["tool look_up", "wait 0.1", "look_up"]


def test_an_injected_failure_fails_the_act_and_does_nothing():
    """The tool is told failed, the act is left out."""
    hands = Hands()
    assert perform(operation(Event.FAILURE), hands) is Event.FAILURE
    assert hands.did[-2:] == ["tool buy", "fail: injected failure"]


def test_a_failure_of_the_target_is_raised():
    """What was not planned is told apart."""
    with pytest.raises(OperationFailed, match="no answer"):
        perform(operation(Event.SUCCESS), Hands(fails=True))
