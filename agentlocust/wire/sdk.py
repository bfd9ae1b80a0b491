"""The official SDKs' way in: an httpx2 transport that rides our connections and taps each call.

A call is what the SDK was asked for once; its retries are attempts of it. `SdkTransport.call()`
stands around the SDK's own request loop, so the transport knows which attempts belong together.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol

import gevent
import httpx2
import jiter

from agentlocust import dialects
from agentlocust.dialects.base import Dialect
from agentlocust.errors import WireError
from agentlocust.failures import FailureKind
from agentlocust.wire.exchange import Exchange, HttpRequest, Timeouts
from agentlocust.wire.pool import Pool
from agentlocust.wire.tap import Tap
from agentlocust.wire.target import Key, Origin

_LAST_BYTES_S = 0.25  # how long a stream closed after its terminal event may take to end
_OURS = ("host", "content-length", "connection", "accept-encoding", "transfer-encoding")
_KEY_HEADERS = ("authorization", "x-api-key", "api-key")


class Finish(Protocol):
    """Told when a call has ended: its tap, the model asked for, and why it was cut, if it was."""

    def __call__(self, tap: Tap, model: str, *, cut: str) -> None:
        """Take the ended call."""


class SdkCall:
    """One call of an SDK: attempts gathered under one tap, recorded once.

    It counts from its first attempt: what the SDK does before is the generator's time, not the target's.
    """

    def __init__(self, finish: Finish) -> None:
        self.tap: Tap | None = None
        self.model = ""
        self.within_sdk = True
        self._finish = finish
        self._open: Exchange | None = None

    def begin(self, dialect: Dialect, model: str, *, streamed: bool, strict: bool, exchange: Exchange) -> None:
        """Another attempt starts."""
        if self.tap is None:
            self.tap = Tap(dialect, streamed=streamed, strict=strict, started_ns=exchange.issued_ns)
        self.model = model
        self.tap.watch(exchange)
        self._open = exchange

    def attempt_closed(self, exchange: Exchange, *, cut: str = "") -> None:
        """An attempt's reply was closed; outside the SDK's loop that ends the call."""
        if self._open is exchange:
            self._open = None
            if not self.within_sdk:
                self._settle(cut)

    def sdk_returned(self, *, cut: str = "") -> None:
        """The SDK's request loop is over; a stream still open ends the call later."""
        self.within_sdk = False
        if self._open is None or cut:
            self._settle(cut)

    def _settle(self, cut: str) -> None:
        tap, self.tap = self.tap, None
        if tap is not None:
            self._finish(tap, self.model, cut=cut)


class SdkTransport(httpx2.BaseTransport):
    """An httpx2 transport for one user's SDK client.

    Requests to another origin than the key's never carry a key; redirects are not followed.
    """

    def __init__(
        self, pool: Pool, timeouts: Timeouts, key: Key, finish: Finish, scrub: Callable[[bytes], bytes], *, strict: bool
    ) -> None:
        self._pool = pool
        self._timeouts = timeouts
        self._key = key
        self._finish = finish
        self._scrub = scrub
        self._strict = strict
        self._calls: list[SdkCall] = []

    @contextlib.contextmanager
    def call(self) -> Iterator[None]:
        """Stand around an SDK's request loop: what is sent inside is one call."""
        call = SdkCall(self._finish)
        self._calls.append(call)
        try:
            yield
        except Exception:
            call.sdk_returned()
            raise
        except BaseException:
            call.sdk_returned(cut="the test ended")
            raise
        else:
            call.sdk_returned()
        finally:
            self._calls.remove(call)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one attempt. Raises httpx2's own exceptions, so the SDK treats them as ever."""
        url = request.url
        origin = Origin(url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80))
        body = request.read()
        headers = [(name, value) for name, value in request.headers.items() if name not in _OURS]
        headers = [pair for pair in headers if self._may_send(pair, origin)]
        headers.append(("accept-encoding", "identity"))  # a tap reads what the SDK reads
        sent = HttpRequest(request.method, origin, url.raw_path.decode("ascii"), headers, body)
        exchange = Exchange(self._pool, sent, self._timeouts)
        call = self._begin(request, exchange, body)
        try:
            exchange.send()
            exchange.wait_headers()
            if exchange.error is not None:
                raise _as_httpx(exchange.error, request)
            if exchange.response.status_code >= 400:
                return self._error_reply(request, exchange, call)
        except BaseException:
            exchange.close()
            call.attempt_closed(exchange)
            raise
        return self._reply(exchange, _TappedStream(exchange, call, request))

    def close(self) -> None:
        """Close the user's idle connections."""
        self._pool.close()

    def _may_send(self, header: tuple[str, str], origin: Origin) -> bool:
        if header[0] not in _KEY_HEADERS:
            return True
        if self._key.value and self._key.value in header[1]:
            return self._key.usable_for(origin)
        return origin.may_carry_key

    def _begin(self, request: httpx2.Request, exchange: Exchange, body: bytes) -> SdkCall:
        call = self._calls[-1] if self._calls else SdkCall(self._finish)
        if not self._calls:
            call.within_sdk = False  # someone uses the transport without an SDK's loop around it
        dialect = dialects.for_path(request.url.path) if request.method == "POST" else None
        if dialect is not None:
            asked = _asked(body)
            call.begin(
                dialect,
                str(asked.get("model", "")),
                streamed=bool(asked.get("stream")),
                strict=self._strict,
                exchange=exchange,
            )
        return call

    def _error_reply(self, request: httpx2.Request, exchange: Exchange, call: SdkCall) -> httpx2.Response:
        # Read whole and scrubbed here: SDKs put the body of an error into their exceptions.
        exchange.wait_end()
        chunks = exchange.response.chunks
        if chunks:
            chunks[:] = [(chunks[-1][0], self._scrub(b"".join(data for _, data in chunks)))]
        exchange.close()
        call.attempt_closed(exchange)
        content = chunks[0][1] if chunks else b""
        return self._reply(exchange, httpx2.ByteStream(content))

    @staticmethod
    def _reply(exchange: Exchange, stream: httpx2.SyncByteStream) -> httpx2.Response:
        response = exchange.response
        pairs = [pair for pair in response.header_pairs() if pair[0].lower() != b"content-length"]
        return httpx2.Response(
            response.status_code, headers=pairs, stream=stream, extensions={"http_version": b"HTTP/1.1"}
        )


class _TappedStream(httpx2.SyncByteStream):
    """The reply's body for the SDK; its end, however it comes, ends the attempt."""

    def __init__(self, exchange: Exchange, call: SdkCall, request: httpx2.Request) -> None:
        self._exchange = exchange
        self._call = call
        self._request = request
        self._whole = False

    def __iter__(self) -> Iterator[bytes]:
        try:
            for _, data in self._exchange.chunks():
                yield data
        except Exception:
            raise
        except BaseException:
            self._end(cut="the test ended")
            raise
        self._whole = True
        if self._exchange.error is not None:
            raise _as_httpx(self._exchange.error, self._request)

    def close(self) -> None:
        exchange = self._exchange
        if not exchange.done:
            # SDKs stop reading at the terminal event; the end of the reply is on its heels.
            with gevent.Timeout(_LAST_BYTES_S, exception=False):
                exchange.wait_end()
        self._end(cut="" if self._whole or exchange.done else "the caller closed the stream")

    def _end(self, *, cut: str) -> None:
        self._exchange.close()
        self._call.attempt_closed(self._exchange, cut=cut)


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
