"""One HTTP reply as it arrives: llhttp's parser with its body kept as stamped chunks."""

from __future__ import annotations

import zlib
from typing import Any

from geventhttpclient.response import HTTPParseError, HTTPResponse

from agentlocust.errors import WireError
from agentlocust.failures import FailureKind

MAX_HEADER_BYTES = 64 * 1024
MAX_REPLY_BYTES = 16 * 1024 * 1024
MAX_CHUNKS = 128 * 1024  # a chunk costs some 150 bytes beside its own

_UNPACKED_AT_ONCE = 256 * 1024
_GZIP = ("gzip", "x-gzip")

Chunk = tuple[int, bytes]  # nanoseconds on the monotonic clock, body bytes


class Response(HTTPResponse):
    """Status, headers and stamped body chunks of one reply, any content-encoding undone as it arrives.

    `feed_at` raises WireError for a reply that is not HTTP, is cut short or exceeds the limits. The
    first final reply is the one that counts: what a server sends after it only costs the connection.
    """

    def __init__(self, method: str = "POST") -> None:
        super().__init__(method)
        self.chunks: list[Chunk] = []
        self.body_bytes = 0
        self.first_byte_ns = 0
        self.complete = False  # the final reply is whole
        self._final_status = 0
        self._before_body = 0
        self._pieces: list[bytes] = []
        self._encoding = ""
        self._unpacker: Any = None

    def feed_at(self, now_ns: int, data: bytes) -> None:
        """Parse bytes that arrived at `now_ns`; b"" means that the server closed."""
        if data and not self.first_byte_ns:
            self.first_byte_ns = now_ns
        if not self._final_status:
            self._before_body += len(data)
        problem: WireError | None = None
        try:
            self.feed(data)
        except HTTPParseError as error:
            if self.complete:
                self._trailing_data_dropped = True
            elif data:
                problem = WireError(FailureKind.PROTOCOL, f"the reply is not HTTP: {error.args[0]}")
        if self._pieces:
            self._keep(now_ns)
        if problem is not None:
            raise problem
        if not data and not self.complete:
            kind = FailureKind.TRUNCATED_STREAM if self.final else FailureKind.RESET
            raise WireError(kind, "the connection closed before the reply was whole")
        if not self._final_status and self._before_body > MAX_HEADER_BYTES:
            raise WireError(FailureKind.TOO_LARGE, f"headers of more than {MAX_HEADER_BYTES} bytes")

    @property
    def status_code(self) -> int:
        """The final reply's status once its headers are complete, before that the parser's own."""
        return self._final_status or int(self.get_code())

    @property
    def final(self) -> bool:
        """True once the headers of the final (not 1xx) reply are complete."""
        return self._final_status != 0

    def header(self, name: str) -> str:
        """A header's value, "" when absent, the values joined when repeated."""
        value = self.get(name)
        if value is None:
            return ""
        return value if isinstance(value, str) else ", ".join(value)

    def header_pairs(self) -> list[tuple[bytes, bytes]]:
        """All headers in order, as the bytes they came as."""
        return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.items()]

    # -- the parser's callbacks ------------------------------------------------------------------

    def _on_message_begin(self) -> None:
        if self.complete:
            raise HTTPParseError("a second reply to one request")
        super()._on_message_begin()

    def _on_header_field(self, string: str) -> None:
        if not self._final_status:  # trailers are of no use, and without limit
            super()._on_header_field(string)

    def _on_header_value(self, string: str) -> None:
        if not self._final_status:
            super()._on_header_value(string)

    def _on_headers_complete(self) -> int | bool | None:
        skip_body: int | bool | None = super()._on_headers_complete()
        if self.get_code() >= 200:
            self._final_status = self.get_code()
            self._encoding = self.header("content-encoding").strip().lower()
        return skip_body

    def _on_body(self, buf: bytearray) -> None:
        self._pieces.append(bytes(buf))

    def _on_message_complete(self) -> None:
        super()._on_message_complete()
        self.complete = self._final_status != 0

    # -- keeping the body ------------------------------------------------------------------------

    def _keep(self, now_ns: int) -> None:
        """Keep what one packet held of the body as one chunk."""
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        if self._encoding not in ("", "identity"):
            self._unpack(now_ns, data)
            return
        self._add(now_ns, data)

    def _add(self, now_ns: int, data: bytes) -> None:
        self.body_bytes += len(data)
        if self.body_bytes > MAX_REPLY_BYTES:
            raise WireError(FailureKind.TOO_LARGE, f"a reply of more than {MAX_REPLY_BYTES} bytes")
        if len(self.chunks) >= MAX_CHUNKS:
            raise WireError(FailureKind.TOO_LARGE, f"a reply in more than {MAX_CHUNKS} pieces")
        self.chunks.append((now_ns, data))

    def _unpack(self, now_ns: int, data: bytes) -> None:
        if self._unpacker is None:
            self._unpacker = unpacker(self._encoding, data)
        # A bomb is unpacked no further than the limit, and never in one piece.
        while data and not self._unpacker.eof:
            try:
                unpacked = self._unpacker.decompress(data, _UNPACKED_AT_ONCE)
            except zlib.error as error:
                raise WireError(FailureKind.PROTOCOL, f"the reply's {self._encoding} is broken: {error}") from None
            data = self._unpacker.unconsumed_tail
            if unpacked:
                self._add(now_ns, unpacked)


def unpacker(encoding: str, data: bytes) -> zlib._Decompress:
    """What undoes an encoding whose first bytes are `data`. Raises WireError for one that was not asked for."""
    return zlib.decompressobj(_window(encoding, data))


def _window(encoding: str, data: bytes) -> int:
    """Zlib's window bits for an encoding; `deflate` is sent with and without zlib's header. Raises WireError."""
    if encoding in _GZIP:
        return zlib.MAX_WBITS | 16
    if encoding == "deflate":
        return zlib.MAX_WBITS if data[0] & 0x0F == zlib.DEFLATED else -zlib.MAX_WBITS
    raise WireError(FailureKind.PROTOCOL, f"content-encoding {encoding[:40]!r} was not asked for")
