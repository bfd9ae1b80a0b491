"""A test's money where the test is judged: slices handed out, the end when nothing fits any more."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gevent

from agentlocust.budget import Budget, Treasury
from agentlocust.errors import ConfigError
from agentlocust.mock.behaviour import split_model
from agentlocust.pricing import PriceBook
from agentlocust.pricing.worst_case import worst_case
from agentlocust.redact import terminal_safe
from agentlocust.units import PICOUSD, show_usd, usd_text
from agentlocust.users.base import AgentUser
from agentlocust.users.judge import Judge

logger = logging.getLogger(__name__)

HERE = "local"  # the one process of a test without workers
PASSING_S = 0.1  # how often a rate's budget is looked at: time alone makes room

Send = Callable[[str, dict[str, Any]], None]


class Spending:
    """Keeps one test within its budget; `stopped` says why it must end, "" while it need not.

    `send` takes a word for a worker's guard, `wake` is called when the test must end.
    """

    def __init__(self, budget: Budget, send: Send, wake: Callable[[], None]) -> None:
        self.budget = budget
        self.stopped = ""
        self._treasury = Treasury(budget, time.monotonic_ns())
        self._send = send
        self._wake = wake
        self._words: dict[str, Mapping[str, Any]] = {}
        self._in_vain: dict[str, int] = {}  # needs that their workers know to be too large
        self._clock = gevent.spawn(self._pass_time) if budget.rate is not None else None

    @property
    def order(self) -> dict[str, Any]:
        """What every process is told before the test begins."""
        return {"shared": self.budget.shared, "run": self.budget.run}

    def take(self, worker: str, word: Mapping[str, Any]) -> None:
        """A worker's guard tells how things stand there."""
        self._words[worker] = word
        self._treasury.told(worker, word, time.monotonic_ns())
        if word["unpriced"]:
            self._stop(f"{terminal_safe(word['unpriced'])!r} has no price, so no budget can be kept")
        self._go_on()

    def lost(self, worker: str) -> None:
        """A worker is gone; what it holds counts as spent."""
        self._treasury.lost(worker, time.monotonic_ns())
        self._go_on()

    def end(self) -> None:
        """The test is over."""
        if self._clock is not None:
            self._clock.kill(block=False)

    def facts(self) -> dict[str, Any]:
        """The `budget` part of a Summary: dollars as exact text."""
        treasury, words = self._treasury, self._words.values()
        amounts = {
            "total_usd": self.budget.total,
            "spent_usd": treasury.spent if self.budget.shared else None,
            "unknown_usd": sum(word["unknown"] for word in words),
            "written_off_usd": sum(part.held - part.spent for part in treasury.slices.values() if part.lost),
            "overrun_usd": sum(part.overrun for part in treasury.slices.values()),
            "reserved_peak_usd": treasury.most_out,
        }
        return {
            "limits": str(self.budget) or "each run's own",
            **{name: usd_text(amount) for name, amount in amounts.items() if amount is not None},
            "waited_calls": sum(word["waited"] for word in words),
            "waited_s": sum(word["waited_ns"] for word in words) / 1e9,
            "refused_calls": sum(word["refused"] for word in words),
            "stopped": self.stopped,
        }

    def _pass_time(self) -> None:
        while True:
            gevent.sleep(PASSING_S)
            self._go_on()

    def _go_on(self) -> None:
        treasury, was_scarce = self._treasury, self._treasury.scarce
        words = dict(treasury.serve(time.monotonic_ns()))
        ceiling = treasury.ceiling
        if treasury.scarce and not was_scarce:
            words = dict.fromkeys(treasury.slices, 0) | words
        for worker, part in treasury.slices.items():
            if ceiling is not None and part.need > ceiling and self._in_vain.get(worker) != part.need:
                self._in_vain[worker] = part.need
                words.setdefault(worker, 0)
        for worker, amount in words.items():
            self._send(worker, {"n": amount, "ceiling": ceiling, "scarce": treasury.scarce})
        if need := treasury.in_vain():
            spent = f"{show_usd(treasury.spent / PICOUSD)} of {self.budget} is spent"
            self._stop(f"{spent}, and the next call may cost {show_usd(need / PICOUSD)}")

    def _stop(self, why: str) -> None:
        if not self.stopped:
            self.stopped = why
            self._wake()


def check_prices(budget: Budget, users: Sequence[type[AgentUser]], prices: PriceBook) -> None:
    """Refuse User classes and judges whose model has no price: nothing could guard them. Raises ConfigError."""
    for cls in users:
        model = split_model(cls.model)[0]
        if model and cls.guarded and (budget or cls.run_budget):
            _check_price(model, f"{cls.__name__}.model", prices)
    if budget.shared:
        for model in sorted({judge.priced_as for judge in Judge.known}):
            _check_price(model, "Judge.model", prices)


def _check_price(model: str, where: str, prices: PriceBook) -> None:
    if prices.price(model) is None:
        near = prices.near(model)
        hint = f"did you mean {' or '.join(near)}? Or list it" if near else "list it"
        raise ConfigError(
            f"the model {model!r} has no price, so no budget can be kept",
            where=where,
            hint=f"{hint} in a file of your own: --pricing FILE",
        )


def tell_limits(budget: Budget, users: Sequence[type[AgentUser]], prices: PriceBook, *, proxied: bool = False) -> None:
    """Say what is guarded, what is not, and whose calls will not fit."""
    if budget:
        logger.info("agentlocust: budget %s; each call's worst case is set aside before it is sent", budget)
    for cls in users:
        if not cls.guarded and proxied:
            logger.info(
                "agentlocust: the budget holds for what %s has its service ask through the proxy, and for nothing else",
                cls.__name__,
            )
        elif not cls.guarded:
            logger.warning(
                "agentlocust: the budget does not hold for %s: what a service spends is guarded by --proxy only",
                cls.__name__,
            )
        price = prices.price(split_model(cls.model)[0])
        if not cls.guarded or price is None or cls.max_tokens is not None:
            continue
        most, limits = worst_case(price, b""), [budget.total, budget.rate, budget.run]
        if any(limit is not None and limit < most for limit in limits):
            logger.warning(
                "agentlocust: without max_tokens a call of %s may cost %s, more than the budget",
                cls.__name__,
                show_usd(most / PICOUSD),
            )
