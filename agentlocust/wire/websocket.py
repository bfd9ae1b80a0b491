"""A WebSocket on one of our connections: the hub stamps the bytes, wsproto (sans-io) reads the frames.

RFC 6455. wsproto was chosen for having no sockets of its own: bytes come and go through `Connection`,
so TLS, proxies, kernel stamps and the rule about keys are those of every other request.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.utilities import ProtocolError

from agentlocust.dialects.failed import read_failure
from agentlocust.errors import WireError
from agentlocust.failures import Failure, FailureKind, classify_status
from agentlocust.wire.connection import Connection, open_connection
from agentlocust.wire.exchange import Timeouts
from agentlocust.wire.target import Origin

MAX_MESSAGE = 16 * 1024 * 1024  # bytes of one message
MAX_UNREAD = 64 * 1024 * 1024  # bytes that wait to be read

_CLOSE_S = 1.0  # how long a close may take to be answered
_NORMAL = (1000, 1001)
_BY_CODE = {
    1002: FailureKind.PROTOCOL,
    1003: FailureKind.PROTOCOL,
    1006: FailureKind.RESET,
    1007: FailureKind.PROTOCOL,
    1008: FailureKind.BAD_REQUEST,  # policy
    1009: FailureKind.TOO_LARGE,
    1011: FailureKind.SERVER_ERROR,
    1012: FailureKind.OVERLOADED,  # restarting
    1013: FailureKind.OVERLOADED,  # try again later
    1014: FailureKind.SERVER_ERROR,  # bad gateway
    1015: FailureKind.TLS,
}

StampedMessage = tuple[int, bytes]


class Refused(WireError):
    """The server answered the handshake with something else than a WebSocket."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(failure.kind, failure.message)


def close_failure(code: int, reason: str) -> Failure:
    """What a close in the middle of an answer means. 44xx and 45xx are read as HTTP's 4xx and 5xx, as is usual."""
    kind = _BY_CODE.get(code, FailureKind.TRUNCATED_STREAM if code in _NORMAL else FailureKind.STREAM_ERROR)
    if 4400 <= code < 4600:
        kind = classify_status(code - 4000)
    said = f": {reason[:200]}" if reason else ""
    return Failure(kind, f"the server closed the WebSocket with {code}{said}", 101)


