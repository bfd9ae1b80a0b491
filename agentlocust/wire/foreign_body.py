"""Bodies of replies that are seen as they pass, and the transports that hand them on; for httpx and for httpx2."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import gevent

from agentlocust import dialects
from agentlocust.budget import Refused
from agentlocust.dialects.base import Dialect
from agentlocust.wire.foreign_faults import sender, sender_async
from agentlocust.wire.metering import Leave, Scope, current_scope
from agentlocust.wire.metering_call import MeteredCall, call_for
from agentlocust.wire.metering_reply import Seen

RETRY_HEADER = "x-stainless-retry-count"  # both official SDKs number their attempts of a call

Send = Callable[[Any, Any], Any]
SendAsync = Callable[[Any, Any], Awaitable[Any]]


class _Passing:
    """A reply's body, seen as it passes on to its client."""

    def __init__(self, stream: Any, call: MeteredCall, seen: Seen) -> None:
        self._stream = stream
        self._call = call
        self._seen = seen

    @classmethod
    def of(cls, response: Any, call: MeteredCall, seen: Seen) -> Any:
        """Take note of a reply's head, and give the reply with such a body in place of its own."""
        seen.headers_came(response.status_code, response.headers)
        call.active = False
        response.stream = cls(response.stream, call, seen)
        return response


def metered_send(httpx: Any, send: Send) -> Send:
    """`HTTPTransport.handle_request` of either package, metered within a run."""
    carry = sender(httpx, send)

    class Body(_Passing, httpx.SyncByteStream):  # type: ignore[misc]  # of the package in hand
        def __iter__(self) -> Iterator[bytes]:
            call, seen = self._call, self._seen
            try:
                call.active = True
                for data in self._stream:
                    seen.came(data)
                    call.active = False
                    yield data
                    call.active = True
            except BaseException as error:
                call.raised(seen, error)
                raise
            seen.complete = True
            call.attempt_ended(seen)

        def close(self) -> None:
            self._call.attempt_ended(self._seen)
            self._stream.close()

    def handle_request(self: Any, request: Any) -> Any:
        scope = current_scope()
        if scope is None or (dialect := _dialect(request)) is None:
            return send(self, request)
        call, first = call_for(scope, dialect, request.read(), number := request.headers.get(RETRY_HEADER))
        try:
            leave = _leave(scope, call, first=first)
        except Refused as refused:
            call.not_sent()
            return _refusal(httpx, refused)
        except BaseException:
            call.not_sent()
            raise
        call.mark(request)
        if first:
            call.strike(request.url.path)
        seen = call.sending(leave, numbered=number is not None)
        try:
            response = carry(self, request, seen, call.faults)
        except BaseException as error:
            call.raised(seen, error)
            raise
        return Body.of(response, call, seen)

    return handle_request


def metered_send_async(httpx: Any, send: SendAsync) -> SendAsync:
    """`AsyncHTTPTransport.handle_async_request` of either package, metered within a run."""
    carry = sender_async(httpx, send)

    class Body(_Passing, httpx.AsyncByteStream):  # type: ignore[misc]  # of the package in hand
        async def __aiter__(self) -> AsyncIterator[bytes]:
            call, seen = self._call, self._seen
            stream = self._stream.__aiter__()
            try:
                call.active = True
                async for data in stream:
                    seen.came(data)
                    call.active = False
                    yield data
                    call.active = True
            except BaseException as error:
                call.raised(seen, error)
                raise
            finally:
                if hasattr(stream, "aclose"):
                    await stream.aclose()
            seen.complete = True
            call.attempt_ended(seen)

        async def aclose(self) -> None:
            self._call.attempt_ended(self._seen)
            await self._stream.aclose()

    async def handle_async_request(self: Any, request: Any) -> Any:
        scope = current_scope()
        if scope is None or (dialect := _dialect(request)) is None:
            return await send(self, request)
        body = await request.aread()
        call, first = call_for(scope, dialect, body, number := request.headers.get(RETRY_HEADER))
        try:
            leave = await _leave_async(scope, call, first=first)
        except Refused as refused:
            call.not_sent()
            return _refusal(httpx, refused)
        except BaseException:
            call.not_sent()
            raise
        call.mark(request)
        if first:
            call.strike(request.url.path)
        seen = call.sending(leave, numbered=number is not None)
        try:
            response = await carry(self, request, seen, call.faults)
        except BaseException as error:
            call.raised(seen, error)
            raise
        return Body.of(response, call, seen)

    return handle_async_request


def _dialect(request: Any) -> Dialect | None:
    return dialects.for_path(request.url.path) if request.method == "POST" else None


def _leave(scope: Scope, call: MeteredCall, *, first: bool) -> Leave:
    owner = scope.owner
    ask = partial(owner.leave, call.body, call.asked, first=first)
    if scope.post.here or owner.at_once():
        return ask()
    try:
        return scope.post.ask_and_wait(partial(scope.take_leave, ask), _give_back)
    except (Refused, gevent.GreenletExit):
        raise
    except BaseException as error:
        scope.post.tell(owner.abandon, error)
        raise gevent.GreenletExit from error  # SDKs try again after any Exception


async def _leave_async(scope: Scope, call: MeteredCall, *, first: bool) -> Leave:
    owner = scope.owner
    ask = partial(owner.leave, call.body, call.asked, first=first)
    if owner.at_once():
        return ask()
    try:
        return await scope.post.ask(partial(scope.take_leave, ask), _give_back)
    except (Refused, asyncio.CancelledError):
        raise
    except BaseException as error:
        scope.post.tell(owner.abandon, error)
        await asyncio.get_running_loop().create_future()  # its user's end cancels it
        raise


def _give_back(leave: Leave) -> None:
    leave.give_back()


def _refusal(httpx: Any, refused: Refused) -> Any:
    """What a provider would answer whose customer's money is used up; SDKs do not try again."""
    error = {"message": f"not sent: {refused}", "type": "budget", "code": "run_budget", "param": None}
    return httpx.Response(402, json={"type": "error", "error": error}, headers={"x-should-retry": "false"})
