"""The guard of a process sends no call that might not be paid, wakes those that wait, and never leaves them."""

from __future__ import annotations

import random
from datetime import date
from types import SimpleNamespace

import gevent
import pytest
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING

from agentlocust.budget import Budget, Refused
from agentlocust.config import Document
from agentlocust.lifecycle.spending import Spending
from agentlocust.pricing import PriceBook
from agentlocust.pricing.worst_case import input_bound
from agentlocust.users.purse import Guard

# A dollar a token of output, nothing for input: amounts in the tests are output limits.
PRICE = {"provider": "test", "models": {"dear": {"input": 0, "output": 1_000_000, "max_output": 50}}}
USD = 10**12


@pytest.fixture(scope="module")
def prices() -> PriceBook:
    """A book with the test's own model."""
    return PriceBook.load([Document.of(PRICE, "test.yaml")], today=date(2026, 11, 21))


class Someone:
    """As much of a user as the guard looks at."""

    run_budget = ""

    def __init__(self, run=None) -> None:
        self._state = LOCUST_STATE_RUNNING
        self._greenlet = None
        self.current_run = run


class Run:
    """As much of a run as the guard looks at."""

    def __init__(self, parent=None) -> None:
        self.parent = parent


def town(prices, budget: str, guards: int = 1) -> tuple[Spending, list[Guard], list[str]]:
    """A treasury and its guards, whose words arrive at once; the list fills when the test must end."""
    ends: list[str] = []
    parsed = Budget.parse(budget.split())
    spending = Spending(parsed, lambda who, word: found[int(who)].hear(word), lambda: ends.append("end"))
    found: list[Guard] = []
    for n in range(guards):
        tell = lambda word, n=n: spending.take(str(n), word)  # noqa: E731
        found.append(Guard(prices, tell, shared=parsed.shared, run=parsed.run))
    return spending, found, ends


def call(guard, user, dollars, cost=None, lasts=0.0):
    """One call from its reservation to its end; the user's own greenlet is the one that makes it."""
    user._greenlet = gevent.getcurrent()
    reservation = guard.reserve(user, b"", "dear", dollars, 1)
    gevent.sleep(lasts)
    reservation.settle((dollars if cost is None else cost) * USD)


def turns(n=20) -> None:
    for _ in range(n):
        gevent.sleep(0)


def test_five_hundred_users_of_eight_workers_stay_within_the_budget(prices):
    """Replies cost any part of their worst case; all is spent but less than a call needs, and then the test ends."""
    spending, guards, ends = town(prices, "$1000", 8)
    rng = random.Random(4)
    spent = 0

    def loop(guard):
        nonlocal spent
        user = Someone()
        user._greenlet = gevent.getcurrent()
        while True:
            reservation = guard.reserve(user, b"", "dear", 20, 1)
            gevent.sleep(rng.random() / 1000)
            cost = rng.randint(0, 20)
            spent += cost
            reservation.settle(cost * USD)

    greenlets = [gevent.spawn(loop, guards[n % 8]) for n in range(500)]
    with gevent.Timeout(30):
        while not ends:
            gevent.sleep(0.001)
    turns()
    gevent.killall(greenlets)
    assert 1000 - 20 < spent <= 1000
    facts = spending.facts()
    assert facts["spent_usd"] == str(spent)
    assert facts["unknown_usd"] == facts["written_off_usd"] == "0"
    assert "of $1000 is spent, and the next call may cost $20.00" in facts["stopped"]


def test_a_call_waits_for_others_to_settle(prices):
    """Of $10 two calls of $6 go one after the other, as the first turns out cheap; the test goes on."""
    _, (guard,), ends = town(prices, "$10")
    first = guard.reserve(Someone(), b"", "dear", 6, 1)
    second = gevent.spawn(call, guard, Someone(), 6)
    turns()
    assert not second.ready()
    first.settle(1 * USD)
    turns()
    assert second.ready()
    assert ends == []


