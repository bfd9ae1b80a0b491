"""The generator's vital signs, second by second."""

from __future__ import annotations

import time
from types import SimpleNamespace

import gevent
import msgpack
import pytest

from agentlocust.health import Grade, Health, Second
from agentlocust.monitor import generator as module
from agentlocust.monitor.generator import GeneratorMonitor
from agentlocust.sketch import Sketch

MS = 1_000_000


@pytest.fixture
def monitor():
    monitor = GeneratorMonitor()
    yield monitor
    monitor.end()


def taken(monitor: GeneratorMonitor) -> tuple[list[Second], Sketch, dict[str, int]]:
    """What it told, through Locust's own encoding."""
    vitals = msgpack.unpackb(msgpack.packb(monitor.take()))
    return [Second(*second) for second in vitals["seconds"]], Sketch.decode(vitals["lag"]), vitals["stamps"]


def test_each_second_is_told_once(monitor):
    """Seconds count from the start, hold CPU, memory and sockets, and are not told again."""
    monitor.begin()
    gevent.sleep(2.1)
    seconds, lag, stamps = taken(monitor)
    assert [second.second for second in seconds] == [0, 1]
    assert all(second.rss > 10**6 for second in seconds)
    assert all(0 <= second.cpu <= 2000 for second in seconds)
    assert all(0 <= second.machine_cpu <= 1000 for second in seconds)
    assert lag.count > 50
    assert stamps == {}
    assert taken(monitor)[0] == []


def test_a_hub_blocked_for_seconds_is_that_many_bad_seconds(monitor):
    """Nobody reads the clock meanwhile: all of them are told afterwards, so a streak is a streak."""
    monitor.begin()
    time.sleep(3.2)
    gevent.sleep(0.05)
    monitor.end()
    seconds, lag, _ = taken(monitor)
    assert [second.second for second in seconds] == [0, 1, 2]
    assert all(second.grade is Grade.SATURATED for second in seconds)
    health = Health()
    health.add("local", [second.encode() for second in seconds], lag, {})
    assert health.grade is Grade.SATURATED


def test_the_end_loses_nothing(monitor):
    """Most of a second counts as one; of less, the lags are kept all the same."""
    monitor.begin()
    gevent.sleep(0.6)
    monitor.end()
    seconds, lag, _ = taken(monitor)
    assert [second.second for second in seconds] == [0]
    monitor.begin()
    gevent.sleep(0.02)
    time.sleep(0.2)
    monitor.end()
    seconds, lag, _ = taken(monitor)
    assert seconds == []
    assert lag.max >= 150 * MS
    monitor.end()
    assert taken(monitor) == ([], Sketch(), {})


def test_a_second_test_begins_anew(monitor):
    """Nothing of the test before is told, its numbering neither."""
    monitor.begin()
    gevent.sleep(1.1)
    monitor.begin()
    assert taken(monitor) == ([], Sketch(), {})
    gevent.sleep(1.1)
    assert [second.second for second in taken(monitor)[0]] == [0]


def times(**fields: float) -> tuple[float, ...]:
    """CPU times as psutil tells them: the first eight make up all time, guests' are in user's."""
    names = "user nice system idle iowait irq softirq steal guest guest_nice".split()
    values = [fields.get(name, 0.0) for name in names]

    class Times(tuple):  # noqa: SLOT001  # as psutil's
        __getattr__ = SimpleNamespace(**dict(zip(names, values, strict=True))).__getattribute__

    return Times(values)


@pytest.mark.parametrize(
    ("now", "shares"),
    [
        ({"user": 1.0, "idle": 1.0}, (500, 0)),
        ({"user": 1.0, "guest": 1.0, "idle": 1.0, "iowait": 2.0}, (250, 0)),
        ({"user": 0.5, "idle": 1.0, "steal": 0.5}, (500, 250)),
        ({}, (0, 0)),
    ],
)
def test_what_the_machine_did(now, shares):
    """Busy and stolen thousandths; waiting for a disk is idle, guests' time is in user's already."""
    assert module.shares(times(), times(**now)) == shares
