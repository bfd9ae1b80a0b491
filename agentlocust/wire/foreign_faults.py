"""Faults under somebody else's HTTP client: its transport's send, carried out as an Injection says.

What breaks is told in the exceptions of the client's own package; its own read timeout ends a wait that is too long.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any

import gevent

from agentlocust.faults.about import told
from agentlocust.faults.injection import Breakage, End, Injection, Piece, Rewriter
from agentlocust.wire.injected import BANDWIDTH_STEP, BROKEN, CallFaults, silent
from agentlocust.wire.metering_reply import Seen
from agentlocust.wire.target import Origin

_FOREVER_S = 1e6
_CUT = "peer closed connection without sending complete message body (incomplete chunked read)"


class _Case:
    """One attempt that is struck: what both kinds of client share."""

    def __init__(self, httpx: Any, request: Any, injection: Injection, seen: Seen) -> None:
        self.httpx = httpx
        self.injection = injection
        self.rewriter: Rewriter | None = None
        self.request = request
        timeout = request.extensions.get("timeout") or {}
        read_s = timeout.get("read")
        self.read_s = _FOREVER_S if read_s is None else float(read_s)
        self.deadline = time.monotonic() + (_FOREVER_S if injection.limit_s is None else injection.limit_s)
        seen.injected = self

    def wait(self, seconds: float) -> tuple[float, Exception | None]:
        """How long to wait for `seconds` to pass, and what to raise after that when they may not."""
        left = min(self.read_s, max(self.deadline - time.monotonic(), 0.0))
        if seconds < left:
            return seconds, None
        return left, self.timed_out()

    def timed_out(self) -> Exception:
        """The client's read timeout."""
        error: Exception = self.httpx.ReadTimeout("timed out", request=self.request)
        return error

    @property
    def left_s(self) -> float | None:
        """Seconds that the attempt still has, None without a limit."""
        return None if self.injection.limit_s is None else max(self.deadline - time.monotonic(), 0.0)

    def breaks(self, breakage: Breakage) -> tuple[float, Exception]:
        """How long it takes this breakage to be seen, and what is raised then."""
        if breakage is Breakage.BLACK_HOLE:
            wait_s, error = self.wait(_FOREVER_S)
            return wait_s, error or self.timed_out()
        text = BROKEN[breakage][1]
        if breakage is Breakage.RESET:
            return 0.0, self.lost(text)
        error = self.httpx.ConnectError(text, request=self.request)
        error.__cause__ = socket.gaierror(text) if breakage is Breakage.DNS else ConnectionRefusedError(text)
        return 0.0, error

    def lost(self, text: str = "[Errno 104] Connection reset by peer") -> Exception:
        """The connection was reset."""
        error: Exception = self.httpx.ReadError(text, request=self.request)
        return error

    def changed(self) -> Any:
        """The request as it goes out."""
        injection, request = self.injection, self.request
        if injection.request is None:
            return request
        headers = [pair for pair in request.headers.raw if pair[0].lower() != b"content-length"]
        body = injection.request(request.content)
        return self.httpx.Request(
            request.method, request.url, headers=headers, content=body, extensions=request.extensions
        )

    def begin(self, headers: Any) -> None:
        """The body begins: a packed one is left alone."""
        if self.injection.rewriter is not None and headers.get("content-encoding", "identity") == "identity":
            self.rewriter = self.injection.rewriter()

    def came(self, data: bytes) -> Sequence[Piece]:
        """What goes on of what the server sent."""
        return self.rewriter.feed(data) if self.rewriter is not None else [Piece(data)]

    def last(self) -> Sequence[Piece]:
        """What goes on when the server's body has ended."""
        return self.rewriter.finish() if self.rewriter is not None and self.rewriter.end is None else ()

    @property
    def ended(self) -> bool:
        """True when nothing more is taken from the server."""
        return self.rewriter is not None and self.rewriter.end is not None

    def close(self) -> None:
        """Raise what the end of the reply is to the client, if it is no good one."""
        if self.rewriter is not None and self.rewriter.end is End.CUT:
            raise self.httpx.RemoteProtocolError(_CUT, request=self.request)

    def steps(self, pieces: Sequence[Piece]) -> Iterator[tuple[float, bytes]]:
        """Each piece as it goes on: seconds to wait before it, and its bytes."""
        rate = self.injection.bytes_per_s
        for piece in pieces:
            after_s = piece.after_s
            size = BANDWIDTH_STEP if rate else max(len(piece.data), 1)
            for at in range(0, len(piece.data), size):
                data = piece.data[at : at + size]
                yield after_s + (len(data) / rate if rate else 0.0), data
                after_s = 0.0


