"""The proxy's budget guard: a call's worst case is set aside before it goes on, or the call is refused.

It speaks to the Treasury as a worker's guard does: words that only ever grow go there, slices come back. In a
test that is the master's; a proxy by itself has one of its own. Unlike a user of ours an agent cannot be stopped,
so a call that will never fit is answered with a 402; one that may fit once others have ended waits for them.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agentlocust.budget import Budget, Purse, Treasury, cost_of_failed
from agentlocust.pricing import PriceBook
from agentlocust.pricing.worst_case import output_limit, worst_case
from agentlocust.proxy.passage import Passage
from agentlocust.proxy.reading import plain_model
from agentlocust.proxy.record import Attempt
from agentlocust.units import PICOUSD, show_usd

LONG_NS = 100_000_000
_MAX_RUNS = 100_000
_PASSING_S = 0.1

Word = dict[str, Any]


@dataclass(slots=True, eq=False)
class _Waiter:
    amount: int
    news: asyncio.Future[bool]


@dataclass(slots=True)
class Reservation:
    """Money set aside for one request. Settle it once; a second time changes nothing."""

    guard: Guard
    amount: int
    run: Purse | None
    waited: bool = False
    open: bool = True

    def settle(self, cost: int | None) -> None:
        """It has ended and cost so much; None when nobody told, and it counts in full."""
        if self.open:
            self.open = False
            self.guard.settle(self.amount, cost, self.run)


class Guard:
    """`tell` takes each word for the Treasury; `hear` takes what it answers."""

    def __init__(self, prices: PriceBook, tell: Callable[[Word], None], *, shared: bool, run: int | None) -> None:
        self._prices = prices
        self._tell = tell
        self._shared = shared
        self._run = run
        self._purse = Purse()
        self._runs: OrderedDict[str, Purse] = OrderedDict()
        self._line: list[_Waiter] = []
        self._ceiling: int | None = None
        self._scarce = False
        self._least_refused = self._told_need = 0
        self._telling = False
        self._waited = self._waited_ns = self._refused = self._unknown = 0

    async def admit(self, passage: Passage) -> str:
        """Set the worst case of a request aside; why it must not go on, or "" when it may."""
        body = passage.asked
        try:
            asked = json.loads(body)
        except (ValueError, RecursionError):
            asked = {}
        asked = asked if isinstance(asked, dict) else {}
        model = plain_model(str(asked.get("model", ""))[:200])
        price = self._prices.price(model)
        if price is None:
            self._refused += 1
            return f"the model {model[:80]!r} has no price, so no budget can be kept"
        amount = worst_case(price, body, *output_limit(asked))
        began_ns = time.monotonic_ns()
        run = self._purse_of(passage.run)
        if run is not None and not run.reserve(amount):
            self._refused += 1
            left, had = (show_usd(usd / PICOUSD) for usd in (max(run.free, 0), run.granted))
            return f"the call may cost {show_usd(amount / PICOUSD)}, its run has {left} left of {had}"
        if self._shared and (self._line or not self._purse.reserve(amount)) and not await self._wait(amount):
            if run is not None:
                run.settle(amount, 0)
            self._refused += 1
            self._least_refused = min(self._least_refused or amount, amount)
            self._tell_soon()
            return f"the budget is spent: the call may cost {show_usd(amount / PICOUSD)}"
        took_ns = time.monotonic_ns() - began_ns
        if took_ns >= LONG_NS:
            self._waited += 1
            self._waited_ns += took_ns
        passage.reservation = Reservation(self, amount, run)
        return ""

    def ended(self, passage: Passage, attempt: Attempt) -> None:
        """A listener of the books: what a request came to is known."""
        if passage.reservation is not None:
            passage.reservation.settle(_cost(attempt))

    def settle(self, amount: int, cost: int | None, run: Purse | None) -> None:
        """A request ended for which `amount` was set aside."""
        if cost is None:
            self._unknown += amount
            cost = amount
        if run is not None:
            run.settle(amount, cost)
        if self._shared:
            self._purse.settle(amount, cost)
            self._serve()

    def _purse_of(self, run: str) -> Purse | None:
        if self._run is None or not run:
            return None
        purse = self._runs.get(run)
        if purse is None:
            purse = self._runs[run] = Purse(granted=self._run)
            if len(self._runs) > _MAX_RUNS:
                self._runs.popitem(last=False)
        return purse

    async def _wait(self, amount: int) -> bool:
        """Wait for money; False when there will be none."""
        if self._ceiling is not None and amount > self._ceiling:
            return False
        waiter = _Waiter(amount, asyncio.get_running_loop().create_future())
        self._line.append(waiter)
        self._serve()
        try:
            return await waiter.news
        except asyncio.CancelledError:  # its client left
            if waiter.news.done() and not waiter.news.cancelled() and waiter.news.result():
                self._purse.settle(amount, 0)
            elif waiter in self._line:
                self._line.remove(waiter)
            self._serve()
            raise

    def hear(self, word: Mapping[str, Any]) -> None:
        """The Treasury grants `n`, and says what it will never grant and whether money is scarce."""
        self._purse.granted += word["n"]
        if word["n"]:
            self._told_need = 0  # who is granted something has no need left that the Treasury knows of
        self._ceiling = word["ceiling"]
        self._scarce = word["scarce"]
        self._serve()

    def _serve(self) -> None:
        for waiter in list(self._line):
            if waiter.news.done():
                self._line.remove(waiter)
            elif self._ceiling is not None and waiter.amount > self._ceiling:
                self._line.remove(waiter)
                waiter.news.set_result(False)
            elif self._purse.reserve(waiter.amount):
                self._line.remove(waiter)
                waiter.news.set_result(True)
            else:
                break
        if self._scarce or self._need() != self._told_need:
            self._tell_soon()

    def _need(self) -> int:
        """The worst case of the call that is next; with nobody waiting, of the least that was refused."""
        return self._line[0].amount if self._line else self._least_refused

    def _tell_soon(self) -> None:
        if not self._telling:
            self._telling = True
            asyncio.get_running_loop().call_soon(self._tell_now)

    def _tell_now(self) -> None:
        self._telling = False
        if self._scarce:
            self._purse.give_back()
        self.report()

    def report(self) -> None:
        """Tell how things stand."""
        purse = self._purse
        amounts = [waiter.amount for waiter in self._line]
        need = self._told_need = self._need()
        self._tell(
            {
                "spent": purse.spent,
                "returned": purse.returned,
                "overrun": purse.overrun,
                "need": need,
                "least": min(amounts, default=self._least_refused),
                "want": sum(amounts),
                "waited": self._waited,
                "waited_ns": self._waited_ns,
                "refused": self._refused,
                "unknown": self._unknown,
                "unpriced": "",
            }
        )


def _cost(attempt: Attempt) -> int | None:
    if attempt.usage.total and not attempt.usage.estimated:
        return attempt.cost_picousd
    return cost_of_failed(attempt.status or attempt.own, attempt.failure or None)


class OwnTreasury:
    """The Treasury of a proxy that stands alone: the one worker's words are answered at once."""

    NAME = "proxy"

    def __init__(self, budget: Budget) -> None:
        self._treasury = Treasury(budget, time.monotonic_ns())
        self.guard: Guard | None = None
        self._said: tuple[int | None, bool] = None, False

    def told(self, word: Word) -> None:
        """The guard's word."""
        self._treasury.told(self.NAME, word, time.monotonic_ns())
        self.go_on()

    def go_on(self) -> None:
        """Hand out what there is; time alone makes room in a rate."""
        granted = dict(self._treasury.serve(time.monotonic_ns())).get(self.NAME, 0)
        state = self._treasury.ceiling, self._treasury.scarce
        if self.guard is not None and (granted or state != self._said):
            self._said = state
            self.guard.hear({"n": granted, "ceiling": state[0], "scarce": state[1]})

    async def pass_time(self) -> None:
        """Look now and then."""
        while True:
            await asyncio.sleep(_PASSING_S)
            self.go_on()
