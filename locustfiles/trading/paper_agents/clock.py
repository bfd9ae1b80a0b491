"""The agent's clocks. Exchange and agent share a time scale, so that a scenario of minutes takes seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """What an agent tells time by, in seconds of the exchange's time."""

    def time(self) -> float:
        """The wall clock, since 1970; it may be wrong, and may jump."""

    def monotonic(self) -> float:
        """A clock that only goes forward, from anywhere."""

    def sleep(self, seconds: float) -> None:
        """Wait."""

    def real(self, seconds: float) -> float:
        """So many seconds of exchange time as seconds of real time, for a socket's time-out."""


class ScaledClock:
    """Time that passes `speed` times as fast as it does; `jump` puts the wall clock wrong."""

    def __init__(self, speed: float, epoch: float) -> None:
        self._speed, self._epoch, self._wrong_s = speed, epoch, 0.0
        self._origin = time.monotonic() - (time.time() - epoch)

    def time(self) -> float:
        """The wall clock."""
        return self._epoch + self.monotonic() + self._wrong_s

    def monotonic(self) -> float:
        """Seconds since the epoch."""
        return (time.monotonic() - self._origin) * self._speed

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(max(seconds, 0.0) / self._speed)

    def real(self, seconds: float) -> float:
        """A duration in real time."""
        return seconds / self._speed

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward, or back."""
        self._wrong_s += seconds


class SteppedClock:
    """Time that stands until somebody sleeps; `advance` is told, so that the exchange's passes too."""

    def __init__(self, advance: Callable[[float], None], epoch: float) -> None:
        self._advance, self._epoch = advance, epoch
        self._now = self._wrong_s = 0.0

    def time(self) -> float:
        """The wall clock."""
        return self._epoch + self._now + self._wrong_s

    def monotonic(self) -> float:
        """Seconds since the epoch."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        if seconds > 0:
            self._advance(seconds)
            self._now += seconds

    def real(self, seconds: float) -> float:
        """A duration in real time: nothing takes any in stepped time, so it is a mere precaution."""
        return seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward, or back."""
        self._wrong_s += seconds
