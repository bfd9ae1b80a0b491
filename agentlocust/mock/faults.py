"""The mock as a carrier of faults: it decides on each request, and its replies go out as the decision says."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope

from agentlocust import dialects
from agentlocust.faults.about import heard
from agentlocust.faults.injection import HEADER, Asked, Breakage, End, Injection, Injector, Piece, Rewriter
from agentlocust.mock.app import MockApp
from agentlocust.mock.behaviour import split_model
from agentlocust.mock.exchange import MAX_BODY, ClientGone, Connection
from agentlocust.mock.schedule import until

_PACKET = 1460  # bytes that come at once over a thin line
_RST = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time


class FaultyApp:
    """A mock behind faults. Requests that do not say whose they are count as runs of one user, a call each."""

    def __init__(self, app: MockApp, injector: Injector) -> None:
        self._app = app
        self._injector = injector
        self._began: float | None = None  # monotonic; the first request, unless requests tell the test's time
        self._requests = 0

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve one HTTP request."""
        if scope["type"] != "http" or scope["path"].startswith("/_truth"):
            await self._app(scope, receive, send)
            return
        connection: Connection = scope["state"]["connection"]
        connection.task = asyncio.current_task()
        with suppress(ClientGone, asyncio.CancelledError):
            body = await _whole(receive)
            injection = self._injector.decide(self._asked(scope, body), body)
            if injection is None:
                await self._app(scope, _again(body, receive), send)
            else:
                await self._strike(injection, body, scope, receive, send)
        connection.task = None

    def _asked(self, scope: Any, body: bytes) -> Asked:
        now = time.monotonic()
        self._began = now if self._began is None else self._began
        dialect = dialects.for_path(scope["path"]) if scope["method"] == "POST" else None
        number, self._requests = self._requests, self._requests + 1
        asked = Asked(now - self._began, method=scope["method"], path=scope["path"], run=number)
        if dialect is not None:
            told = _object(body)
            asked = replace(asked, dialect=dialect.name, streamed=bool(told.get("stream")))
            asked = replace(asked, model=split_model(str(told.get("model", "")))[0])
        return heard(asked, {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]})

    async def _strike(
        self, injection: Injection, body: bytes, scope: Any, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        connection: Connection = scope["state"]["connection"]
        struck = _Struck(injection, connection, send)
        timer = asyncio.timeout(injection.limit_s)
        try:
            async with timer:
                if injection.delay_s:
                    await asyncio.sleep(injection.delay_s)
                    connection.begun = time.monotonic()  # the reply's schedule begins when the request has come
                if injection.breakage is not None:
                    await _break(connection, injection.breakage)
                elif injection.reply is not None:
                    reply = injection.reply
                    await struck.start(reply.status, reply.headers)
                    await struck.pieces(reply.pieces, time.monotonic())
                    await struck.last()
                else:
                    asked = injection.request(body) if injection.request is not None else body
                    pump = asyncio.create_task(struck.pump())
                    try:
                        await self._app(scope, _again(asked, receive), struck)
                        connection.task = asyncio.current_task()
                        struck.no_more()
                        await pump
                    finally:
                        pump.cancel()
        except TimeoutError:
            pass
        if timer.expired():  # the mock takes being cancelled for its client's end, and says nothing of it
            _abort(connection)


class _Struck:
    """What the mock sends through it goes on as the injection says."""

    def __init__(self, injection: Injection, connection: Connection, send: ASGISendCallable) -> None:
        self._injection = injection
        self._connection = connection
        self._send = send
        self._rewriter: Rewriter | None = None
        self._due = 0.0  # when the last delayed piece was
        self._over = False
        self._queue: asyncio.Queue[tuple[float, Any]] = asyncio.Queue()

    async def __call__(self, message: Any) -> None:
        """Take an ASGI message; it goes on in `pump`. Raises ClientGone once nothing more does."""
        if self._over:
            raise ClientGone
        if not self._injection.lose_reply:
            self._queue.put_nowait((time.monotonic(), message))
        elif message["type"] == "http.response.body" and not message["more_body"]:
            _abort(self._connection)
            raise ClientGone

    def no_more(self) -> None:
        """The mock is done."""
        self._queue.put_nowait((0.0, None))

    async def pump(self) -> None:
        """Send what the mock has sent, when it is due: the mock keeps to its own schedule meanwhile."""
        while not self._over:
            came, message = await self._queue.get()
            if message is None:
                return
            if message["type"] == "http.response.start":
                make = self._injection.rewriter
                self._rewriter = make() if make is not None else None
                await self.start(message["status"], message["headers"])
            else:
                await self._body(came, message["body"], more=message["more_body"])

    async def _body(self, came: float, data: bytes, *, more: bool) -> None:
        rewriter = self._rewriter
        await self.pieces(rewriter.feed(data) if rewriter is not None else [Piece(data)], came)
        if rewriter is not None and rewriter.end is None and not more:
            await self.pieces(rewriter.finish(), came)
        end = rewriter.end if rewriter is not None else None
        if end is End.CUT:
            self._over = True
            self._connection.transport.close()
        elif end is End.CLEAN or not more:
            self._over = True
            await self.last()

    async def start(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Status and headers."""
        if self._injection.first_byte_s:
            await asyncio.sleep(self._injection.first_byte_s)
        kept = [pair for pair in headers if self._rewriter is None or pair[0] != b"content-length"]
        marked = [*kept, (HEADER, ",".join(self._injection.faults).encode())]
        await self._send({"type": "http.response.start", "status": status, "headers": marked, "trailers": False})

    async def pieces(self, pieces: Sequence[Piece], came: float) -> None:
        """A part of the body that was there at `came`; due times are reckoned from due times."""
        rate = self._injection.bytes_per_s
        due = max(self._due, came)
        for piece in pieces:
            after_s = piece.after_s
            size = _PACKET if rate else max(len(piece.data), 1)
            for at in range(0, len(piece.data), size):
                data = piece.data[at : at + size]
                wait_s = after_s + (len(data) / rate if rate else 0.0)
                after_s = 0.0
                if wait_s:
                    due += wait_s
                    await until(due)
                    self._due = due
                await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def last(self) -> None:
        """The body's end."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


async def _whole(receive: ASGIReceiveCallable) -> bytes:
    """The request's body, one byte too long when it is longer than the mock takes. Raises ClientGone."""
    parts, size = list[bytes](), 0
    while size <= MAX_BODY:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGone
        parts.append(message["body"])
        size += len(parts[-1])
        if not message["more_body"]:
            break
    return b"".join(parts)


def _again(body: bytes, receive: ASGIReceiveCallable) -> ASGIReceiveCallable:
    """What gives a body that was read already."""
    given = False

    async def again() -> Any:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _break(connection: Connection, breakage: Breakage) -> None:
    """A server cannot refuse what it has accepted: all but a black hole is a reset."""
    if breakage is Breakage.BLACK_HOLE:
        await asyncio.get_running_loop().create_future()  # the client's end cancels it
    _abort(connection)


def _abort(connection: Connection) -> None:
    """Close with a reset."""
    with suppress(OSError, AttributeError):
        plain: Any = connection.transport.get_extra_info("socket")
        copy = socket.socket(fileno=socket.dup(plain.fileno()))
        copy.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
        copy.close()
    connection.transport.abort()


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
