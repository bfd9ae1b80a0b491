"""The budget guard of one process: no call is sent before its worst case is set aside."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import gevent
from gevent.event import Event
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING

from agentlocust.budget import Purse, Refused, parse_amount
from agentlocust.pricing import PriceBook
from agentlocust.pricing.worst_case import worst_case
from agentlocust.units import PICOUSD, show_usd

if TYPE_CHECKING:
    from agentlocust.users.base import AgentUser
    from agentlocust.users.run import Run

LONG_NS = 100_000_000  # a call that waited less only fetched a slice
_LOOK_S = 0.25  # how often a call that waits beside its user's own greenlet looks whether the user is to stop


class Reservation:
    """Money set aside for one attempt of a call. Settle it once; a second time changes nothing.

    `waited` when the call had to wait for it, which is none of the target's doing.
    """

    __slots__ = ("_amount", "_guard", "_run", "waited")

    def __init__(self, guard: Guard | None = None, amount: int = 0, run: RunPurse | None = None) -> None:
        self.waited = False
        self._guard = guard
        self._amount = amount
        self._run = run

    def settle(self, cost: int | None) -> None:
        """The attempt has ended and cost so many pico-dollars; None when nobody told, and it counts in full."""
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.settle(self._amount, cost, self._run)


@dataclass(slots=True)
class RunPurse:
    """What one agent run, those inside it included, may spend, and its calls that wait for others of it."""

    purse: Purse
    waiting: list[_Waiter] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Waiter:
    """A call that waits for money."""

    amount: int
    served: bool = False
    news: Event = field(default_factory=Event)


class Guard:
    """Lets a call be sent once its worst case is set aside, from this process's slice and from its run's budget.

    `tell` takes what the Treasury is to know, cumulative, so that a word may be lost. Calls that wait
    are served in the order they came; those that can never fit wait for the end of the test.
    Without `shared` only runs have a budget: `run`, else each User class's `run_budget`.
    """

    def __init__(
        self, prices: PriceBook, tell: Callable[[dict[str, Any]], None], *, shared: bool, run: int | None = None
    ) -> None:
        self._prices = prices
        self._tell = tell
        self._shared = shared
        self._run_budget = run
        self._run_budgets: dict[type, int | None] = {}
        self._purse = Purse()
        self._runs: WeakKeyDictionary[Run, RunPurse] = WeakKeyDictionary()
        self._line: list[_Waiter] = []
        self._ceiling: int | None = None
        self._scarce = False
        self._told_need = 0
        self._telling = False
        self._waited = self._waited_ns = self._refused = self._unknown = 0
        self._unpriced = ""

    # -- calls ---------------------------------------------------------------------------------

    def reserve(
        self, user: AgentUser, body: bytes, model: str, limit: int | None, replies: int, *, of_run: bool = True
    ) -> Reservation:
        """Set the worst case of a request aside, or wait until there is room. Raises Refused for the run's budget.

        `of_run` is False for what is none of the agent's doing: it is paid from the shared budget alone.
        A model without a price ends the test: its call waits for that.
        """
        if not of_run and not self._shared:
            return Reservation()
        price = self._prices.price(model)
        if price is None:
            self._unpriced = self._unpriced or model
            self._tell_soon()
            self._wait(user, _Waiter(0))
            raise gevent.GreenletExit
        began_ns = time.monotonic_ns()
        amount = worst_case(price, body, limit, replies)
        run = self._run_purse(user) if of_run else None
        waited = run is not None and self._reserve_in_run(user, run, amount)
        reservation = Reservation(self, amount, run)
        if self._shared and (self._blocked(amount) or not self._purse.reserve(amount)):
            waited = True
            try:
                self._queue(user, amount)
            except BaseException:
                self._settle_run(run, amount, 0)
                raise
        reservation.waited = waited
        took_ns = time.monotonic_ns() - began_ns
        if took_ns >= LONG_NS:
            self._waited += 1
            self._waited_ns += took_ns
        return reservation

    def settle(self, amount: int, cost: int | None, run: RunPurse | None) -> None:
        """An attempt ended for which `amount` was set aside."""
        if cost is None:
            self._unknown += amount
            cost = amount
        self._settle_run(run, amount, cost)
        if self._shared:
            self._purse.settle(amount, cost)
            self._serve()

    # -- the run's budget ----------------------------------------------------------------------

    def _run_purse(self, user: AgentUser) -> RunPurse | None:
        run = user.current_run
        if run is None:
            return None
        while run.parent is not None:
            run = run.parent
        if run not in self._runs:
            amount = self._run_budget_of(type(user))
            if amount is None:
                return None
            self._runs[run] = RunPurse(Purse(granted=amount))
        return self._runs[run]

    def _run_budget_of(self, cls: type[AgentUser]) -> int | None:
        if self._run_budget is not None:
            return self._run_budget
        if cls not in self._run_budgets:
            self._run_budgets[cls] = parse_amount(cls.run_budget, cls.__name__) if cls.run_budget else None
        return self._run_budgets[cls]

    def _reserve_in_run(self, user: AgentUser, run: RunPurse, amount: int) -> bool:
        """Set money of the run's aside; True when other calls of the run had to end first. Raises Refused."""
        waited = False
        purse = run.purse
        while not purse.reserve(amount):
            left = purse.granted - purse.spent
            if amount > left:
                self._refused += 1
                needs, has, had = (show_usd(usd / PICOUSD) for usd in (amount, max(left, 0), purse.granted))
                raise Refused(f"the call may cost {needs}, its run has {has} left of {had}")
            waited = True
            waiter = _Waiter(amount)
            run.waiting.append(waiter)
            try:
                self._wait(user, waiter)
            finally:
                run.waiting.remove(waiter)
        return waited

    def _settle_run(self, run: RunPurse | None, amount: int, cost: int) -> None:
        if run is not None:
            run.purse.settle(amount, cost)
            for waiter in run.waiting:
                waiter.news.set()

    # -- the shared budget ---------------------------------------------------------------------

    def hear(self, word: Mapping[str, Any]) -> None:
        """The Treasury grants `n`, and says what it will never grant and whether money is scarce."""
        self._purse.granted += word["n"]
        if word["n"]:
            self._told_need = 0
        self._ceiling = word["ceiling"]
        self._scarce = word["scarce"]
        self._serve()

    def report(self, *, idle: bool) -> None:
        """Tell how things stand; with nobody here who would spend it, nothing is kept."""
        if self._shared and idle and not self._line:
            self._purse.give_back()
        self._tell(self._word())

    def _blocked(self, amount: int) -> bool:
        """True when someone is before a call of that amount in the line."""
        return any(self._may_fit(waiter.amount) for waiter in self._line) or not self._may_fit(amount)

    def _may_fit(self, amount: int) -> bool:
        return self._ceiling is None or amount <= self._ceiling

    def _queue(self, user: AgentUser, amount: int) -> None:
        waiter = _Waiter(amount)
        self._line.append(waiter)
        self._serve()
        try:
            while not waiter.served:
                self._wait(user, waiter)
        except BaseException:
            if waiter.served:
                self._purse.settle(amount, 0)
            else:
                self._line.remove(waiter)
            self._serve()
            raise

    def _serve(self) -> None:
        """Give those in the line what there is, the first first; return what is of no use here."""
        for waiter in list(self._line):
            if self._may_fit(waiter.amount):
                if not self._purse.reserve(waiter.amount):
                    break
                self._line.remove(waiter)
                waiter.served = True
                waiter.news.set()
        needs = self._needs()
        if self._scarce or needs != self._told_need:
            self._tell_soon()

    def _needs(self) -> int:
        """The worst case of the call that is next; of the cheapest, when none will ever fit."""
        amounts = [waiter.amount for waiter in self._line]
        return next((amount for amount in amounts if self._may_fit(amount)), min(amounts, default=0))

    def _tell_soon(self) -> None:
        if not self._telling:  # whatever else settles in this turn of the hub goes with it
            self._telling = True
            gevent.spawn(self._tell_now)

    def _tell_now(self) -> None:
        self._telling = False
        if self._scarce:
            self._purse.give_back()
        self._tell(self._word())

    def _word(self) -> dict[str, Any]:
        purse = self._purse
        self._told_need = self._needs()
        return {
            "spent": purse.spent,
            "returned": purse.returned,
            "overrun": purse.overrun,
            "need": self._told_need,
            "least": min((waiter.amount for waiter in self._line), default=0),
            "want": sum(waiter.amount for waiter in self._line if self._may_fit(waiter.amount)),
            "waited": self._waited,
            "waited_ns": self._waited_ns,
            "refused": self._refused,
            "unknown": self._unknown,
            "unpriced": self._unpriced,
        }

    def _wait(self, user: AgentUser, waiter: _Waiter) -> None:
        """Wait for news, or a little: look again after it.

        A user that waits in its own greenlet can be stopped at once, like one between tasks.
        """
        state = user._state
        if state == LOCUST_STATE_STOPPING:
            raise gevent.GreenletExit
        waiter.news.clear()
        if gevent.getcurrent() is user._greenlet:
            if state == LOCUST_STATE_RUNNING:
                user._state = LOCUST_STATE_WAITING
            waiter.news.wait()
            if user._state != LOCUST_STATE_STOPPING:
                user._state = state
        else:
            waiter.news.wait(_LOOK_S)
        if user._state == LOCUST_STATE_STOPPING:
            raise gevent.GreenletExit
