"""The selector of asyncio loops beside the hub: waits in the hub of its thread, whose greenlets run meanwhile.

gevent's own selector keeps two watchers a socket. This one has the kernel's epoll or kqueue, whose
descriptor is itself readable when a socket is, and one watcher on that.

asyncio keeps the running loop by thread; here each greenlet has its own. One that `to_thread` started
finds none, as in a thread of its own: `asyncio.run` works in it, and asyncio's futures wake the loop
(otherwise not: gevent#2213).
"""

from __future__ import annotations

import asyncio
import selectors
from asyncio.selector_events import BaseSelectorEventLoop
from collections.abc import Callable
from typing import Any

import gevent
import greenlet  # type: ignore[import-untyped]  # has no types
from gevent import monkey
from gevent.hub import Waiter

_READABLE = 1
_BUSY_TURNS = 16  # of a loop that never waits; then the greenlets beside it get theirs

_kernels: Any = monkey.get_original("selectors", "DefaultSelector")

# Under gevent's patches a "thread" is a greenlet, and its id the greenlet's: this is the real one.
thread_id: Callable[[], int] = monkey.get_original("_thread", "get_ident")

_sharing: set[int] = set()  # threads
_running: dict[greenlet.greenlet, asyncio.AbstractEventLoop] = {}  # of greenlets that are switched away
_make = BaseSelectorEventLoop.__init__


def share_hub() -> None:
    """Have the loops that this thread makes from now on wait in its hub."""
    _sharing.add(thread_id())
    greenlet.settrace(_keep_apart)
    BaseSelectorEventLoop.__init__ = _make_sharing  # type: ignore[method-assign]  # whoever makes the loop


def keep_hub() -> None:
    """Undo `share_hub`."""
    _sharing.discard(thread_id())
    greenlet.settrace(None)
    if not _sharing:
        BaseSelectorEventLoop.__init__ = _make  # type: ignore[method-assign]  # as it was


def _keep_apart(event: str, switch: tuple[greenlet.greenlet, greenlet.greenlet]) -> None:
    """Give each greenlet of this thread its own running loop; called at every switch."""
    origin, target = switch
    running = asyncio._get_running_loop()
    if running is not None:
        _running[origin] = running
    asyncio._set_running_loop(_running.pop(target, None))


def _make_sharing(self: BaseSelectorEventLoop, selector: selectors.BaseSelector | None = None) -> None:
    if selector is None and thread_id() in _sharing and hasattr(_kernels, "fileno"):
        selector = HubSelector()
    _make(self, selector)


class HubSelector(_kernels):  # type: ignore[misc]  # whichever the kernel has
    """The kernel's selector, with the hub run while it waits."""

    def __init__(self) -> None:
        super().__init__()
        self._hub = gevent.get_hub()
        self._watcher = self._hub.loop.io(self.fileno(), _READABLE)
        self._waiter: Waiter[None] | None = None
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As the kernel's; but it may give nothing before the time is over."""
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if not ready and (timeout is None or timeout > 0):
            self._wait(timeout)
            self._turns = 0
            ready = super().select(0)
        else:
            self._turns += 1
            if self._turns >= _BUSY_TURNS:
                self._turns = 0
                self._wait(0)
        return ready

    def close(self) -> None:
        """Close the kernel's selector and the watcher on it."""
        self._watcher.stop()
        self._watcher.close()
        super().close()

    def _wait(self, timeout: float | None) -> None:
        hub = self._hub
        waiter = self._waiter = Waiter(hub)
        timer = None
        try:
            if timeout == 0:
                hub.loop.run_callback(waiter.switch, None)
            else:
                if not self._watcher.active:
                    self._watcher.start(self._on_ready)
                if timeout is not None:
                    timer = hub.loop.timer(timeout)
                    timer.start(waiter.switch, None, update=True)
            waiter.get()
        finally:
            self._waiter = None
            if timer is not None:
                timer.stop()
                timer.close()

    def _on_ready(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.switch(None)
        else:  # the loop is at work, or a callback of its own blocks: it looks by itself
            self._watcher.stop()
