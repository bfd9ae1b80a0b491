"""SIGINT and SIGTERM: the first ends the process in good order, the second at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import gevent
import psutil


class Signals:
    """Tells of the first signal, and ends the process and its children at the second.

    `told` runs in the hub, so it must not block. When it returns True, Locust acts on the signal as
    on a Ctrl-C: it shuts down. `leave` is called right before the end at the second signal.
    """

    def __init__(self, told: Callable[[int], bool], leave: Callable[[int], None]) -> None:
        self._told = told
        self._leave = leave
        self._first = 0
        self._ending = False
        self._hub = gevent.get_hub()
        self.claim()
        # Locust installs a SIGTERM handler of its own when its listeners have run. It shuts down in
        # a greenlet beside the main one, which then does the same: two shutdowns, each in the other's way.
        gevent.spawn(self.claim)

    def claim(self) -> None:
        """Take the signals, also from whoever took them since."""
        # Not by a hub's watcher: a task that never yields must not make the second signal unheard.
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)

    def end_began(self) -> None:
        """The process ends by now: a first signal changes nothing."""
        self._ending = True

    def _on_signal(self, number: int, frame: Any) -> None:
        # This runs between any two instructions of any greenlet. A KeyboardInterrupt raised here
        # would end whatever that is: a listener, a report under way, a page of the web UI.
        if self._first:
            self._quit_at_once(number)
        self._first = number
        self._hub.loop.run_callback_threadsafe(self._tell)

    def _tell(self) -> None:
        if self._told(self._first) and not self._ending:
            self._hub.parent.throw(KeyboardInterrupt)  # the main greenlet, where Locust waits for it

    def _quit_at_once(self, number: int) -> None:
        try:
            self._leave(128 + number)
        finally:
            end_children()
            os._exit(128 + number)


def end_children() -> None:
    """Kill every process that this one started, and those that they did."""
    for child in psutil.Process().children(recursive=True):
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
