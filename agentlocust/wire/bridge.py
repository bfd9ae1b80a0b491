"""One asyncio loop in a thread of its own beside the users' hub: coroutines run there, greenlets wait for them.

The loop's thread has a hub of its own too: while the loop has nothing to do, greenlets of that
thread run. So what asyncio and its libraries start as threads (`to_thread`, `run_in_executor`,
`getaddrinfo`), which under gevent's patches are greenlets, gets its turn.
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread
import contextvars
import gc
import inspect
import logging
import os
import threading
from collections.abc import Awaitable, Coroutine
from concurrent.futures import CancelledError
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

import gevent
from gevent import monkey
from gevent.hub import Waiter
from gevent.lock import BoundedSemaphore

from agentlocust.wire.bridge_post import post
from agentlocust.wire.bridge_selector import keep_hub, share_hub
from agentlocust.wire.wakes import wakes

T = TypeVar("T")

logger = logging.getLogger(__name__)

_START_S = 10.0
_LOOK_S = 0.002
_GRACE_S = 1.0  # how long a cancelled coroutine may clean up before its greenlet goes on

_start_thread = monkey.get_original("_thread", "start_new_thread")


class Bridge:
    """The loop of one process. `bridge()` gives it; it starts at its first use.

    Its thread is one, whatever the number of users: a coroutine that computes holds up all of them.
    """

    def __init__(self) -> None:
        self._post = post()
        self._ended = False
        self._gone = False
        self.loop: asyncio.AbstractEventLoop
        self._hub: Any = None  # of the loop's thread
        started: Waiter[None] = Waiter()
        _start_thread(self._main, (started,))
        with gevent.Timeout(_START_S):
            started.get()

    def run(self, awaitable: Awaitable[T]) -> T:
        """Run a coroutine on the loop, in a copy of this greenlet's context, and wait for what it returns or raises.

        Whatever is raised in the greenlet meanwhile (a kill, a `gevent.Timeout`) cancels the
        coroutine, which has a second to clean up. One that was cancelled from inside raises
        `concurrent.futures.CancelledError`. Raises RuntimeError on the loop itself, which would wait for itself.
        """
        if not self._post.here or self._ended:
            discard(awaitable)
            raise RuntimeError(
                "the pack's asyncio loop has ended" if self._ended else "in a coroutine or a thread of it, use `await`"
            )
        flight: _Flight[T] = _Flight(self, awaitable if inspect.iscoroutine(awaitable) else _awaiting(awaitable))
        self.loop.call_soon_threadsafe(flight.begin)
        try:
            flight.wait()
        except BaseException as error:
            flight.cancel(error)
            with gevent.Timeout(_GRACE_S, exception=False):
                flight.wait()
            raise
        return flight.result()

    def end(self, timeout_s: float = _GRACE_S) -> None:
        """Cancel what still runs on the loop and end its thread; leave it behind after so many seconds."""
        if self._ended:
            return
        self._ended = True
        self._post.close()  # threads of the loop may wait for an answer, and the loop's end for them
        self.loop.call_soon_threadsafe(self.loop.stop)
        with gevent.Timeout(timeout_s, exception=False):
            while not self._gone:
                gevent.sleep(_LOOK_S)
        self._leave_threads_behind()

    def _leave_threads_behind(self) -> None:
        """Python joins the threads of executors before it exits, however long they take: not those of this hub."""
        joined: Any = concurrent.futures.thread._threads_queues
        ours = {id(each) for each in gc.get_objects() if isinstance(each, gevent.Greenlet) and each.parent is self._hub}
        for thread in list(joined):
            if thread.ident in ours:  # to gevent, a thread is the greenlet of that id
                joined.pop(thread, None)

    def _main(self, started: Waiter[None]) -> None:
        share_hub()
        self._hub = gevent.get_hub()
        loop = self.loop = asyncio.SelectorEventLoop()
        loop.call_soon(self._post.tell, started.switch, None)
        try:
            while not self._ended:
                try:
                    loop.run_forever()
                except (SystemExit, KeyboardInterrupt):  # asyncio lets them through: all users would hang
                    logger.warning("agentlocust: an agent raised SystemExit on the asyncio loop; the loop goes on")
            loop.run_until_complete(_end_tasks())
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())  # its threads are greenlets of this hub
        finally:
            loop.close()
            keep_hub()
            gevent.get_hub().destroy(destroy_loop=True)
            self._gone = True


class _Flight(Generic[T]):
    """One coroutine on its way over the bridge and back."""

    def __init__(self, bridge: Bridge, coroutine: Coroutine[Any, Any, T]) -> None:
        self.cut: BaseException | None = None  # for what its greenlet gave it up
        self._bridge = bridge
        self._coroutine = coroutine
        self._task: asyncio.Task[T] | None = None
        self._waiter: Waiter[None] | None = None
        self._landed = False
        self._value: Any = None
        self._error: BaseException | None = None

    # in its greenlet

    def wait(self) -> None:
        """Return once it has landed."""
        while not self._landed:
            self._waiter = Waiter()
            try:
                self._waiter.get()
            finally:
                self._waiter = None

    def cancel(self, error: BaseException) -> None:
        self.cut = error
        self._bridge.loop.call_soon_threadsafe(self._cancel)

    def result(self) -> T:
        error, self._error = self._error, None
        if error is not None:
            raise error
        value: T = self._value
        return value

    # on the loop

    def begin(self) -> None:
        context = contextvars.copy_context()  # the greenlet's: `call_soon_threadsafe` brought it here
        context.run(_flight.set, self)
        self._task = self._bridge.loop.create_task(self._coroutine, context=context)
        self._task.add_done_callback(self._finish)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _finish(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self._error = CancelledError("the coroutine was cancelled")
        else:
            self._error = task.exception()
            if self._error is None:
                self._value = task.result()
        self._bridge._post.tell(self._land)

    # in the users' hub

    def _land(self) -> None:
        self._landed = True
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            wakes().add(waiter)


_flight: ContextVar[_Flight[Any] | None] = ContextVar("agentlocust_flight", default=None)


def cut_of_flight() -> BaseException | None:
    """For what the greenlet gave up that waits for the coroutine around this; None when it waits."""
    flight = _flight.get()
    return flight.cut if flight is not None else None


def discard(awaitable: object) -> None:
    """Close a coroutine that is not going to be run, or Python would complain of it."""
    if inspect.iscoroutine(awaitable):
        awaitable.close()


async def _awaiting(awaitable: Awaitable[T]) -> T:
    return await awaitable


async def _end_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_GRACE_S / 2)


_bridge: Bridge | None = None
_starting = BoundedSemaphore()


def bridge() -> Bridge:
    """This process's bridge, started if it was not: never before a fork, which threads do not survive."""
    global _bridge  # noqa: PLW0603  # one a process
    if _bridge is None:
        with _starting:
            if _bridge is None:
                _bridge = Bridge()
    return _bridge


def _forget() -> None:
    global _bridge  # noqa: PLW0603  # a child has a loop of its own
    _bridge = None


def _end() -> None:
    if _bridge is not None:
        _bridge.end()


os.register_at_fork(after_in_child=_forget)
# Before Python joins the threads of executors: those that are greenlets of the loop's hub would never hear of it.
threading._register_atexit(_end)  # type: ignore[attr-defined]  # there is no public one
