"""A trace's arrivals become starts, from the instant the test begins on."""

from __future__ import annotations

import pytest

from agentlocust.shapes.replay import Replay
from agentlocust.shapes.schedule import Start
from agentlocust.shapes.trace import Arrival

ARRIVALS = [Arrival(0, 10, 1), Arrival(5, 20, 2), Arrival(5, 30, 3)]


def test_nothing_starts_before_it_begins():
    """Without a begin there is no next start, and with one each comes at its own time with what was recorded."""
    replay = Replay(iter(ARRIVALS))
    assert replay.next_ns() is None
    replay.begin(100)
    replay.begin(900)  # the second time changes nothing
    assert replay.next_ns() == 100
    assert [replay.take() for _ in range(3)] == [Start(100 + each.at_ns, each) for each in ARRIVALS]
    assert replay.next_ns() is None
    with pytest.raises(LookupError):
        replay.take()


def test_what_is_due_is_offered_taken_or_not():
    """Two of three are due by the fifth nanosecond's eve and all at it."""
    replay = Replay(iter(ARRIVALS))
    replay.begin(0)
    replay.take()
    assert replay.offered(4) == 1
    assert replay.offered(5) == 3


def test_nothing_of_one_that_ceased_starts():
    """What it had left is gone."""
    replay = Replay(iter(ARRIVALS))
    replay.begin(0)
    replay.take()
    replay.cease()
    assert replay.next_ns() is None
    assert replay.offered(5) == 1
