"""Wakes greenlets a few at a time, so that the hub reads in between.

What a user does with its bytes may take long: an SDK builds an object a token, a reply is decoded.
With many users woken at once, bytes that arrive meanwhile would wait, and those of several tokens
would be read, and stamped, as one.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any
from weakref import WeakKeyDictionary

import gevent
from gevent.hub import Hub, Waiter

BUDGET_NS = 1_000_000  # after so much of the users' work the hub looks at its sockets


class Wakes:
    """The greenlets of one hub that are to go on."""

    def __init__(self, hub: Hub) -> None:
        self._loop = hub.loop
        self._waiting: deque[Waiter[None]] = deque()
        self._scheduled = False
        self._timer: Any = None

    def add(self, waiter: Waiter[None]) -> None:
        """Wake a greenlet soon: not at once, every socket that is ready gets its stamp first."""
        self._waiting.append(waiter)
        if not self._scheduled:
            self._scheduled = True
            self._loop.run_callback(self._wake)

    def _wake(self) -> None:
        waiting = self._waiting
        until_ns = time.monotonic_ns() + BUDGET_NS
        while waiting:
            waiting.popleft().switch(None)
            if time.monotonic_ns() >= until_ns:
                break
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None
        if waiting:  # a timer comes after the sockets, a callback would come before
            self._timer = self._loop.timer(0)
            self._timer.start(self._wake)
        else:
            self._scheduled = False


_by_hub: WeakKeyDictionary[Hub, Wakes] = WeakKeyDictionary()


def wakes() -> Wakes:
    """The wakes of this thread's hub."""
    hub = gevent.get_hub()
    found = _by_hub.get(hub)
    if found is None:
        found = _by_hub[hub] = Wakes(hub)
    return found
