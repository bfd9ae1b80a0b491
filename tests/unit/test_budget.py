"""No interleaving of workers, deaths and lost words spends more than the budget, and none loses money."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.budget import Budget, Purse, Treasury, cost_of, cost_of_failed
from agentlocust.errors import ConfigError
from agentlocust.failures import Failure, FailureKind
from agentlocust.records import Call
from agentlocust.usage import Usage

USD = 10**12
SECOND = 10**9


def test_budgets_are_read():
    """Each kind once, in any order, blanks and empty texts aside."""
    assert Budget.parse(["", "$2"]) == Budget(total=2 * USD)
    assert Budget.parse(["$0.50/min"]) == Budget(rate=USD // 2, period_ns=60 * SECOND)
    assert Budget.parse(["$3 / h ", "$0.05/run", " $1"]) == Budget(USD, 3 * USD, 3600 * SECOND, USD // 20)
    assert str(Budget.parse(["$2", "$0.50/m", "$0.05/RUN"])) == "$2 and $0.5/min and $0.05/run"
    assert not Budget.parse(["", " "])
    assert Budget.parse(["$1/run"])
    assert not Budget.parse(["$1/run"]).shared


@pytest.mark.parametrize(
    "text", ["2", "$", "$0", "-$1", "$2/day", "$2/", "$2/min/min", "$1000001", "$2 $3", "€2", "/run"]
)
def test_what_is_no_budget_is_refused_with_a_hint(text):
    """A wrong budget names its place and says how to write one."""
    with pytest.raises(ConfigError) as wrong:
        Budget.parse([text])
    assert wrong.value.where == "--budget"
    assert wrong.value.hint


def test_a_second_budget_of_a_kind_is_refused():
    """Two totals contradict each other."""
    with pytest.raises(ConfigError, match="second budget"):
        Budget.parse(["$2", "$3"])


class Worker:
    """A process as the arithmetic sees it: calls that wait, calls in flight, words on their way."""

    def __init__(self) -> None:
        self.purse = Purse()
        self.waiting: deque[int] = deque()
        self.flying: list[int] = []
        self.up: deque[dict[str, int]] = deque()
        self.down: deque[tuple[int, bool]] = deque()
        self.scarce = False
        self.alive = True

    def go_on(self) -> None:
        while self.waiting and self.purse.reserve(self.waiting[0]):
            self.flying.append(self.waiting.popleft())
        if self.scarce:
            self.purse.give_back()
        need = self.waiting[0] if self.waiting else 0
        self.up.append(
            {
                "spent": self.purse.spent,
                "returned": self.purse.returned,
                "overrun": self.purse.overrun,
                "need": need,
                "least": min(self.waiting, default=0),
                "want": sum(self.waiting),
            }
        )


class World:
    """A master and its workers, whose every step a test chooses."""

    def __init__(self, budget: Budget, workers: int) -> None:
        self.budget = budget
        self.treasury = Treasury(budget, 0)
        self.workers = [Worker() for _ in range(workers)]
        self.now_ns = 0
        self.master_alive = True

    def step(self, what: str, who: int, amount: int) -> None:
        worker = self.workers[who % len(self.workers)]
        if what == "time":
            self.now_ns += amount * SECOND // 10
            self.serve()
        elif what == "master dies":
            self.master_alive = False
        elif what == "death":
            worker.alive = False
            if self.master_alive:
                self.treasury.lost(str(who % len(self.workers)), self.now_ns)
        elif what == "up" and worker.up:
            word = worker.up.popleft()
            if self.master_alive and worker.alive:
                self.treasury.told(str(who % len(self.workers)), word, self.now_ns)
                self.serve()
        elif worker.alive and what == "down" and worker.down:
            granted, worker.scarce = worker.down.popleft()
            worker.purse.granted += granted
            worker.go_on()
        elif worker.alive and what == "ask":
            worker.waiting.append(amount)
            worker.go_on()
        elif worker.alive and what == "settle" and worker.flying:
            reserved = worker.flying.pop(amount % len(worker.flying))
            worker.purse.settle(reserved, reserved * (amount % 11) // 10)
            worker.go_on()

    def settle_all(self) -> None:
        """Deliver every word and settle every call, until nothing moves."""
        moved = True
        while moved:
            moved = False
            for who, worker in enumerate(self.workers):
                for what, things in (("settle", worker.flying), ("up", worker.up), ("down", worker.down)):
                    if things:
                        moved = True
                        self.step(what, who, 7)

    def serve(self) -> None:
        for worker, granted in self.treasury.serve(self.now_ns):
            self.workers[int(worker)].down.append((granted, self.treasury.scarce))

    def spent(self) -> int:
        return sum(worker.purse.spent for worker in self.workers)

    def check(self) -> None:
        for worker in self.workers:
            purse = worker.purse
            assert purse.spent + purse.reserved <= purse.granted - purse.returned
            assert purse.reserved == sum(worker.flying)
        if self.budget.total is not None:
            assert self.spent() + sum(worker.purse.reserved for worker in self.workers) <= self.budget.total
            assert self.treasury.spent + self.treasury.outstanding <= self.budget.total


steps = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "settle", "settle", "up", "up", "down", "down", "time", "death", "master dies"]),
        st.integers(0, 7),
        st.integers(1, 60),
    ),
    max_size=200,
)


@given(st.integers(1, 2000), st.integers(1, 8), steps)
def test_no_interleaving_spends_more_than_the_budget(total, workers, chosen):
    """Whoever asks, settles, dies, and whichever word is late: all that is spent or reserved was there."""
    world = World(Budget(total=total), workers)
    for step in chosen:
        world.step(*step)
        world.check()


@given(st.integers(1, 500), st.integers(1, 8), steps)
def test_a_rate_holds_in_every_stretch_of_its_period(rate, workers, chosen):
    """In any second no more is spent than the rate allows, nor more since the start than has accrued."""
    world = World(Budget(rate=rate, period_ns=SECOND), workers)
    spendings: list[tuple[int, int]] = []
    for step in chosen:
        before = world.spent()
        world.step(*step)
        spendings.append((world.now_ns, world.spent() - before))
        assert world.spent() <= rate // 10 + rate * world.now_ns // SECOND
        assert sum(n for at, n in spendings if at > world.now_ns - SECOND) <= rate


@given(st.integers(1, 2000), st.integers(1, 8), steps)
def test_nothing_is_lost_when_everything_settles(total, workers, chosen):
    """With every word delivered and every call settled, spent and what is left make up the budget again."""
    world = World(Budget(total=total), workers)
    for what, who, amount in chosen:
        if "die" not in what and what != "death":
            world.step(what, who, amount)
    world.settle_all()
    for worker in world.workers:
        worker.waiting.clear()
    while any(worker.purse.free for worker in world.workers):  # what came back is granted to those not yet heard of
        for worker in world.workers:
            worker.purse.give_back()
            worker.go_on()
        world.settle_all()
    assert world.treasury.spent == world.spent()
    assert world.treasury.outstanding == 0
    assert world.treasury.room(0) == total - world.spent()


@given(st.integers(1, 2000), st.integers(1, 8), st.lists(st.integers(1, 300), min_size=1, max_size=60))
def test_the_guard_ends_a_test_that_cannot_go_on_and_no_other(total, workers, amounts):
    """Calls go on until nothing is in flight and the cheapest that waits does not fit: never stuck before."""
    world = World(Budget(total=total), workers)
    for n, amount in enumerate(amounts):
        world.step("ask", n, amount)
    for _ in range(5000):
        for who, worker in enumerate(world.workers):
            for what, things in (("up", worker.up), ("down", worker.down), ("settle", worker.flying)):
                if things:
                    world.step(what, who, 10)
        ceiling = world.treasury.ceiling
        for worker in world.workers:  # as a guard does: what can never fit steps aside
            while worker.waiting and ceiling is not None and worker.waiting[0] > ceiling:
                if all(amount > ceiling for amount in worker.waiting):
                    break
                worker.waiting.rotate(-1)
            if world.treasury.scarce != worker.scarce or worker.waiting:
                worker.scarce = world.treasury.scarce
                worker.go_on()
        if not any(worker.waiting for worker in world.workers):
            break
        if need := world.treasury.in_vain():
            assert need > total - world.spent()
            break
    else:
        pytest.fail("stuck: neither served nor ended")


def test_what_a_lost_worker_holds_counts_as_spent_until_it_is_heard_again():
    """Its unreported slice might be spent; a word from it shows how much really is."""
    treasury = Treasury(Budget(total=100), 0)
    word = {"spent": 0, "returned": 0, "overrun": 0, "need": 40, "least": 40, "want": 40}
    treasury.told("a", word, 0)
    ((_, granted),) = treasury.serve(0)
    treasury.lost("a", 0)
    assert (treasury.spent, treasury.outstanding) == (granted, 0)
    treasury.told("a", {**word, "spent": 10, "need": 0, "least": 0, "want": 0}, 0)
    assert (treasury.spent, treasury.outstanding) == (10, granted - 10)


def test_a_reply_dearer_than_its_worst_case_is_paid_from_the_rest():
    """The overrun is known, and nobody is granted that money again."""
    treasury, purse = Treasury(Budget(total=100), 0), Purse()
    treasury.told("a", {"spent": 0, "returned": 0, "overrun": 0, "need": 60, "least": 60, "want": 60}, 0)
    ((_, granted),) = treasury.serve(0)
    purse.granted += granted
    assert purse.reserve(60)
    purse.settle(60, 90)
    assert purse.overrun == 30
    purse.give_back()
    word = {"spent": purse.spent, "returned": purse.returned, "overrun": purse.overrun}
    treasury.told("a", {**word, "need": 20, "least": 20, "want": 20}, 0)
    assert treasury.spent == 90
    assert treasury.room(0) == 10
    assert treasury.serve(0) == []
    assert treasury.in_vain() == 20


def test_what_is_not_known_counts_in_full_and_what_was_refused_for_nothing():
    """A told usage is what it cost; a cut or estimated one is unknown; an error reply or no connection is free."""

    def call(usage: Usage, kind: FailureKind | None = None, status: int = 200) -> Call:
        failure = Failure(kind, "", status) if kind else None
        return Call("chat", "m", 0.0, 0.1, usage=usage, cost_picousd=7, failure=failure, status=status)

    told = Usage(uncached_input=1, output=2)
    assert cost_of(call(told)) == 7
    assert cost_of(call(told, FailureKind.CHECK)) == 7
    assert cost_of(call(Usage(1, output=2, estimated=True))) is None
    assert cost_of(call(Usage(), FailureKind.TIMEOUT, 0)) is None
    assert cost_of(call(Usage(), FailureKind.CANCELLED, 200)) is None
    assert cost_of(call(Usage(), FailureKind.RATE_LIMITED, 429)) == 0
    assert cost_of(call(Usage(), FailureKind.CONNECT, 0)) == 0
    assert cost_of_failed(500, None) == 0
