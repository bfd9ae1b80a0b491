"""The exchange's time: real time made faster, or time that passes only when it is told to."""

from __future__ import annotations

import asyncio
import time


class VenueClock:
    """Seconds of exchange time since `epoch`, which is a wall-clock time both sides know.

    With `speed` 10 a second of the exchange lasts 0.1 s. With `speed` 0 time stands until `advance`.
    """

    def __init__(self, speed: float = 1.0, epoch: float | None = None) -> None:
        self.speed = speed
        self.epoch = time.time() if epoch is None else epoch
        self._stepped_s = 0.0
        self._origin = time.monotonic() - (time.time() - self.epoch)

    def elapsed(self) -> float:
        """Seconds of exchange time since the epoch."""
        return (time.monotonic() - self._origin) * self.speed if self.speed else self._stepped_s

    def now(self) -> float:
        """Exchange time, in seconds since 1970."""
        return self.epoch + self.elapsed()

    def advance(self, seconds: float) -> None:
        """Let stepped time pass."""
        self._stepped_s += seconds

    async def sleep(self, seconds: float) -> None:
        """Wait so long in exchange time; stepped time is not waited for."""
        if self.speed:
            await asyncio.sleep(seconds / self.speed)
