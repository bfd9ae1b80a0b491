"""One HTTP attempt: a request sent, a reply awaited, every way it can end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gevent
from gevent.hub import Waiter

from agentlocust.errors import WireError
from agentlocust.failures import FailureKind
from agentlocust.records import ConnectionTimes
from agentlocust.wire.connection import Connection
from agentlocust.wire.pool import Pool
from agentlocust.wire.proxies import Proxy
from agentlocust.wire.response import Chunk, Response
from agentlocust.wire.target import Origin
from agentlocust.wire.wakes import wakes

_HEADERS, _CHUNK, _END = "headers", "chunk", "end"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: to connect, to the reply's complete headers, between bytes of its body, and for the whole.

    `first_byte` holds until the headers are whole, so a server that drips them gains nothing by it.
    """

    connect: float = 5.0
    first_byte: float = 120.0
    idle: float = 60.0
    total: float = 600.0


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request as it goes on the wire; `headers` come without Host and Content-Length."""

    method: str
    origin: Origin
    path: str
    headers: Sequence[tuple[str, str]]
    body: bytes = b""

    def encode(self, proxy: Proxy | None = None) -> bytes:
        """The bytes of the request, as a proxy takes it if there is one.

        Raises WireError for a header that would break out of its line.
        """
        target = self.path if proxy is None else f"{self.origin}{self.path}"
        lines = [f"{self.method} {target} HTTP/1.1", f"Host: {self.origin.host_header}"]
        if proxy is not None and proxy.authorization:
            lines.append(f"Proxy-Authorization: {proxy.authorization}")
        for name, value in self.headers:
            if "\r" in value or "\n" in value or "\r" in name or "\n" in name:
                raise WireError(FailureKind.CLIENT, f"header {name!r} holds a line break")
            lines.append(f"{name}: {value}")
        lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + self.body


class _Answered(BaseException):
    """Thrown into a greenlet that still sends when the exchange is over."""


class Exchange:
    """Sends one request and gathers its reply, read in the hub.

    The greenlet sleeps until what it waits for is there. `error` tells what went wrong on the
    wire; what an HTTP error reply means is for the dialect to say. `close` may be called at any
    point and frees the socket at once.
    """

    struck: tuple[str, ...] = ()  # faults: see `wire.injected`
    made = False

    def __init__(self, pool: Pool, request: HttpRequest, timeouts: Timeouts) -> None:
        self.request = request
        self.response = Response(request.method)
        self.error: WireError | None = None
        self.connection: Connection | None = None
        self.reused = False
        self.times: ConnectionTimes | None = None  # once the request is sent
        self.issued_ns = time.monotonic_ns()
        self.sent_ns = 0
        self._pool = pool
        self._timeouts = timeouts
        self._last_ns = 0
        self._timer: Any = None
        self._waiter: Waiter[None] | None = None
        self._awaited = _END
        self._sender: Any = None  # the greenlet that is in `send`
        self._sent_whole = False
        self._in_body = False

    # -- in the user's greenlet ----------------------------------------------------------------

    def send(self) -> None:
        """Connect if needed and send. Sets `error` instead of raising."""
        try:
            timeouts = self._timeouts
            self.connection = self._pool.acquire(self.request.origin, min(timeouts.connect, timeouts.total))
            data = self.request.encode(self.connection.proxy)
            self.reused = self.connection.used > 0
            self.sent_ns = self._last_ns = time.monotonic_ns()
            self.connection.receive_into(self)
            self._set_timer(self._wait_s(self.sent_ns))
            self._sender = gevent.getcurrent()
            self.connection.send(data, timeouts.idle)
            self._sent_whole = True
            self.times = self._times(time.monotonic_ns())
        except WireError as error:
            # A server may answer (413, 401) and close before it has read it all.
            if not self.response.first_byte_ns:
                self._fail(error)
        except _Answered:
            pass
        except BaseException:
            self.close()
            raise
        finally:
            self._sender = None

    def _times(self, sent_ns: int) -> ConnectionTimes:
        connection = self.connection
        send_s = (sent_ns - self.sent_ns) / 1e9
        if connection is None or self.reused:
            return ConnectionTimes(reused=True, send_s=send_s)
        return ConnectionTimes(False, connection.dns_s, connection.connect_s, connection.tls_s, send_s)

    def wait_headers(self) -> None:
        """Wait for the final status and headers, or for an error."""
        self._wait(_HEADERS)

    def wait_end(self) -> None:
        """Wait until the reply is whole or failed."""
        self._wait(_END)

    def chunks(self) -> Iterator[Chunk]:
        """The body's chunks as they arrive; ends with the reply or with `error` set."""
        taken = 0
        while True:
            chunks = self.response.chunks
            while taken < len(chunks):
                yield chunks[taken]
                taken += 1
            if self.done:
                return
            self._wait(_CHUNK)

    @property
    def done(self) -> bool:
        """True when nothing more will come."""
        return self.error is not None or self.response.complete or self.connection is None

    def close(self) -> None:
        """Give the connection back, or close it when the reply is not whole."""
        connection, self.connection = self.connection, None
        self._stop_timer()
        if connection is not None:
            whole = self.error is None and self._sent_whole and self.response.complete
            self._pool.release(connection, reusable=whole and not self.response.should_close())
            self._wake()

    def _wait(self, awaited: str) -> None:
        seen = len(self.response.chunks)
        while not self.done:
            if awaited == _HEADERS and self.response.final:
                return
            if awaited == _CHUNK and len(self.response.chunks) > seen:
                return
            self._awaited = awaited
            self._waiter = Waiter()
            try:
                self._waiter.get()
            finally:
                self._waiter = None

    # -- in the hub ----------------------------------------------------------------------------

    def on_data(self, now_ns: int, data: bytes) -> None:
        """Feed the reply; wake the greenlet only for what it waits for."""
        response = self.response
        self._last_ns = now_ns
        try:
            response.feed_at(now_ns, data)
        except WireError as error:
            self._fail(error)
            return
        if response.complete:
            self._stop_reading()
            self._wake()
            return
        if response.final and not self._in_body:
            self._in_body = True
            self._set_timer(self._wait_s(now_ns))  # from here on it is the idle timeout that may end it first
        if self._awaited == _CHUNK or (self._awaited == _HEADERS and response.final):
            self._wake()

    def on_error(self, error: WireError) -> None:
        """The connection broke under the reply."""
        self._fail(error)

    def _fail(self, error: WireError) -> None:
        if self.error is None:
            self.error = error
        self._stop_reading()
        self._wake()

    def _stop_reading(self) -> None:
        if self.connection is not None:
            self.connection.rest()
        if self._sender is not None:
            gevent.get_hub().loop.run_callback(self._stop_sending)

    def _stop_sending(self) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.throw(_Answered)

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            wakes().add(waiter)

    def _set_timer(self, wait_s: float) -> None:
        self._stop_timer()
        self._timer = gevent.get_hub().loop.timer(max(wait_s, 0.0))
        self._timer.start(self._on_timer)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.stop()
            timer.close()

    def _wait_s(self, now_ns: int) -> float:
        """Seconds to the next deadline."""
        timeouts = self._timeouts
        if self.response.final:
            quiet = (self._last_ns - now_ns) / 1e9 + timeouts.idle
        else:
            quiet = (self.sent_ns - now_ns) / 1e9 + timeouts.first_byte
        return min(
            quiet,
            (self.issued_ns - now_ns) / 1e9 + timeouts.total,
        )

    def _on_timer(self) -> None:
        if self._timer is None or self.done:
            return
        now_ns = time.monotonic_ns()
        left = self._wait_s(now_ns)
        if left > 0.001:
            self._set_timer(left)
            return
        timeouts = self._timeouts
        if (now_ns - self.issued_ns) / 1e9 >= timeouts.total - 0.001:
            text = f"no whole reply within {timeouts.total:g} s"
        elif self.response.final:
            text = f"nothing more came for {timeouts.idle:g} s"
        elif self.response.first_byte_ns:
            text = f"no whole headers within {timeouts.first_byte:g} s"
        else:
            text = f"no first byte within {timeouts.first_byte:g} s"
        self._fail(WireError(FailureKind.TIMEOUT, text))
