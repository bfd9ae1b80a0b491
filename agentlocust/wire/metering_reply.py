"""One HTTP attempt of somebody else's client, as far as it can be seen from inside: a Tap reads it like our own."""

from __future__ import annotations

import socket
import ssl
import time
import zlib
from collections.abc import Mapping
from typing import Protocol

from agentlocust.errors import WireError
from agentlocust.failures import FailureKind
from agentlocust.faults.chain import struck_by
from agentlocust.faults.injection import Injection, Rewriter
from agentlocust.records import ConnectionTimes
from agentlocust.wire.response import MAX_CHUNKS, MAX_REPLY_BYTES, Chunk, unpacker

_UNPACKED_AT_ONCE = 256 * 1024
_CAUSES = 8  # how deep an exception's causes are looked into


class Injected(Protocol):
    """What is going wrong with an attempt on purpose."""

    injection: Injection
    rewriter: Rewriter | None


class Seen:
    """Request and reply in one: what went out, and what the client read, stamped as it did.

    `times` stay unknown: the connection is the client's own.
    """

    __slots__ = (
        "_encoding",
        "_headers",
        "_unpacker",
        "body",
        "body_bytes",
        "chunks",
        "complete",
        "error",
        "first_byte_ns",
        "foreseen",
        "injected",
        "sent_ns",
        "status_code",
    )

    reused = False
    times: ConnectionTimes | None = None

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.sent_ns = time.monotonic_ns()
        self.first_byte_ns = 0
        self.status_code = 0
        self.chunks: list[Chunk] = []
        self.body_bytes = 0
        self.complete = False
        self.error: WireError | None = None
        self.injected: Injected | None = None
        self.foreseen: tuple[str, ...] = ()
        self._headers: Mapping[str, str] = {}
        self._encoding = ""
        self._unpacker: zlib._Decompress | None = None

    @property
    def request(self) -> Seen:
        """What was sent: `body`."""
        return self

    @property
    def response(self) -> Seen:
        """What came."""
        return self

    @property
    def struck(self) -> tuple[str, ...]:
        """The faults that took hold of it."""
        return (
            struck_by(self.injected.injection, self.injected.rewriter) if self.injected is not None else self.foreseen
        )

    @property
    def made(self) -> bool:
        """True when no server gave the reply."""
        return self.injected is not None and self.injected.injection.reply is not None

    @property
    def final(self) -> bool:
        """True once the headers were there."""
        return self.status_code != 0

    def header(self, name: str) -> str:
        """A header's value, "" when absent."""
        return self._headers.get(name, "")

    def headers_came(self, status: int, headers: Mapping[str, str]) -> None:
        """The reply's status and headers are there; `headers` are looked up in any case."""
        self.first_byte_ns = time.monotonic_ns()
        self.status_code = status
        self._headers = headers
        encoding = self.header("content-encoding").strip().lower()
        self._encoding = "" if encoding == "identity" else encoding

    def came(self, data: bytes) -> None:
        """The client read a piece of the body."""
        if self.error is not None:
            return
        now_ns = time.monotonic_ns()
        if not self._encoding:
            self._add(now_ns, data)
            return
        try:
            self._unpack(now_ns, data)
        except WireError as error:  # only we cannot read it
            self.error = error

    def failed(self, error: BaseException) -> None:
        """The client could not go on."""
        self.error = self.error or wire_error(error, in_body=self.final)

    def _add(self, now_ns: int, data: bytes) -> None:
        self.body_bytes += len(data)
        if self.body_bytes > MAX_REPLY_BYTES or len(self.chunks) >= MAX_CHUNKS:
            self.error = WireError(FailureKind.TOO_LARGE, "a reply of more bytes, or pieces, than are kept")
        else:
            self.chunks.append((now_ns, data))

    def _unpack(self, now_ns: int, data: bytes) -> None:
        if self._unpacker is None:
            self._unpacker = unpacker(self._encoding, data)
        while data and not self._unpacker.eof and self.error is None:
            try:
                unpacked = self._unpacker.decompress(data, _UNPACKED_AT_ONCE)
            except zlib.error as error:
                raise WireError(FailureKind.PROTOCOL, f"the reply's {self._encoding} is broken: {error}") from None
            data = self._unpacker.unconsumed_tail
            if unpacked:
                self._add(now_ns, unpacked)


def wire_error(error: BaseException, *, in_body: bool) -> WireError:
    """What an exception of httpx or httpx2 means; the two share their names.

    https://www.python-httpx.org/exceptions/
    """
    names = {cls.__name__ for cls in type(error).__mro__}
    text = str(error) or type(error).__name__
    kind = FailureKind.CLIENT
    if "PoolTimeout" in names:
        text = "no free connection in the agent's own pool"
    elif "TimeoutException" in names:
        kind, text = FailureKind.TIMEOUT, f"{type(error).__name__}: {error}"
    elif "ConnectError" in names:
        kind = _connect_kind(error)
    elif "ProxyError" in names:
        kind = FailureKind.CONNECT
    elif "RemoteProtocolError" in names:
        kind = FailureKind.TRUNCATED_STREAM if in_body else FailureKind.PROTOCOL
        if not in_body and "disconnected" in text:
            kind = FailureKind.RESET
    elif "NetworkError" in names:
        kind = FailureKind.RESET
    elif "TransportError" not in names:
        text = f"{type(error).__name__}: {error}"
    return WireError(kind, text)


def _connect_kind(error: BaseException) -> FailureKind:
    cause: BaseException | None = error
    for _ in range(_CAUSES):
        if isinstance(cause, socket.gaierror):
            return FailureKind.DNS
        if isinstance(cause, ssl.SSLError):
            return FailureKind.TLS
        if cause is None:
            break
        cause = cause.__cause__ or cause.__context__
    return FailureKind.CONNECT