def sender(httpx: Any, send: Callable[[Any, Any], Any]) -> Callable[[Any, Any, Seen, CallFaults | None], Any]:
    """A transport's send that faults may strike."""

    def sleep(case: _Case, seconds: float) -> None:
        if seconds:
            wait_s, error = case.wait(seconds)
            time.sleep(wait_s)
            if error is not None:
                raise error

    class Body(httpx.SyncByteStream):  # type: ignore[misc]  # of the package in hand
        def __init__(self, case: _Case, stream: Any, pieces: Sequence[Piece]) -> None:
            self._case = case
            self._stream = stream
            self._pieces = pieces

        def __iter__(self) -> Iterator[bytes]:
            case = self._case
            yield from self._out(self._pieces)
            source = iter(self._stream if self._stream is not None else ())
            while not case.ended:
                with gevent.Timeout(case.left_s, case.timed_out()):
                    data = next(source, None)
                if data is None:
                    break
                yield from self._out(case.came(data))
            yield from self._out(case.last())
            case.close()

        def _out(self, pieces: Sequence[Piece]) -> Iterator[bytes]:
            for after_s, data in self._case.steps(pieces):
                sleep(self._case, after_s)
                yield data

        def close(self) -> None:
            if self._stream is not None:
                self._stream.close()

    def carry(transport: Any, request: Any, seen: Seen, faults: CallFaults | None) -> Any:
        injection = _decided(request, seen, faults)
        if injection is None:
            return send(transport, request)
        case = _Case(httpx, request, injection, seen)
        sleep(case, injection.delay_s)
        if injection.breakage is not None:
            wait_s, error = case.breaks(injection.breakage)
            time.sleep(wait_s)
            raise error
        reply = injection.reply
        if reply is not None:
            sleep(case, injection.first_byte_s)
            return httpx.Response(reply.status, headers=list(reply.headers), stream=Body(case, None, reply.pieces))
        with gevent.Timeout(case.left_s, case.timed_out()):
            response = send(transport, case.changed())
        if injection.lose_reply:
            with gevent.Timeout(case.left_s, case.timed_out()):
                for _ in response.stream:
                    pass
            response.close()
            raise case.lost()
        sleep(case, injection.first_byte_s)
        case.begin(response.headers)
        response.stream = Body(case, response.stream, ())
        return response

    return carry


def sender_async(
    httpx: Any, send: Callable[[Any, Any], Awaitable[Any]]
) -> Callable[[Any, Any, Seen, CallFaults | None], Awaitable[Any]]:
    """The same for a transport that is not synchronous."""

    async def sleep(case: _Case, seconds: float) -> None:
        if seconds:
            wait_s, error = case.wait(seconds)
            await asyncio.sleep(wait_s)
            if error is not None:
                raise error

    async def within(case: _Case, work: Awaitable[Any]) -> Any:
        try:
            return await asyncio.wait_for(work, case.left_s)
        except TimeoutError:
            raise case.timed_out() from None

    class Body(httpx.AsyncByteStream):  # type: ignore[misc]  # of the package in hand
        def __init__(self, case: _Case, stream: Any, pieces: Sequence[Piece]) -> None:
            self._case = case
            self._stream = stream
            self._pieces = pieces

        async def __aiter__(self) -> AsyncIterator[bytes]:
            case = self._case
            async for data in self._out(self._pieces):
                yield data
            source = self._stream.__aiter__() if self._stream is not None else None
            try:
                while source is not None and not case.ended:
                    try:
                        got = await (anext(source) if case.left_s is None else within(case, anext(source)))
                    except StopAsyncIteration:
                        break
                    async for data in self._out(case.came(got)):
                        yield data
            finally:
                if source is not None and hasattr(source, "aclose"):
                    await source.aclose()
            async for data in self._out(case.last()):
                yield data
            case.close()

        async def _out(self, pieces: Sequence[Piece]) -> AsyncIterator[bytes]:
            for after_s, data in self._case.steps(pieces):
                await sleep(self._case, after_s)
                yield data

        async def aclose(self) -> None:
            if self._stream is not None:
                await self._stream.aclose()

    async def carry(transport: Any, request: Any, seen: Seen, faults: CallFaults | None) -> Any:
        injection = _decided(request, seen, faults)
        if injection is None:
            return await send(transport, request)
        case = _Case(httpx, request, injection, seen)
        await sleep(case, injection.delay_s)
        if injection.breakage is not None:
            wait_s, error = case.breaks(injection.breakage)
            await asyncio.sleep(wait_s)
            raise error
        reply = injection.reply
        if reply is not None:
            await sleep(case, injection.first_byte_s)
            return httpx.Response(reply.status, headers=list(reply.headers), stream=Body(case, None, reply.pieces))
        response = await within(case, send(transport, case.changed()))
        if injection.lose_reply:
            await within(case, _drain(response.stream))
            await response.aclose()
            raise case.lost()
        await sleep(case, injection.first_byte_s)
        case.begin(response.headers)
        response.stream = Body(case, response.stream, ())
        return response

    return carry


async def _drain(stream: Any) -> None:
    async for _ in stream:
        pass


def _decided(request: Any, seen: Seen, faults: CallFaults | None) -> Injection | None:
    if faults is None:
        return None
    asked, injection = faults.next(request.content)
    if not faults.tells:
        return injection
    url = request.url
    port = url.port or (443 if url.scheme == "https" else 80)
    if not faults.reaches(Origin(url.scheme, url.host, port)):
        return None
    request.headers.update(told(asked))
    seen.foreseen = silent(injection)
    return None
