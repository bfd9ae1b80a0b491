"""One call of somebody else's client: its attempts, and what became of it.

A call is what an SDK was asked for once; its tries are attempts of it. Both official SDKs number
them in a header, and try again within the same greenlet or asyncio task: so a request numbered above
0 goes on with the call that failed last there, and any other request is a call of its own. A call
that failed as SDKs try again is settled when its greenlet or task asks for something else or ends,
or its run does; its times end with its last attempt all the same. Other clients number nothing, and
each of their requests is a call of one attempt.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any

import gevent
import jiter

from agentlocust.budget import Reserved, cost_of_failed
from agentlocust.dialects.base import Dialect
from agentlocust.failures import Failure, FailureKind
from agentlocust.wire.bridge import cut_of_flight
from agentlocust.wire.bridge_post import Post
from agentlocust.wire.injected import CallFaults
from agentlocust.wire.metering import Leave, Scope
from agentlocust.wire.metering_reply import Seen
from agentlocust.wire.tap import Outcome, Tap, cut_by
from agentlocust.wire.target import Origin

_RETRIED = frozenset({408, 409, 429})  # and 5xx
_CLOSED = Failure(FailureKind.CANCELLED, "the agent closed the stream")
_GIVEN_UP = Failure(FailureKind.CLIENT, "the agent gave the call up: a timeout of its own, or a task it cancelled")

_last: ContextVar[MeteredCall | None] = ContextVar("agentlocust_last_call", default=None)


class MeteredCall:
    """One call of somebody else's client: its attempts under one tap.

    `active` while its client waits for bytes; `held` while it may be tried again. `ended_ns` is when
    its last attempt ended.
    """

    def __init__(self, scope: Scope, dialect: Dialect, body: bytes) -> None:
        self.scope = scope
        self.body = body
        self.asked: Mapping[str, Any] = _decoded(body)
        self.model = str(self.asked.get("model", ""))
        self.reserved: Reserved | None = None
        self.faults: CallFaults | None = None
        self.started_ns = self.ended_ns = 0
        self.active = self.held = False
        self.tap = _Tap(self, dialect, streamed=bool(self.asked.get("stream")), strict=scope.strict, started_ns=1)
        self._seen: Seen | None = None
        self._numbered = False
        self._stop: Callable[[], object] | None = None

    # -- an attempt ----------------------------------------------------------------------------

    def sending(self, leave: Leave, *, numbered: bool) -> Seen:
        """Another attempt goes out. `numbered` when its SDK numbers them, so that others may follow."""
        before = self._seen
        seen = self._seen = Seen(self.body)
        if before is None:
            self.started_ns = seen.sent_ns
            self.tap.started_ns = leave.started_ns or seen.sent_ns
            self.scope.begin(self)
        self.reserved = leave.reserved
        self.held, self.active = False, True
        self._numbered = numbered
        self._stop = _stopper(self.scope.post)
        self.tap.watch(seen)
        return seen

    def mark(self, request: Any) -> None:
        """Its request is about to be sent."""
        request.headers["accept-encoding"] = "identity"  # what the client unpacks we would have to unpack again
        url = request.url
        origin = Origin(url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80))
        request.headers.update(self.scope.marks(origin))

    def strike(self, path: str) -> None:
        """It begins, and goes to that path: find out what goes wrong with it."""
        self.faults = self.scope.faults(self.tap.dialect, self.model, self.tap.streamed, path)
        self.tap.hears = self.faults is not None and self.faults.tells

    def to_be_tried_again(self) -> None:
        """Its client begins another attempt: the money of the one before is settled first, it may need it."""
        self.held = False
        seen, reserved, self.reserved = self._seen, self.reserved, None
        if seen is not None and reserved is not None:
            cost = cost_of_failed(seen.status_code, seen.error.kind if seen.error is not None else None)
            self.scope.record(partial(reserved.settle, cost))

    def not_sent(self) -> None:
        """The attempt for which leave was asked is not made: the call, if it began, is over with those before it."""
        if self._seen is not None:
            self.scope.end(self, None)

    def raised(self, seen: Seen, error: BaseException) -> None:
        """An exception came out of the client's transport, or was thrown into it."""
        if isinstance(error, GeneratorExit):
            self.attempt_ended(seen, _CLOSED)
        elif isinstance(error, asyncio.CancelledError):
            why = cut_of_flight()
            self.attempt_ended(seen, cut_by(why) if why is not None else _GIVEN_UP)
        elif isinstance(error, gevent.Timeout) or not isinstance(error, Exception):
            self.attempt_ended(seen, cut_by(error))
        else:
            seen.failed(error)
            self.attempt_ended(seen)

    def attempt_ended(self, seen: Seen, cut: Failure | None = None) -> None:
        """The reply was read to its end, failed or was closed; said twice it changes nothing."""
        if seen is not self._seen or (self.ended_ns > seen.sent_ns):
            return
        self.active = False
        self.ended_ns = time.monotonic_ns()
        self.tap.attempt_over()
        if cut is None and self._may_be_tried_again(seen):
            self.held = True
            _when_its_caller_ends(self.give_up)
        else:
            left = 200 <= seen.status_code < 300 and not seen.complete and seen.error is None
            self.scope.end(self, _CLOSED if left and cut is None else cut)

    def _may_be_tried_again(self, seen: Seen) -> bool:
        if not self._numbered or seen.header("x-should-retry") == "false":
            return False
        if 200 <= seen.status_code < 300:
            return seen.error is not None and not self.tap.streamed
        return not seen.final or seen.status_code in _RETRIED or seen.status_code >= 500

    def give_up(self) -> None:
        """Nobody tries again."""
        if self.held:
            self.held = False
            self.scope.end(self, None)

    def stop(self) -> None:
        """End whoever waits for it."""
        if self._stop is not None:
            self._stop()


