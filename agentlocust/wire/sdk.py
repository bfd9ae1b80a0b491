"""The official SDKs' way in: an httpx2 transport that rides our connections and taps each call.

A call is what the SDK was asked for once; its retries are attempts of it. `SdkTransport.call()`
stands around the SDK's own request loop, so the transport knows which attempts belong together.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Protocol

import gevent
import httpx2
import jiter

from agentlocust import dialects
from agentlocust.budget import Refused, Reserved, cost_of_failed
from agentlocust.dialects.base import Dialect
from agentlocust.errors import WireError
from agentlocust.failures import Failure, FailureKind
from agentlocust.wire.exchange import Exchange, HttpRequest, Timeouts
from agentlocust.wire.injected import CallFaults, InjectedExchange, open_exchange
from agentlocust.wire.pool import Pool
from agentlocust.wire.tap import Attempt, Tap, cut_by
from agentlocust.wire.target import Key, Origin

_LAST_BYTES_S = 0.25  # how long a stream closed after its terminal event may take to end
_ERROR_BYTES = 256 * 1024  # of an error's body that an SDK gets to see
_LONGEST_SECRET = 1000
_OURS = ("host", "content-length", "connection", "accept-encoding", "transfer-encoding")
_KEY_HEADERS = ("authorization", "x-api-key", "api-key")
_UNDONE = (b"content-length", b"content-encoding")  # the body handed on is unpacked
_CLOSED = Failure(FailureKind.CANCELLED, "the caller closed the stream")


Reserve = Callable[[bytes, dict[str, object]], Reserved]
"""Sets aside what a request (its body, and that decoded) may cost; waits until it may, or raises Refused."""


class _Unlimited:
    waited = False

    def settle(self, cost: int | None) -> None:
        """Nothing was set aside."""


def _unlimited(body: bytes, asked: dict[str, object]) -> Reserved:
    return _Unlimited()


Faults = Callable[[Dialect, str, bool, str], "CallFaults | None"]
"""What goes wrong with a call that begins, of a dialect, a model, streamed or not, to a path."""

AnyExchange = Exchange | InjectedExchange


def _none(dialect: Dialect, model: str, streamed: bool, path: str) -> CallFaults | None:
    return None


class Finish(Protocol):
    """Told when a call has ended: its tap, the model asked for, why it was cut (if so), its last attempt's money."""

    def __call__(self, tap: Tap, model: str, *, cut: Failure | None, reservation: Reserved | None = None) -> None:
        """Take the ended call."""


class SdkCall:
    """One call of an SDK: attempts gathered under one tap, recorded once.

    It counts from its first attempt (what the SDK does before is the generator's time, not the
    target's), or from `started_ns` when that is when it was to begin.
    """

    def __init__(self, finish: Finish, started_ns: int = 0) -> None:
        self.tap: Tap | None = None
        self.begun = False
        self._started_ns = started_ns
        self.model = ""
        self.within_sdk = True
        self.faults: CallFaults | None = None
        self._finish = finish
        self._open: AnyExchange | None = None
        self._reserved: Reserved | None = None

    def begin(
        self,
        dialect: Dialect,
        model: str,
        *,
        streamed: bool,
        strict: bool,
        exchange: AnyExchange,
        reserved: Reserved | None = None,
    ) -> None:
        """Another attempt starts, for which `reserved` was set aside."""
        if self.tap is None:
            self.begun = True
            if reserved is not None and reserved.waited:
                self._started_ns = 0  # the wait was for money, and none of the target's doing
            self.tap = Tap(dialect, streamed=streamed, strict=strict, started_ns=self._started_ns or exchange.issued_ns)
            self.tap.hears = self.faults is not None and self.faults.tells
        self._reserved = reserved
        self.model = model
        self.tap.watch(exchange)
        self._open = exchange

    def settle_attempt(self) -> None:
        """Another attempt is about to be made: the money of the one before is let go first.

        Calls that held it while they wait for more could wait for one another for ever.
        """
        reserved, self._reserved = self._reserved, None
        if reserved is not None and self.tap is not None and self.tap.exchange is not None:
            reserved.settle(_cost_of_attempt(self.tap.exchange))

    def attempt_closed(self, exchange: AnyExchange, *, cut: Failure | None = None) -> None:
        """An attempt's reply was closed; outside the SDK's loop that ends the call."""
        if self._open is exchange:
            self._open = None
            if self.tap is not None:
                self.tap.attempt_over()
            if not self.within_sdk:
                self._settle(cut)

    def saw_end(self) -> bool:
        """True when the stream that is open has brought its terminal event."""
        return self._open is not None and self.tap is not None and self.tap.saw_end()

    def sdk_returned(self) -> None:
        """The SDK's request loop is over; a stream still open ends the call later."""
        self.within_sdk = False
        if self._open is None:
            self._settle(None)

    def sdk_raised(self, error: BaseException) -> None:
        """The SDK's request loop raised: nobody will read what is still open."""
        self.within_sdk = False
        exchange, self._open = self._open, None
        if exchange is not None:
            exchange.close()
        # An Exception of the SDK's own tells what the last attempt came to, which its tap knows better.
        self._settle(cut_by(error) if exchange is not None or not isinstance(error, Exception) else None)

    def _settle(self, cut: Failure | None) -> None:
        tap, self.tap = self.tap, None
        if tap is not None:
            self._finish(tap, self.model, cut=cut, reservation=self._reserved)


