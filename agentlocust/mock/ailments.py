"""What goes wrong with the mock's process: it freezes, dies, leaks, or only fills a cache."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable

from agentlocust.mock.pressure import Pressure

_TICK_S = 0.1
_FROZEN_TICK_S = 0.05
_CACHE_PARTS = 100


class Ailments:
    """The troubles that `pressure` names, counted from the first request since the start or a reset.

    `is_ending` is asked during a freeze, so that a frozen mock can still be stopped.
    """

    def __init__(self, pressure: Pressure, is_ending: Callable[[], bool]) -> None:
        self._pressure = pressure
        self._is_ending = is_ending
        self._first: float | None = None  # monotonic
        self._timers: list[asyncio.TimerHandle] = []
        self._kept: list[bytes] = []
        self._cached: list[bytes] = []
        self._descriptors: list[int] = []
        self._never = threading.Event()
        self._leaked = {"bytes": 0, "descriptors": 0, "threads": 0}

    def request(self, in_flight: int) -> None:
        """A request has come; `in_flight` counts it too."""
        pressure = self._pressure
        if 0 < pressure.die_at_concurrency <= in_flight:
            os._exit(1)
        if self._first is None:
            self._begin()
        if pressure.leak:
            self._kept.append(_touched(pressure.leak))
        if pressure.cache and len(self._cached) < _CACHE_PARTS:
            self._cached.append(_touched(-(-pressure.cache // _CACHE_PARTS)))

    def reset(self) -> None:
        """Begin anew with the next request; what was leaked stays leaked."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._first = None
        self._leaked = dict.fromkeys(self._leaked, 0)

    def _begin(self) -> None:
        pressure, loop = self._pressure, asyncio.get_running_loop()
        self._first = time.monotonic()
        if pressure.die is not None:
            self._timers.append(loop.call_later(pressure.die, os._exit, 1))
        if pressure.freeze is not None:
            start, length = pressure.freeze
            self._timers.append(loop.call_later(start, self._freeze, self._first + start + length))
        if pressure.leak_rate or pressure.leak_fds or pressure.leak_threads:
            self._timers.append(loop.call_later(_TICK_S, self._leak, self._first))

    def _freeze(self, until: float) -> None:
        """Hold the loop: sockets fill up, clients wait, timers come due."""
        while (left := until - time.monotonic()) > 0 and not self._is_ending():
            time.sleep(min(left, _FROZEN_TICK_S))  # blocks the loop: that is the ailment

    def _leak(self, first: float) -> None:
        """Leak what is due by now."""
        elapsed, pressure = time.monotonic() - first, self._pressure
        if number := self._more("bytes", pressure.leak_rate * elapsed):
            self._kept.append(_touched(number))
        # At the process's limit nothing more can leak: the server is then as ill as it was meant to be.
        with contextlib.suppress(OSError):
            for _ in range(self._more("descriptors", pressure.leak_fds * elapsed)):
                self._descriptors.append(os.open(os.devnull, os.O_RDONLY))
        with contextlib.suppress(RuntimeError):
            for _ in range(self._more("threads", pressure.leak_threads * elapsed)):
                threading.Thread(target=self._never.wait, daemon=True).start()
        loop = asyncio.get_running_loop()
        self._timers[-1] = loop.call_later(_TICK_S, self._leak, first)

    def _more(self, what: str, due: float) -> int:
        """How many of `what` are due that were not leaked yet; they are counted as leaked."""
        number = int(due) - self._leaked[what]
        self._leaked[what] += number
        return number


def _touched(size: int) -> bytes:
    """That many bytes, each written, so that the memory is really used."""
    return b"\x01" * size