def test_the_test_ends_when_nothing_in_flight_can_make_room(prices):
    """With $3 in flight a call of $8 waits; when those are spent, it never fits."""
    spending, (guard,), ends = town(prices, "$10")
    first = guard.reserve(Someone(), b"", "dear", 3, 1)
    waiting = gevent.spawn(call, guard, Someone(), 8)
    turns()
    assert ends == []
    first.settle(3 * USD)
    turns()
    assert ends == ["end"]
    assert spending.stopped
    waiting.kill()


def test_those_that_fit_pass_one_that_never_will(prices):
    """A call beyond the whole budget keeps nobody waiting behind it."""
    _, (guard,), _ = town(prices, "$10")
    keeper = guard.reserve(Someone(), b"", "dear", 1, 1)  # something is in flight: the test goes on
    never = gevent.spawn(call, guard, Someone(), 11)
    turns()
    small = gevent.spawn(call, guard, Someone(), 5)
    turns()
    assert small.ready()
    assert not never.ready()
    keeper.settle(0)
    never.kill()


def test_a_large_call_is_not_starved_by_small_ones(prices):
    """Who came first is served first: later small calls wait until the large one had its turn."""
    _, (guard,), _ = town(prices, "$10")
    first = guard.reserve(Someone(), b"", "dear", 6, 1)
    done: list[str] = []
    large = gevent.spawn(lambda: (call(guard, Someone(), 8, cost=1), done.append("large")))
    turns()
    small = gevent.spawn(lambda: (call(guard, Someone(), 2, cost=1), done.append("small")))
    turns()
    assert done == []
    first.settle(1 * USD)
    turns()
    gevent.joinall([large, small], timeout=5)
    assert done == ["large", "small"]


def test_a_waiting_user_can_be_stopped_at_once_and_leaves_no_debt(prices):
    """It waits like a user between tasks; killed, what it was about to get goes to others."""
    _, (guard,), _ = town(prices, "$10")
    first = guard.reserve(Someone(), b"", "dear", 10, 1)
    user = Someone()
    waiting = gevent.spawn(call, guard, user, 5)
    turns()
    assert user._state == LOCUST_STATE_WAITING
    other = gevent.spawn(call, guard, Someone(), 5)
    turns()
    first.settle(5 * USD)  # one of them is served, in this very turn stopped
    user._state = LOCUST_STATE_STOPPING  # as AgentUser.stop does
    waiting.kill()
    turns()
    assert other.ready()


def test_a_user_that_is_to_stop_does_not_begin_to_wait(prices):
    """In a test that ends, a call that does not fit ends its user; it says so as a kill would."""
    _, (guard,), _ = town(prices, "$10")
    guard.reserve(Someone(), b"", "dear", 10, 1)
    user = Someone()
    user._state = LOCUST_STATE_STOPPING
    greenlet = gevent.spawn(call, guard, user, 5)
    turns()
    assert greenlet.ready()
    assert isinstance(greenlet.value, gevent.GreenletExit)


def test_a_call_beside_its_users_greenlet_sees_the_stop(prices):
    """A sub-agent's greenlet is killed by nobody: it looks itself, and leaves its user's state alone."""
    _, (guard,), _ = town(prices, "$10")
    guard.reserve(Someone(), b"", "dear", 10, 1)
    user = Someone()
    greenlet = gevent.spawn(lambda: guard.reserve(user, b"", "dear", 5, 1))
    turns()
    assert user._state == LOCUST_STATE_RUNNING
    user._state = LOCUST_STATE_STOPPING
    greenlet.join(timeout=5)
    assert greenlet.ready()


def test_usage_that_nobody_told_counts_in_full_and_only_once(prices):
    """An unknown cost is the worst case; settling again changes nothing."""
    spending, (guard,), _ = town(prices, "$10")
    reservation = guard.reserve(Someone(), b"", "dear", 4, 1)
    reservation.settle(None)
    reservation.settle(0)
    guard.report(idle=True)
    facts = spending.facts()
    assert (facts["spent_usd"], facts["unknown_usd"]) == ("4", "4")


