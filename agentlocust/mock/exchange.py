"""One request and its reply over an ASGI connection, with the moment each part was handed over."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, HTTPScope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from agentlocust.dialects.answers import Frames, Headers, Problem
from agentlocust.mock.behaviour import Behaviour
from agentlocust.mock.plan import Plan
from agentlocust.mock.schedule import due_times, slowed_times, until
from agentlocust.mock.truth import Visit
from agentlocust.usage import Usage

MAX_BODY = 64 * 1024 * 1024
_BREATH = 32  # pieces that may go out late in a row before other connections get a turn
_JSON = (b"content-type", b"application/json")
_SSE = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
_STREAM_FAILURE = Problem(200, "server_error")


class Connection(HttpToolsProtocol):
    """A client's connection that tells its request at once when the client goes away."""

    task: asyncio.Task[Any] | None = None
    begun = 0.0

    def on_message_begin(self) -> None:
        """Note when the request began to arrive: its task may start turns of the loop later."""
        self.begun = time.monotonic()
        super().on_message_begin()
        self.scope["state"]["connection"] = self

    def connection_lost(self, exc: Exception | None) -> None:
        """End what is being answered."""
        super().connection_lost(exc)
        if self.task is not None:
            self.task.cancel()

    async def ready(self) -> bool:
        """Wait until the client has taken what was written; False when it is gone.

        After True nothing is awaited in the next `send`: what is counted then is exact.
        """
        if self.flow.write_paused:
            await self.flow.drain()
        return not self.transport.is_closing()


class ClientGone(Exception):
    """The client went away before its reply was whole."""


class Exchange:
    """A request being answered. Its times are monotonic, in seconds; those of tokens in nanoseconds.

    The reply's schedule begins at `started`: when the request was `received`, or later when it had to
    wait. `due` is when the last piece was to go out, 0.0 until it did.
    """

    __slots__ = (
        "_receive",
        "_send",
        "behaviour",
        "connection",
        "due",
        "entered",
        "headers",
        "is_anthropic",
        "method",
        "path",
        "received",
        "request_id",
        "sent",
        "slowness",
        "started",
        "visit",
    )

    def __init__(
        self, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable, behaviour: Behaviour
    ) -> None:
        self.behaviour = behaviour
        self.request_id = ""
        self.method = scope["method"]
        self.path = scope["path"]
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self.is_anthropic = self.path.startswith("/v1/messages") or "anthropic-version" in self.headers
        self.connection: Connection = scope["state"]["connection"]
        self.received = self.started = self.connection.begun
        self.due = 0.0
        self.entered = False
        self.slowness: Callable[[], float] | None = None
        self.visit: Visit | None = None
        self.sent = 0  # output tokens
        self._receive = receive
        self._send = send

    async def read(self) -> bytes | None:
        """The request's body, None when it is too large. Raises ClientGone."""
        parts = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                raise ClientGone
            parts.append(message["body"])
            size += len(parts[-1])
            if size > MAX_BODY:
                return None
            if not message["more_body"]:
                return b"".join(parts)

    async def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole JSON reply."""
        length = (b"content-length", b"%d" % len(body))
        await self._start(status, [_JSON, length, *headers])
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def whole(self, headers: Headers, body: bytes, plan: Plan, rng: random.Random) -> None:
        """Send an unstreamed reply when its last token is due. Raises ClientGone."""
        due = 0.0
        for due in self._due_times(plan, rng):
            if self.slowness is not None:  # what each gap is depends on who else is served by then
                await until(self.started + due)
        await until(self.started + due)
        self.due = self.started + due
        if self.behaviour.cut >= 0:
            await self._start(200, [_JSON, (b"content-length", b"%d" % len(body)), *headers])
            await self._more(body[: len(body) // 2])
            self._break_off("cut")
            return
        await self.settle(plan.usage, len(plan.answer.calls))
        await self.respond(200, headers, body)

    async def stream(self, headers: Headers, frames: Frames, plan: Plan, rng: random.Random) -> None:
        """Send a streamed reply, each piece when it is due. Raises ClientGone."""
        behaviour = self.behaviour
        await self._start(200, [*_SSE, *headers])
        await self._more(frames.opening)
        times: list[int] = []
        send, clock, started = self._send, time.monotonic_ns, self.started
        is_closing = self.connection.transport.is_closing
        cut, error_after = behaviour.cut, behaviour.error_after
        late, due = 0, 0.0
        for weight, due in zip(plan.weights, self._due_times(plan, rng), strict=True):
            if 0 <= cut <= self.sent or 0 <= error_after <= self.sent:
                break
            if not await until(started + due):
                late += 1
                if late % _BREATH == 0:
                    await asyncio.sleep(0)
            if is_closing():
                raise ClientGone
            await send({"type": "http.response.body", "body": next(frames.pieces), "more_body": True})
            times.append(clock())
            self.sent += weight
        if 0 <= cut <= self.sent:
            self._break_off("cut")
            return
        if not await self.connection.ready():
            raise ClientGone
        if 0 <= error_after <= self.sent:
            self._visit.failed("event")
            await self._end(frames.error(_STREAM_FAILURE))
        elif not behaviour.done:
            self.due = started + due
            self._visit.aborted("done=no", self.sent)
            await self._end(b"")
        else:
            self.due = started + due
            closing = frames.closing()
            await self.settle(plan.usage, len(plan.answer.calls), times)
            await self._end(closing)

    async def fail(self, status: int, headers: Headers, body: bytes) -> None:
        """Send an error reply. Raises ClientGone."""
        if not await self.connection.ready():
            raise ClientGone
        self._visit.failed(str(status))
        await self.respond(status, headers, body)

    async def settle(self, usage: Usage | None, tool_calls: int = 0, times: Sequence[int] = ()) -> None:
        """Count the reply as completed, just before its last bytes are sent. Raises ClientGone."""
        if not await self.connection.ready():
            raise ClientGone
        started = round(self.received * 1e9)
        self._visit.completed(
            usage=usage,
            tool_calls=tool_calls,
            duration_ns=time.monotonic_ns() - started,
            token_times_ns=times,
            started_ns=started,
        )

    def _due_times(self, plan: Plan, rng: random.Random) -> Iterator[float]:
        if self.slowness is None:
            return due_times(self.behaviour, plan.weights, rng)
        return slowed_times(self.behaviour, plan.weights, rng, self.slowness)

    @property
    def _visit(self) -> Visit:
        assert self.visit is not None, "a reply needs a visit"
        return self.visit

    def _break_off(self, why: str) -> None:
        """Close the connection in the middle of the reply; what was sent still arrives."""
        self._visit.aborted(why, self.sent)
        self.connection.transport.close()

    async def _start(self, status: int, headers: Headers) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": headers, "trailers": False})

    async def _more(self, body: bytes) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def _end(self, body: bytes) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": False})