# Each greenlet has its own: another one's call may start while this one's retry waits.
_current: ContextVar[SdkCall | None] = ContextVar("agentlocust_sdk_call", default=None)


class SdkTransport(httpx2.BaseTransport):
    """An httpx2 transport for one user's SDK client.

    Requests to another origin than the key's never carry a key; redirects are not followed. `issue`
    is asked before each call of an SDK and tells when it was to begin (monotonic ns, 0 for now);
    `not_issued` is told when the SDK then asked for nothing that is measured. `reserve` stands before
    each attempt; what it refuses is answered here with 402. `marks` gives headers of ours for an origin.
    """

    def __init__(
        self,
        pool: Pool,
        timeouts: Timeouts,
        key: Key,
        finish: Finish,
        scrub: Callable[[bytes], bytes],
        *,
        strict: bool,
        issue: Callable[[], int] = lambda: 0,
        not_issued: Callable[[], None] = lambda: None,
        reserve: Reserve = _unlimited,
        faults: Faults = _none,
        marks: Callable[[Origin], list[tuple[str, str]]] = lambda origin: [],
    ) -> None:
        self._pool = pool
        self._timeouts = timeouts
        self._key = key
        self._finish = finish
        self._scrub = scrub
        self._strict = strict
        self._issue = issue
        self._not_issued = not_issued
        self._reserve = reserve
        self._faults = faults
        self._marks = marks

    @contextlib.contextmanager
    def call(self) -> Iterator[None]:
        """Stand around an SDK's request loop: what is sent inside is one call."""
        call = SdkCall(self._finish, self._issue())
        token = _current.set(call)
        try:
            yield
        except BaseException as error:
            call.sdk_raised(error)
            raise
        else:
            call.sdk_returned()
        finally:
            _current.reset(token)
            if not call.begun:
                self._not_issued()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one attempt. Raises httpx2's own exceptions, so the SDK treats them as ever."""
        url = request.url
        host = url.raw_host.decode("ascii")
        origin = Origin(url.scheme, host, url.port or (443 if url.scheme == "https" else 80))
        body = request.read()
        headers = [(name, value) for name, value in request.headers.items() if name not in _OURS]
        headers = [pair for pair in headers if self._may_send(pair, origin)]
        headers.append(("accept-encoding", "identity"))  # a tap reads what the SDK reads
        dialect = dialects.for_path(url.path) if request.method == "POST" else None
        if dialect is not None:
            headers += self._marks(origin)
        sent = HttpRequest(request.method, origin, url.raw_path.decode("ascii"), headers, body)
        asked = _asked(body) if dialect is not None else {}
        before = _current.get()
        if dialect is not None and before is not None:
            before.settle_attempt()
        try:
            reserved = self._reserve(body, asked) if dialect is not None else None
        except Refused as refused:
            return _refusal(str(refused))
        call = self._call()
        exchange: AnyExchange
        if dialect is None:
            exchange = Exchange(self._pool, sent, self._timeouts)
        else:
            model, streamed = str(asked.get("model", "")), bool(asked.get("stream"))
            if call.tap is None:
                call.faults = self._faults(dialect, model, streamed, url.path)
            exchange = open_exchange(self._pool, sent, self._timeouts, call.faults)
            call.begin(dialect, model, streamed=streamed, strict=self._strict, exchange=exchange, reserved=reserved)
        try:
            exchange.send()
            exchange.wait_headers()
            if exchange.error is not None:
                raise _as_httpx(exchange.error, request)
            if exchange.response.status_code >= 300:
                return self._error_reply(request, exchange, call)
        except BaseException:
            exchange.close()
            call.attempt_closed(exchange)
            raise
        return self._reply(exchange, _pairs(exchange), _TappedStream(exchange, call, request))

    def close(self) -> None:
        """Close the user's idle connections."""
        self._pool.close()

    def _may_send(self, header: tuple[str, str], origin: Origin) -> bool:
        if self._key.value and self._key.value in header[1]:
            return self._key.usable_for(origin)
        return header[0] not in _KEY_HEADERS or origin.may_carry_key

    def _call(self) -> SdkCall:
        call = _current.get()
        if call is None:
            call = SdkCall(self._finish)
            call.within_sdk = False  # someone uses the transport without an SDK's loop around it
        return call

    def _error_reply(self, request: httpx2.Request, exchange: AnyExchange, call: SdkCall) -> httpx2.Response:
        # Read whole and scrubbed here: SDKs put the body of an error into their exceptions.
        exchange.wait_end()
        chunks = exchange.response.chunks
        if chunks:
            body = b"".join(data for _, data in chunks)
            clean = self._scrub(body[:_ERROR_BYTES])
            if len(body) > _ERROR_BYTES:
                clean = clean[:-_LONGEST_SECRET]  # no half of a secret is left at the cut
            chunks[:] = [(chunks[-1][0], clean)]
        exchange.close()
        call.attempt_closed(exchange)
        content = chunks[0][1] if chunks else b""
        pairs = [(name, self._scrub(value)) for name, value in _pairs(exchange)]
        return self._reply(exchange, pairs, httpx2.ByteStream(content))

    @staticmethod
    def _reply(
        exchange: AnyExchange, pairs: list[tuple[bytes, bytes]], stream: httpx2.SyncByteStream
    ) -> httpx2.Response:
        response = exchange.response
        return httpx2.Response(
            response.status_code, headers=pairs, stream=stream, extensions={"http_version": b"HTTP/1.1"}
        )


