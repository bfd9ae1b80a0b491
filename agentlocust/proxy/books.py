"""The proxy's books: passages that ended are read one after the other, told of, and added up."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from agentlocust.pricing import PriceBook
from agentlocust.proxy.passage import Passage
from agentlocust.proxy.reading import read
from agentlocust.proxy.record import Attempt
from agentlocust.tokens import TokenCounter
from agentlocust.units import usd_text

Listener = Callable[[Passage, Attempt], None]


class Books:
    """Reads in a task of its own; each `listener` hears of every passage, in the order in which they ended."""

    def __init__(self, prices: PriceBook | None, listeners: list[Listener]) -> None:
        self._prices = prices
        self._listeners = listeners
        self._counter = TokenCounter()
        self._ended: asyncio.Queue[Passage | None] = asyncio.Queue()
        self._sums: Counter[str] = Counter()
        self._kinds: Counter[str] = Counter()
        self._by: Counter[str] = Counter()

    def add(self, passage: Passage) -> None:
        """A passage is over."""
        self._ended.put_nowait(passage)

    async def run(self) -> None:
        """Read until `finish`."""
        while (passage := await self._ended.get()) is not None:
            reading = read(passage, self._counter, self._prices)
            while True:
                try:
                    wanted = next(reading)
                except StopIteration as end:
                    attempt: Attempt = end.value
                    break
                if wanted:  # half a second of work
                    await asyncio.to_thread(self._counter.load, wanted)
                else:
                    await asyncio.sleep(0)
            self._note(attempt)
            for listener in self._listeners:
                listener(passage, attempt)

    def finish(self) -> None:
        """No more will come; those that came are read."""
        self._ended.put_nowait(None)

    def _note(self, attempt: Attempt) -> None:
        sums = self._sums
        sums["requests"] += 1
        sums["bytes"] += attempt.response_bytes
        if attempt.failure:
            self._kinds[attempt.failure] += 1
            sums["failed"] += 1
        if attempt.faults:
            sums["faulted"] += 1
        if attempt.tool:
            sums["tool_calls"] += 1
        if not attempt.dialect:
            return
        self._by[attempt.by or "none"] += 1
        usage = attempt.usage
        sums["attempts"] += 1
        sums["calls"] += attempt.number <= 0
        for name in ("input", "cache_read", "cache_write", "output", "reasoning"):
            sums[name] += getattr(usage, name)
        if usage.estimated:
            sums["estimated"] += usage.total
        if attempt.cost_picousd is None:
            sums["unpriced"] += 1
        else:
            sums["cost_picousd"] += attempt.cost_picousd

    def totals(self) -> dict[str, Any]:
        """All so far, as a JSON object. `calls` are first attempts."""
        sums = self._sums
        plain = ("requests", "calls", "attempts", "failed", "faulted", "tool_calls", "unpriced", "bytes")
        tokens = ("input", "cache_read", "cache_write", "output", "reasoning", "estimated")
        return {
            **{name: sums[name] for name in plain},
            "failures": dict(self._kinds),
            "runs_known_by": dict(self._by),
            "tokens": {name: sums[name] for name in tokens},
            "cost_usd": usd_text(sums["cost_picousd"]),
        }