def test_a_run_stays_within_its_own_budget(prices):
    """The third call of a run may not be sent; one of another run may; runs inside share their outermost's money."""
    spending, (guard,), _ = town(prices, "$5/run")
    run = Run()
    for _ in range(2):
        call(guard, Someone(Run(parent=run)), 2)
    with pytest.raises(Refused, match=r"may cost \$2\.00, its run has \$1\.00 left of \$5\.00"):
        call(guard, Someone(run), 2)
    call(guard, Someone(Run()), 2)
    call(guard, Someone(), 50)  # no run, no limit
    guard.report(idle=True)
    assert spending.facts()["refused_calls"] == 1


def test_a_call_waits_for_the_others_of_its_run(prices):
    """A sub-agent's call that does not fit yet waits until a sibling's has turned out cheap."""
    _, (guard,), _ = town(prices, "$5/run")
    run = Run()
    first = guard.reserve(Someone(run), b"", "dear", 4, 1)
    second = gevent.spawn(call, guard, Someone(run), 4)
    turns()
    assert not second.ready()
    first.settle(1 * USD)
    turns()
    assert second.ready()
    assert second.successful()


def test_a_class_may_set_its_runs_budget(prices):
    """`run_budget` holds where the option says nothing; the option wins."""

    class Thrifty(Someone):
        run_budget = "$1"

    own = Guard(prices, lambda _: None, shared=False)
    with pytest.raises(Refused):
        call(own, Thrifty(Run()), 2)
    call(Guard(prices, lambda _: None, shared=False, run=3 * USD), Thrifty(Run()), 2)


def test_a_model_without_a_price_ends_the_test(prices):
    """Nothing is sent, and whoever keeps the budget hears which model it was."""
    spending, (guard,), ends = town(prices, "$10")
    greenlet = gevent.spawn(guard.reserve, Someone(), b"", "nobody-knows-9", 5, 1)
    turns()
    assert ends == ["end"]
    assert "'nobody-knows-9' has no price" in spending.stopped
    assert not greenlet.ready()
    greenlet.kill()


def test_without_a_limit_the_models_largest_output_is_set_aside(prices):
    """The price file says 50 tokens; several replies cost as many times that."""
    _, (guard,), _ = town(prices, "$160")
    guard.reserve(Someone(), b"", "dear", None, 3)
    blocked = gevent.spawn(call, guard, Someone(), 11)
    turns()
    assert not blocked.ready()
    blocked.kill()


def test_ten_thousand_calls_need_no_clock(prices):
    """Money that comes back is used at once, without a word to the treasury where there is enough."""
    words: list[dict] = []
    guard = Guard(prices, words.append, shared=True)
    guard.hear({"n": 10 * USD, "ceiling": None, "scarce": False})
    user = SimpleNamespace(_state=LOCUST_STATE_RUNNING, _greenlet=None, current_run=None)
    for _ in range(10_000):
        guard.reserve(user, b"", "dear", 10, 1).settle(0)
    turns()
    assert words == []
    assert input_bound(b"") == 0


def test_a_judgement_is_paid_by_the_test_and_not_by_the_run(prices):
    """It needs no room in the run's budget, takes its own from the shared one, and none where there is no such."""
    spending, (guard,), _ = town(prices, "$20 $3/run")
    user = Someone(Run())
    guard.reserve(user, b"", "dear", 10, 1, of_run=False).settle(8 * USD)
    guard.report(idle=False)
    assert spending.facts()["spent_usd"] == "8"
    call(guard, user, 3)
    _, (of_runs,), ends = town(prices, "$3/run")
    of_runs.reserve(user, b"", "nobody-knows-9", 10, 1, of_run=False).settle(8 * USD)
    turns()
    assert not ends
