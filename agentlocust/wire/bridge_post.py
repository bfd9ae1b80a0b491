"""What other threads have to say to the users' hub, and to ask of it.

gevent's primitives belong to the thread that made them: the one safe way into a hub is its async
watcher. There is one a process, which lives as long as the process, so none rings late.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

import gevent
from gevent.hub import Waiter

from agentlocust.wire.bridge_selector import thread_id

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Post:
    """The way into the hub of the thread that makes it."""

    def __init__(self) -> None:
        self._hub_thread = thread_id()
        self._news: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._bell = gevent.get_hub().loop.async_()
        self._bell.start(self._take)
        self._open: set[_Question[Any]] = set()
        self._closed = False

    @property
    def here(self) -> bool:
        """True in the hub's own thread."""
        return thread_id() == self._hub_thread

    def tell(self, listener: Callable[..., object], *args: object) -> None:
        """Have `listener` called in the hub, in the order of telling. From any thread; it must not block."""
        self._news.append((listener, args))
        self._bell.send()

    async def ask(self, question: Callable[[], T], undo: Callable[[T], object]) -> T:
        """What `question()` gives in a greenlet of the hub, where it may block; the coroutine waits.

        The greenlet has the asker's context. Cancelled meanwhile, it is killed; an answer that nobody
        takes any more is undone.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def take(value: Any, error: BaseException | None) -> None:
            if answer.done():
                if error is None:
                    self.tell(gevent.spawn, undo, value)
            elif error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(value)

        asked = _Question(question, lambda value, error: loop.call_soon_threadsafe(take, value, error))
        self.tell(self._begin, asked)
        try:
            return await answer
        except asyncio.CancelledError:
            self.tell(asked.give_up)
            raise

    def ask_and_wait(self, question: Callable[[], T], undo: Callable[[T], object]) -> T:
        """As `ask`, from code that cannot await, in a thread that is not the hub's."""
        hub = gevent.get_hub()
        waiter: Waiter[tuple[Any, BaseException | None]] = Waiter(hub)
        gone = False

        def take(value: Any, error: BaseException | None) -> None:
            if not gone:
                waiter.switch((value, error))
            elif error is None:
                self.tell(gevent.spawn, undo, value)

        asked = _Question(question, partial(hub.loop.run_callback_threadsafe, take))
        awake = hub.loop.async_()  # a thread's hub that has nothing else to wait for would give up
        awake.start(_nothing)
        self.tell(self._begin, asked)
        try:
            value, error = waiter.get()
        except BaseException:
            gone = True
            self.tell(asked.give_up)
            raise
        finally:
            awake.stop()
            awake.close()
        if error is not None:
            raise error
        answer: T = value
        return answer

    def close(self) -> None:
        """Answer nothing any more: who asks, or still waits for an answer, gets GreenletExit. In the hub."""
        self._closed = True
        for asked in list(self._open):
            asked.give_up()

    def _begin(self, asked: _Question[Any]) -> None:
        self._open.add(asked)
        asked.begin(self._open.discard)
        if self._closed:
            asked.give_up()

    def _take(self) -> None:
        news = self._news
        while news:
            listener, args = news.popleft()
            try:
                listener(*args)
            except Exception:  # of one: the others are still to be told
                logger.exception("agentlocust: the users' hub could not take what another thread told")


class _Question(Generic[T]):
    """One question, answered in a greenlet of the hub."""

    def __init__(self, question: Callable[[], T], deliver: Callable[[Any, BaseException | None], object]) -> None:
        self._question = question
        self._deliver = deliver
        self._context = contextvars.copy_context()
        self._greenlet: gevent.Greenlet | None = None
        self._answering = False

    def begin(self, ended: Callable[[_Question[T]], object]) -> None:
        self._greenlet = gevent.spawn(self._context.run, self._answer)
        self._greenlet.rawlink(lambda _: ended(self))

    def give_up(self) -> None:
        if self._greenlet is not None:
            self._greenlet.kill(block=False)
            if not self._answering:  # killed before it began, it says nothing
                self._answering = True
                self._deliver(None, gevent.GreenletExit())

    def _answer(self) -> None:
        self._answering = True
        try:
            value = self._question()
        except BaseException as error:  # a kill too: the asker must not wait for ever
            self._deliver(None, error)
        else:
            self._deliver(value, None)


def _nothing() -> None:
    """It is not what rings that counts, but that it could."""


_post: Post | None = None


def post() -> Post:
    """This process's way into its users' hub; the first to ask must be a greenlet of it."""
    global _post  # noqa: PLW0603  # one a process
    if _post is None:
        _post = Post()
    return _post


def _forget() -> None:
    global _post  # noqa: PLW0603  # a child has a hub of its own
    _post = None


os.register_at_fork(after_in_child=_forget)