class WebSocket:
    """One open WebSocket. A greenlet sends and receives; it alone may use it.

    All methods raise WireError (dns, connect, tls, timeout, reset, protocol, too_large); `Refused`
    tells of an HTTP error that answered the handshake.
    """

    def __init__(self, origin: Origin, path: str, headers: Sequence[tuple[str, str]], timeouts: Timeouts) -> None:
        self.close_code = 0  # once the server has closed
        self.close_reason = ""
        self._timeouts = timeouts
        self._arrived: deque[StampedMessage] = deque()
        self._unread = 0
        self._news = Event()
        self._error: WireError | None = None
        self._broken = False
        self._ended = False  # no more bytes will come
        self._reading = BoundedSemaphore()
        self._idle = False  # between asks nobody reads: pings are answered all the same
        self._pieces: list[bytes] = []
        self._size = 0
        self._messages: deque[StampedMessage] = deque()
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._connection: Connection = open_connection(origin, min(timeouts.connect, timeouts.total))
        try:
            self._connection.receive_into(self)
            self._shake_hands(origin, path, headers)
        except BaseException:
            self._connection.close()
            raise

    @property
    def open(self) -> bool:
        """True while messages may be sent, as far as is known."""
        self._read_arrived()
        return not (self.close_code or self._error or self._ended or self._connection.closed)

    def send(self, text: str) -> None:
        """Send one message; nothing once the server has closed, which the next `receive` tells."""
        self._idle = False
        self._read_arrived()
        try:
            if not self.close_code:
                self._write(TextMessage(data=text))
        except WireError:
            self._read_arrived()
            if not self.close_code:  # why the server closed says more than that it did
                raise

    def receive(self, timeout: float) -> StampedMessage | None:
        """The next message; None once the server has closed. Raises WireError `timeout` after so many seconds."""
        deadline = time.monotonic() + timeout
        while True:
            self._read_arrived()
            if self._messages:
                return self._messages.popleft()
            if self.close_code:
                return None
            if self._error is not None:
                raise self._error
            if self._ended:
                self.close_code, self.close_reason = 1006, "the connection closed without a close frame"
                return None
            left = deadline - time.monotonic()
            self._news.clear()
            if left <= 0 or not self._news.wait(left):
                raise WireError(FailureKind.TIMEOUT, f"no message came for {timeout:g} s")

    def rest(self) -> None:
        """The conversation pauses: until the next `send` only pings and a close are looked for."""
        self._idle = True

    def close(self) -> None:
        """Say good-bye, wait a moment for the answer, and free the socket."""
        try:
            if self.open:
                self._write(CloseConnection(code=1000))
                with gevent.Timeout(_CLOSE_S, False):
                    while self.open:
                        self._news.clear()
                        self._news.wait()
        except WireError:
            pass  # it is closed one way or another
        finally:
            self._connection.close()

    def abort(self) -> None:
        """Free the socket at once."""
        self._connection.close()

    # -- in the hub --------------------------------------------------------------------------------

    def on_data(self, now_ns: int, data: bytes) -> None:
        """Keep what arrives; the greenlet reads it."""
        if not data:
            self._ended = True
            self._connection.rest()
        else:
            self._arrived.append((now_ns, data))
            self._unread += len(data)
            if self._unread > MAX_UNREAD:
                self._fail(WireError(FailureKind.TOO_LARGE, f"more than {MAX_UNREAD} unread bytes"))
        self._news.set()
        if self._idle:
            gevent.spawn(self._read_arrived)

    def on_error(self, error: WireError) -> None:
        """The connection broke."""
        self._fail(error)

    def _fail(self, error: WireError) -> None:
        self._error = self._error or error
        self._connection.rest()
        self._news.set()

    def _break(self, error: WireError) -> None:
        self._broken = True  # what came after it is not read; what came before a connection broke is
        self._error = error
        self._connection.rest()

    # -- frames ------------------------------------------------------------------------------------

    def _shake_hands(self, origin: Origin, path: str, headers: Sequence[tuple[str, str]]) -> None:
        extra = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers]
        self._write(Request(host=origin.host_header, target=path, extra_headers=extra))
        refusal: RejectConnection | None = None
        body: list[bytes] = []
        deadline = time.monotonic() + min(self._timeouts.first_byte, self._timeouts.total)
        while True:
            events = self._events()
            for number, event in enumerate(events, 1):
                if isinstance(event, AcceptConnection):
                    for early in events[number:]:  # messages may come on the heels of the handshake
                        self._take(early)
                    return
                if isinstance(event, RejectConnection):
                    refusal = event
                elif isinstance(event, RejectData):
                    body.append(bytes(event.data))
                if refusal is not None and (
                    not refusal.has_body or (isinstance(event, RejectData) and event.body_finished)
                ):
                    raise Refused(_refusal(refusal.status_code, b"".join(body)))
            if self._error is not None:
                raise self._error
            if self._ended and not self._arrived:
                if refusal is not None:
                    raise Refused(_refusal(refusal.status_code, b"".join(body)))
                raise WireError(FailureKind.RESET, "the connection closed during the WebSocket handshake")
            left = deadline - time.monotonic()
            self._news.clear()
            if left <= 0 or not (self._arrived or self._news.wait(left)):
                raise WireError(FailureKind.TIMEOUT, "no WebSocket handshake in time")

    def _write(self, event: Any) -> None:
        try:
            data = self._protocol.send(event)
        except ProtocolError as error:
            raise WireError(FailureKind.RESET, f"the WebSocket is closed: {error}") from None
        self._connection.send(data, self._timeouts.idle)

    def _events(self) -> list[Any]:
        """The events in the next bytes that arrived."""
        if not self._arrived:
            return []
        self._stamp_ns, data = self._arrived.popleft()
        self._unread -= len(data)
        try:
            self._protocol.receive_data(data)
            return list(self._protocol.events())
        except ProtocolError as error:
            raise WireError(FailureKind.PROTOCOL, f"not a WebSocket: {error}") from None

    def _read_arrived(self) -> None:
        with self._reading:
            while self._arrived and not self.close_code and not self._broken:
                try:
                    events = self._events()
                except WireError as error:
                    self._break(error)
                    return
                for event in events:
                    self._take(event)

    def _take(self, event: Any) -> None:
        if isinstance(event, (TextMessage, BytesMessage)):
            piece = event.data.encode() if isinstance(event.data, str) else bytes(event.data)
            self._pieces.append(piece)
            self._size += len(piece)
            if self._size > MAX_MESSAGE:
                self._break(WireError(FailureKind.TOO_LARGE, f"a message of more than {MAX_MESSAGE} bytes"))
            elif event.message_finished:
                self._messages.append((self._stamp_ns, b"".join(self._pieces)))
                self._pieces, self._size = [], 0
        elif isinstance(event, Ping):
            with contextlib.suppress(WireError):  # a broken connection shows when it is read
                self._write(event.response())
        elif isinstance(event, CloseConnection):
            self.close_code = int(event.code)
            self.close_reason = str(event.reason or "")
            with contextlib.suppress(WireError):
                self._write(event.response())


def _refusal(status: int, body: bytes) -> Failure:
    if 200 <= status < 300:
        return Failure(FailureKind.PROTOCOL, f"the server answered {status} and no WebSocket", status)
    return read_failure(status, body)
