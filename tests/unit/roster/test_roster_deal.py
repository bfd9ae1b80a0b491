"""Each operation is dealt exactly once, whoever comes, goes or gets lost."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.roster.deal import STINT, Deal, Stint
from agentlocust.roster.dealer import Dealer, Word, packed
from agentlocust.roster.members import read_roster


def lanes_of(deal: Deal) -> Counter[int]:
    """How many users can be at work for each agent."""
    found: Counter[int] = Counter()
    while (stint := deal.take("x")) is not None:
        found[stint.agent] += 1
    return found


@pytest.mark.parametrize(
    ("weights", "users", "lanes"),
    [
        ([1, 1, 1, 1], 0, [1, 1, 1, 1]),
        ([1, 1, 1, 1], 2, [1, 1, 1, 1]),
        ([1, 1, 1, 1], 20, [5, 5, 5, 5]),
        ([1, 1, 1, 1], 7, [2, 2, 2, 1]),
        ([1, 2, 1], 8, [2, 4, 2]),
        ([100, 1], 10, [9, 1]),
    ],
)
def test_users_work_for_agents_by_weight(weights, users, lanes):
    """Nobody is left out; users beyond one an agent are shared by weight."""
    assert [lanes_of(Deal(weights, 100, users))[agent] for agent in range(len(weights))] == lanes


def test_an_agents_operations_are_dealt_in_order_to_one_user():
    """The next stint goes on where the last one ended."""
    deal = Deal([1], 25)
    numbers: list[int] = []
    while not deal.complete:
        stint = deal.take("x")
        assert stint is not None
        assert stint.count <= STINT
        assert deal.take("y") is None
        for number in stint.numbers():
            assert deal.made(0, number)
        numbers += stint.numbers()
        deal.give_back("x", [stint.lane])
    assert numbers == list(range(1, 26))


def test_what_is_counted_twice_or_is_no_operation_counts_for_nothing():
    """A late word of a holder who was thought lost changes nothing."""
    deal = Deal([1, 1], 3)
    assert deal.made(0, 1)
    assert not any(deal.made(*it) for it in [(0, 1), (0, 3), (0, 0), (0, -1), (0, 4), (2, 1), (-1, 1)])


class Office:
    """A process with users, as the desk is one, without its greenlets."""

    def __init__(self, name: str):
        self.name = name
        self.stints: list[tuple[Stint, list[int]]] = []
        self.made: list[list[object]] = []
        self.free: list[int] = []
        self.received = 0

    def step(self, dealer: Dealer, rng: random.Random, users: int, done: Counter[tuple[int, int]]):
        """Its users each make an operation or stop; it says so."""
        for stint, numbers in list(self.stints):
            if rng.random() < 0.1 or not numbers:
                self.free.append(stint.lane)
                self.stints.remove((stint, numbers))
            else:
                number = numbers.pop(0)
                done[stint.agent, number] += 1
                self.made.append(packed(stint.agent, number, 0, 0.1))
        word = Word(self.made, self.free, max(users - len(self.stints), 0), self.received)
        self.made, self.free = [], []
        return dealer.hear(self.name, word)

    def receive(self, stints: list[Stint]) -> None:
        self.received += len(stints)
        self.stints += [(stint, list(stint.numbers())) for stint in stints]


@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 23), st.integers(1, 12), st.booleans())
def test_all_are_made_exactly_once_whatever_happens(seed, agents, operations, users, someone_dies):
    """Users stop in mid-stint, a process dies: every operation is heard of once, and only a lost one is redone."""
    rng = random.Random(seed)
    roster = read_roster([f"A{n}" for n in range(agents)], "buy", operations=operations)
    dealer = Dealer(roster, 1, users)
    offices = [Office(f"w{n}") for n in range(3)]
    done: Counter[tuple[int, int]] = Counter()
    dead = ""
    for turn in range(5000):
        if dealer.complete:
            break
        if someone_dies and turn == 4:
            dead = offices.pop().name
            served = dealer.here([office.name for office in offices])
        else:
            served = rng.choice(offices).step(dealer, rng, -(-users // 3), done)
        for office in offices:
            office.receive(served.get(office.name, []))
    assert dealer.complete
    assert set(done) == {(agent, n) for agent in range(agents) for n in range(1, operations + 1)}
    if not dead:
        assert set(done.values()) == {1}


def test_a_holder_who_comes_back_is_dealt_no_more_than_it_asks_for():
    """One that was thought lost has received more than is known of it: that is no reason to send it more."""
    dealer = Dealer(read_roster("A,B,C", "buy", operations=50), 1, 3)
    first = dealer.hear("w", Word(waiting=1))["w"]
    assert dealer.here([]) == {}
    again = dealer.hear("w", Word(waiting=1, received=len(first)))["w"]
    assert len(again) == 1
    assert dealer.hear("w", Word(waiting=0, received=2)) == {}
    assert dealer.hear("w", Word(waiting=0, received=5)) == {}
    assert len(dealer.hear("w", Word(waiting=1, received=5))["w"]) == 1


def test_a_stint_on_its_way_is_not_dealt_twice():
    """Two words that cross the reply to the first are one wish."""
    dealer = Dealer(read_roster("A,B,C", "buy", operations=50), 1, 3)
    assert len(dealer.hear("w", Word(waiting=2))["w"]) == 2
    assert dealer.hear("w", Word(waiting=2)) == {}
    assert len(dealer.hear("w", Word(waiting=3))["w"]) == 1


def test_who_waits_is_served_when_a_lane_is_free():
    """A user beyond the lanes gets the next one that is given back."""
    dealer = Dealer(read_roster("A", "buy", operations=50), 1, 1)
    (stint,) = dealer.hear("v", Word(waiting=1))["v"]
    assert dealer.hear("w", Word(waiting=1)) == {}
    assert set(dealer.hear("v", Word(free=[stint.lane], received=1))) == {"w"}
