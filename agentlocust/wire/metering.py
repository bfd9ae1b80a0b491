"""Meters the LLM calls of code that is not ours: which run they belong to, and who records them."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import gevent
from gevent.lock import RLock

from agentlocust.budget import Reserved
from agentlocust.dialects.base import Decoded, Dialect
from agentlocust.failures import Failure, FailureKind
from agentlocust.wire.bridge_post import Post
from agentlocust.wire.injected import CallFaults
from agentlocust.wire.metering_tools import Answer, Asked, OpenTools, answers_in
from agentlocust.wire.target import Origin

if TYPE_CHECKING:
    from agentlocust.wire.metering_call import MeteredCall

_LEFT_OPEN = Failure(FailureKind.CANCELLED, "the agent left the stream open")


class Leave(Protocol):
    """Leave to send one attempt."""

    @property
    def started_ns(self) -> int:
        """When its call was to begin (monotonic); 0 for now."""

    @property
    def reserved(self) -> Reserved | None:
        """The money set aside for it, which `Owner.call_ended` settles with the call."""

    def give_back(self) -> None:
        """It is not used: nobody is there any more who would send."""


class Owner(Protocol):
    """Whose calls are metered. All but `at_once` is called in greenlets of the users' hub."""

    def at_once(self) -> bool:
        """True when `leave` waits for nothing and may be called in any thread: no permits, no budget."""

    def leave(self, body: bytes, asked: Mapping[str, Any], *, first: bool) -> Leave:
        """Take leave to send an attempt, the `first` of its call or another; may wait.

        Raises `budget.Refused` when it must not be sent, GreenletExit when its user is to end.
        """

    def call_ended(self, call: MeteredCall, cut: Failure | None) -> Decoded:
        """Record a call; gives what it replied."""

    def tool_seen(self, asked: Asked, answer: Answer, answered_ns: int) -> None:
        """Record a tool call of which the messages told."""

    def abandon(self, error: BaseException) -> None:
        """End the user's work as if `error` were raised in its own greenlet."""


class Scope:
    """One run as the metering sees it: what is sent while it is current belongs to it.

    Records are made in the users' hub only, in the order in which things ended. `close` makes those
    of all that has ended; what goes on after it (a task that nobody waits for) is recorded when it
    ends, but no longer as the run's: `closed` is True then.
    """

    def __init__(self, owner: Owner, post: Post, *, strict: bool = True) -> None:
        self.owner = owner
        self.post = post
        self.strict = strict
        self.closed = False
        self.tools = OpenTools()
        self.faults: Callable[[Dialect, str, bool, str], CallFaults | None] = _none  # of a call that begins
        self.marks: Callable[[Origin], list[tuple[str, str]]] = lambda origin: []  # headers of ours
        self._calls: dict[MeteredCall, bool] = {}  # taking one out is atomic: each is recorded once
        self._due: deque[Callable[[], None]] = deque()
        self._recording = RLock()
        self._asking: set[gevent.Greenlet] = set()
        self._stopped = False

    # -- in any thread -------------------------------------------------------------------------

    def begin(self, call: MeteredCall) -> None:
        """A call begins."""
        self._calls[call] = True

    def end(self, call: MeteredCall, cut: Failure | None) -> None:
        """A call has ended; said twice it changes nothing."""
        if self._calls.pop(call, False):
            self.record(partial(self._record_call, call, cut))

    def record(self, make: Callable[[], None]) -> None:
        """Have a record made: now in a greenlet of the users' hub, soon and in order from anywhere else."""
        self._due.append(make)
        if self.post.here and gevent.getcurrent() is not gevent.get_hub():
            self._drain()
        else:
            self.post.tell(self._drain_soon)

    # -- in the users' hub ---------------------------------------------------------------------

    def take_leave(self, ask: Callable[[], Leave]) -> Leave:
        """What `ask()` gives, for a thread or a task of the run; GreenletExit once the run is cancelled.

        A thread cannot be ended from outside: it ends itself with what it is told here.
        """
        if self._stopped:
            raise gevent.GreenletExit
        self._asking.add(here := gevent.getcurrent())
        try:
            return ask()
        finally:
            self._asking.discard(here)

    def close(self, *, cancelled: bool) -> None:
        """The run ends: nothing is recorded as its own after this. `cancelled`: who still calls is stopped."""
        for call in list(self._calls):
            if not call.active:
                self.end(call, None if call.held else _LEFT_OPEN)
            elif cancelled:
                call.stop()
        if cancelled:
            self._stopped = True
            for greenlet in self._asking:
                greenlet.kill(block=False)
        self._drain()
        self.closed = True

    def _drain_soon(self) -> None:
        if self._due:
            gevent.spawn(self._drain)

    def _drain(self) -> None:
        with self._recording, within(self):
            while self._due:
                self._due.popleft()()

    def _record_call(self, call: MeteredCall, cut: Failure | None) -> None:
        if self.tools:
            answers = answers_in(call.asked)
            told = {answer.id for answer in answers}
            answers += [Answer(key, None) for key in self.tools.mentioned(call.body) if key not in told]
            for answer in answers:
                asked = self.tools.answered(answer.id)
                if asked is not None:
                    self.owner.tool_seen(asked, answer, call.started_ns)
        decoded = self.owner.call_ended(call, cut)
        self.tools.ask(decoded.tool_calls, call.ended_ns)


def _none(dialect: Dialect, model: str, streamed: bool, path: str) -> None:
    """Nothing goes wrong on purpose."""


_scope: ContextVar[Scope | None] = ContextVar("agentlocust_scope", default=None)


def current_scope() -> Scope | None:
    """The run that this greenlet, thread or task is in."""
    return _scope.get()


def enter_scope(scope: Scope | None) -> None:
    """This greenlet's calls belong to `scope` from now on."""
    _scope.set(scope)


@contextlib.contextmanager
def within(scope: Scope | None) -> Iterator[None]:
    """What is done inside belongs to `scope`."""
    token = _scope.set(scope)
    try:
        yield
    finally:
        _scope.reset(token)