class _Tap(Tap):
    """A tap whose call may be settled later than it failed."""

    def __init__(self, call: MeteredCall, dialect: Dialect, *, streamed: bool, strict: bool, started_ns: int) -> None:
        super().__init__(dialect, streamed=streamed, strict=strict, started_ns=started_ns)
        self._call = call

    def settle(self, *, cut: Failure | None = None) -> Outcome:
        outcome = super().settle(cut=cut)
        if outcome.failure is not None and self._call.ended_ns:
            outcome.ended_ns = self._call.ended_ns
        return outcome


def call_for(scope: Scope, dialect: Dialect, body: bytes, number: str | None) -> tuple[MeteredCall, bool]:
    """The call that a request belongs to, and whether it is its first attempt. `number` is the SDK's of the attempt."""
    last = _last.get()
    if last is not None and last.held:
        if number not in (None, "0") and last.scope is scope and last.tap.dialect is dialect:
            last.to_be_tried_again()
            return last, False
        last.give_up()
    call = MeteredCall(scope, dialect, body)
    _last.set(call)
    return call, True


def _decoded(body: bytes) -> Mapping[str, Any]:
    try:
        asked = jiter.from_json(body, cache_mode="keys")
    except ValueError:
        return {}
    return asked if isinstance(asked, dict) else {}


def _stopper(post: Post) -> Callable[[], object] | None:
    """What ends the task, or the greenlet of the users' hub, that sends now."""
    loop = asyncio._get_running_loop()
    if loop is None:
        kill = getattr(gevent.getcurrent(), "kill", None) if post.here else None
        return partial(kill, block=False) if kill is not None else None
    task = asyncio.current_task(loop)
    return partial(loop.call_soon_threadsafe, task.cancel) if task is not None else None


def _when_its_caller_ends(listener: Callable[[], None]) -> None:
    loop = asyncio._get_running_loop()
    if loop is not None:
        task = asyncio.current_task(loop)
        if task is not None:
            task.add_done_callback(lambda _: listener())
        return
    link = getattr(gevent.getcurrent(), "rawlink", None)
    if link is not None:
        link(lambda _: listener())
