"""Greenlets are woken a few at a time, and the hub's own work comes in between."""

from __future__ import annotations

import time

import gevent
from gevent.hub import Waiter

from agentlocust.wire.wakes import Wakes, wakes


def spin(seconds):
    """Hold the hub, as a user's work does."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def sleepers(number, order, work_s=0.0):
    """Greenlets that each wait to be woken, then work; and their waiters."""
    waiters = [Waiter() for _ in range(number)]

    def sleep(mine, waiter):
        waiter.get()
        order.append(mine)
        spin(work_s)

    greenlets = [gevent.spawn(sleep, mine, waiter) for mine, waiter in enumerate(waiters)]
    gevent.sleep(0)
    return greenlets, waiters


def test_all_are_woken_in_order():
    """Whoever was to be woken first goes on first, and nobody is forgotten."""
    order = []
    greenlets, waiters = sleepers(50, order, 0.0005)
    for waiter in waiters:
        wakes().add(waiter)
    gevent.joinall(greenlets, timeout=10)
    assert order == list(range(50))


def test_the_hub_works_in_between():
    """A timer that is due while many greenlets work does not wait for the last of them."""
    order = []
    greenlets, waiters = sleepers(20, order, 0.004)
    timer = gevent.get_hub().loop.timer(0.005)
    timer.start(lambda: order.append("timer"))
    for waiter in waiters:
        wakes().add(waiter)
    gevent.joinall(greenlets, timeout=10)
    assert order.index("timer") < 20


def test_one_that_was_killed_stops_nobody():
    """A greenlet that dies before its turn is passed over."""
    order = []
    greenlets, waiters = sleepers(3, order)
    mine = Wakes(gevent.get_hub())
    greenlets[1].kill()
    for waiter in waiters:
        mine.add(waiter)
    gevent.joinall(greenlets, timeout=10)
    assert order == [0, 2]


def test_a_hub_has_one():
    """Every connection of a thread shares one queue."""
    assert wakes() is wakes()
