"""What a request passes before its reply is made: the rate limit, then the line for a slot."""

from __future__ import annotations

import math
import time

from agentlocust.mock import apis
from agentlocust.mock.asks import BadAsk
from agentlocust.mock.bucket import TokenBucket
from agentlocust.mock.exchange import Exchange
from agentlocust.mock.pressure import Pressure
from agentlocust.mock.slots import QueueFull, Slots
from agentlocust.mock.truth import Truth


class Gate:
    """Lets exchanges in as `pressure` says and counts in `truth` who waited and who was refused."""

    def __init__(self, pressure: Pressure, truth: Truth) -> None:
        self._pressure = pressure
        self._serving = 0
        self._slots = Slots(pressure.slots, pressure.queue, truth.queue_is) if pressure.slots else None
        burst = max(1.0, pressure.rate) if pressure.burst is None else pressure.burst
        self._bucket = TokenBucket(pressure.rate, burst, time.monotonic()) if pressure.rate else None

    async def enter(self, exchange: Exchange) -> None:
        """Wait for a slot; the reply's times count from when it was got. Raises BadAsk for a refusal.

        An exchange that has `entered` must `leave`.
        """
        assert exchange.visit is not None, "only what is counted is let in"
        if self._bucket is not None and (wait := self._bucket.take(time.monotonic())):
            exchange.visit.refused("rate")
            refusal = BadAsk.of(apis.problem_named("rate_limited", exchange.is_anthropic))
            refusal.retry_after_s = whole_ms(wait)
            raise refusal
        if self._slots is not None:
            try:
                exchange.started = await self._slots.take(exchange.received)
            except QueueFull:
                exchange.visit.refused("queue")
                full = self._pressure.queue_full
                raise BadAsk.of(apis.problem_named(full, exchange.is_anthropic)) from None
            if exchange.started > exchange.received:
                exchange.visit.waited(round((exchange.started - exchange.received) * 1e9))
        exchange.entered = True
        self._serving += 1
        if self._pressure.contention:
            exchange.slowness = self._slowness

    def leave(self, exchange: Exchange) -> None:
        """The reply is whole, or its client is gone."""
        self._serving -= 1
        if self._slots is not None:
            self._slots.give(exchange.due)

    def _slowness(self) -> float:
        return 1 + self._pressure.contention * (self._serving - 1)


def whole_ms(wait_s: float) -> float:
    """`wait_s` rounded up to milliseconds, as seconds from which a header's writer gets all of them back."""
    wait_ms = math.ceil(wait_s * 1000)
    found = wait_ms / 1000
    return found if int(found * 1000) == wait_ms else math.nextafter(found, math.inf)