class _TappedStream(httpx2.SyncByteStream):
    """The reply's body for the SDK; its end, however it comes, ends the attempt."""

    def __init__(self, exchange: AnyExchange, call: SdkCall, request: httpx2.Request) -> None:
        self._exchange = exchange
        self._call = call
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        try:
            for _, data in self._exchange.chunks():
                yield data
        except GeneratorExit:
            self._end(_CLOSED)
            raise
        except BaseException as error:
            self._end(cut_by(error))
            raise
        if self._exchange.error is not None:
            raise _as_httpx(self._exchange.error, self._request)

    def close(self) -> None:
        exchange = self._exchange
        if not exchange.done and self._call.saw_end() and gevent.getcurrent() is not gevent.get_hub():
            # SDKs stop reading at the terminal event; the end of the reply is on its heels.
            try:
                with gevent.Timeout(_LAST_BYTES_S, exception=False):
                    exchange.wait_end()
            except BaseException as error:
                self._end(cut_by(error))
                raise
        self._end(None if exchange.done else _CLOSED)

    def _end(self, cut: Failure | None) -> None:
        self._exchange.close()
        self._call.attempt_closed(self._exchange, cut=cut)


def _pairs(exchange: AnyExchange) -> list[tuple[bytes, bytes]]:
    return [pair for pair in exchange.response.header_pairs() if pair[0].lower() not in _UNDONE]


def _cost_of_attempt(exchange: Attempt) -> int | None:
    """What an attempt cost that another followed: nothing, if the server refused it."""
    kind = exchange.error.kind if exchange.error is not None else None
    return cost_of_failed(exchange.response.status_code if exchange.response.final else 0, kind)


def _refusal(why: str) -> httpx2.Response:
    """What a provider would answer whose customer's money is used up; SDKs do not try again."""
    error = {"message": f"not sent: {why}", "type": "budget", "code": "run_budget", "param": None}
    return httpx2.Response(402, json={"type": "error", "error": error}, headers={"x-should-retry": "false"})


def _asked(body: bytes) -> dict[str, object]:
    try:
        asked = jiter.from_json(body)
    except ValueError:
        return {}
    return asked if isinstance(asked, dict) else {}


def _as_httpx(error: WireError, request: httpx2.Request) -> httpx2.TransportError:
    text = error.args[0]
    match error.kind:
        case FailureKind.TIMEOUT:
            return httpx2.ReadTimeout(text, request=request)
        case FailureKind.CONNECT | FailureKind.DNS | FailureKind.TLS:
            return httpx2.ConnectError(text, request=request)
        case FailureKind.RESET:
            return httpx2.ReadError(text, request=request)
        case _:
            return httpx2.RemoteProtocolError(text, request=request)
