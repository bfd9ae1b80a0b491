"""The lag probe: weighted by time, so that a blocked hub cannot hide behind the ticks it missed."""

from __future__ import annotations

import time

import gevent
import pytest

from agentlocust.monitor.lag import TICK_S, LagProbe

MS = 1_000_000


class Clock:
    """A monotonic clock that moves when it is told to; stands for the time module."""

    def __init__(self) -> None:
        self.now = 10**9

    def monotonic_ns(self) -> int:
        return self.now


@pytest.fixture
def probe():
    probe = LagProbe()
    yield probe
    probe.stop()


@pytest.fixture
def clock(monkeypatch):
    from agentlocust.monitor import lag as module

    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_a_blocked_hub_yields_every_tick_it_missed(probe):
    """300 ms of standing still are some thirty lags from 290 ms down to nothing, and none is lost."""
    probe.start()
    gevent.sleep(0.05)
    before = time.monotonic_ns()  # the block begins at most a tick earlier, however busy the machine is
    probe.take()
    time.sleep(0.3)  # the hub stands still
    gevent.sleep(0)
    lag = probe.take()
    took = time.monotonic_ns() - before
    assert 270 * MS <= lag.max <= took
    assert lag.count >= 28
    assert lag.percentile(50) >= 100 * MS
    assert lag.count * TICK_S * 1e9 <= took + 20 * MS


def test_a_block_still_under_way_is_told(probe):
    """What blocks may be what asks: a take without the hub in between holds the block all the same."""
    probe.start()
    time.sleep(0.1)
    lag = probe.take()
    assert lag.max >= 80 * MS
    assert lag.count >= 8


@pytest.mark.parametrize("late_ms", [0, 1, 3])
def test_taking_often_adds_no_ticks(probe, clock, late_ms):
    """There is a tick each ten milliseconds, however often it is asked and whoever comes first."""
    probe.start()
    count = 0
    for now_ms in range(1, 201):
        clock.now += MS
        if now_ms % 3 == 0:
            count += probe.take().count
        if now_ms > 10 and now_ms % 10 == late_ms:
            probe._on_tick()
    assert 19 <= count + probe.take().count <= 20


def test_a_tick_that_makes_up_for_a_late_one_is_none(probe, clock):
    """The loop fires again at once after a tick that was late; that adds no second tick, and hides no lag."""
    probe.start()
    clock.now += 25 * MS
    for passed_ms in (0, 1, 3, 10, 12):
        clock.now += passed_ms * MS
        probe._on_tick()
    lag = probe.take()
    assert (lag.count, lag.max, lag.sum) == (4, 15 * MS, (15 + 5 + 2) * MS)


def test_taking_early_hides_nothing(probe, clock):
    """A take between two ticks leaves the next tick's lag as it is."""
    probe.start()
    clock.now += 9 * MS
    assert probe.take().count == 0
    clock.now += 8 * MS  # the tick is 7 ms late
    lag = probe.take()
    assert (lag.count, lag.max) == (1, 7 * MS)


@pytest.mark.parametrize(
    ("passed_ms", "lags_ms"),
    [(10, [0]), (9, []), (25, [15, 5]), (40, [30, 20, 10, 0]), (45, [35, 25, 15, 5])],
)
def test_each_missed_tick_has_the_lag_it_would_have_had(probe, clock, passed_ms, lags_ms):
    """Coordinated omission, undone."""
    probe.start()
    clock.now += passed_ms * MS + (passed_ms % 10 == 0)  # just beyond, that the tick is due
    lag = probe.take()
    assert lag.count == len(lags_ms)
    assert lag.sum // MS == sum(lags_ms)


def test_hours_of_a_stopped_process_end_soon(probe, clock):
    """A process stopped for a day counts its worst lag, and no million ticks."""
    probe.start()
    clock.now += 86_400 * 10**9
    lag = probe.take()
    assert lag.max > 86_399 * 10**9
    assert lag.count <= 5000


def test_it_begins_anew(probe, clock):
    """A second start knows nothing of the first; stopping twice is no error."""
    probe.start()
    clock.now += 50 * MS
    probe.start()
    clock.now += 12 * MS
    assert probe.take().max == 2 * MS
    probe.stop()
    probe.stop()
