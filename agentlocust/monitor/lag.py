"""The hub's lag: how late a timer fires that should fire every ten milliseconds."""

from __future__ import annotations

import time
from typing import Any

import gevent

from agentlocust.sketch import Sketch

TICK_S = 0.01
_TICK_NS = round(TICK_S * 1e9)
_MOST_TICKS = 3000  # of one block that are counted


class LagProbe:
    """Measures lag continuously, weighted by time.

    A hub that was blocked for a second missed a hundred ticks, not one: each is counted with the
    lag it would have had, as coordinated omission demands.
    """

    def __init__(self) -> None:
        self._lag = Sketch()
        self._last_ns = 0
        self._timer: Any = None

    def start(self) -> None:
        """Begin, or begin anew, with nothing counted."""
        self.stop()
        self._lag = Sketch()
        self._last_ns = time.monotonic_ns()
        self._timer = gevent.get_hub().loop.timer(TICK_S, repeat=TICK_S)
        self._timer.start(self._on_tick)

    def stop(self) -> None:
        """End."""
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None

    def take(self) -> Sketch:
        """The lags in nanoseconds since the last take, that of a block still under way included."""
        if time.monotonic_ns() - self._last_ns > _TICK_NS:  # a tick that came early would hide the next one's lag
            self._on_tick()
        lag, self._lag = self._lag, Sketch()
        return lag

    def _on_tick(self) -> None:
        now_ns = time.monotonic_ns()
        lag = now_ns - self._last_ns - _TICK_NS
        self._last_ns = now_ns
        if lag < -_TICK_NS // 2:  # the loop fires again at once after a late tick: no tick of its own
            return
        add = self._lag.add
        add(max(lag, 0))
        missed = min(lag // _TICK_NS, _MOST_TICKS)
        for _ in range(missed):
            lag -= _TICK_NS
            add(max(lag, 0))
