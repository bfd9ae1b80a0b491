"""The lag probe: weighted by time, so that a blocked hub cannot hide behind the ticks it missed."""

from __future__ import annotations

import time

import gevent
import pytest

from agentlocust.monitor.lag import TICK_S, LagProbe

MS = 1_000_000


@pytest.fixture
def probe():
    probe = LagProbe()
    yield probe
    probe.stop()


class Clock:
    """A monotonic clock that moves when it is told to; stands for the time module."""

    def __init__(self) -> None:
        self.now = 10**9

    def monotonic_ns(self) -> int:
        return self.now


def test_a_blocked_hub_yields_every_tick_it_missed(probe):
    """300 ms of standing still are some thirty lags from 290 ms down to nothing, and none is lost."""
    probe.start()
    gevent.sleep(0.05)
    probe.take()
    blocked = time.monotonic_ns()
    time.sleep(0.3)  # the hub stands still
    gevent.sleep(0)
    lag = probe.take()
    took = time.monotonic_ns() - blocked
    assert 270 * MS <= lag.max <= took
    assert lag.count >= 28
    assert lag.percentile(50) >= 100 * MS
    assert lag.count * TICK_S * 1e9 <= took + 40 * MS


def test_a_block_still_under_way_is_told(probe):
    """What blocks may be what asks: a take without the hub in between holds the block all the same."""
    probe.start()
    time.sleep(0.1)
    lag = probe.take()
    assert lag.max >= 80 * MS
    assert lag.count >= 8


def test_taking_often_adds_no_ticks(probe):
    """There is a tick each ten milliseconds at most, however often it is asked."""
    probe.start()
    begun = time.monotonic_ns()
    taken = []
    for _ in range(20):
        gevent.sleep(0.003)
        taken.append(probe.take())
    ticks = (time.monotonic_ns() - begun) / TICK_S / 1e9
    count = sum(lag.count for lag in taken)
    assert 0 < count <= ticks + 2


def test_taking_early_hides_nothing(monkeypatch):
    """A take between two ticks leaves the next tick's lag as it is."""
    from agentlocust.monitor import lag as module

    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    probe = LagProbe()
    probe.start()
    try:
        clock.now += 9 * MS
        assert probe.take().count == 0
        clock.now += 8 * MS  # the tick is 7 ms late
        lag = probe.take()
    finally:
        probe.stop()
    assert (lag.count, lag.max) == (1, 7 * MS)


@pytest.mark.parametrize(
    ("passed_ms", "lags_ms"),
    [(10, [0]), (9, []), (25, [15, 5]), (40, [30, 20, 10, 0]), (45, [35, 25, 15, 5])],
)
def test_each_missed_tick_has_the_lag_it_would_have_had(monkeypatch, passed_ms, lags_ms):
    """Coordinated omission, undone."""
    from agentlocust.monitor import lag as module

    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    probe = LagProbe()
    probe.start()
    try:
        clock.now += passed_ms * MS + (passed_ms % 10 == 0)  # just beyond, that the tick is due
        lag = probe.take()
    finally:
        probe.stop()
    assert lag.count == len(lags_ms)
    assert lag.sum // MS == sum(lags_ms)


def test_hours_of_a_stopped_process_end_soon(monkeypatch):
    """A process stopped for a day counts its worst lag, and no million ticks."""
    from agentlocust.monitor import lag as module

    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    probe = LagProbe()
    probe.start()
    try:
        clock.now += 86_400 * 10**9
        lag = probe.take()
    finally:
        probe.stop()
    assert lag.max > 86_399 * 10**9
    assert lag.count <= 5000


def test_it_begins_anew(probe):
    """A second start knows nothing of the first; stopping twice is no error."""
    probe.start()
    time.sleep(0.05)
    probe.start()
    assert probe.take().max < 40 * MS
    probe.stop()
    probe.stop()
