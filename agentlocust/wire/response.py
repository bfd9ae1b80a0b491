"""One HTTP reply as it arrives: llhttp's parser with its body kept as stamped chunks."""

from __future__ import annotations

import zlib

from geventhttpclient.response import HTTPParseError, HTTPResponse

from agentlocust.errors import WireError
from agentlocust.failures import FailureKind

MAX_HEADER_BYTES = 64 * 1024
MAX_REPLY_BYTES = 16 * 1024 * 1024

Chunk = tuple[int, bytes]  # nanoseconds on the monotonic clock, body bytes


class Response(HTTPResponse):
    """Status, headers and stamped body chunks of one reply.

    `feed_at` raises WireError for a reply that is not HTTP or exceeds the limits.
    """

    def __init__(self, method: str = "POST") -> None:
        super().__init__(method)
        self.chunks: list[Chunk] = []
        self.body_bytes = 0
        self.first_byte_ns = 0
        self._now_ns = 0
        self._before_body = 0

    def feed_at(self, now_ns: int, data: bytes) -> None:
        """Parse bytes that arrived at `now_ns`; b"" means that the server closed."""
        self._now_ns = now_ns
        if not self.first_byte_ns:
            self.first_byte_ns = now_ns
        if not self.final:
            self._before_body += len(data)
        try:
            self.feed(data)
        except HTTPParseError as error:
            if not data:
                kind = FailureKind.TRUNCATED_STREAM if self.final else FailureKind.RESET
                raise WireError(kind, "the connection closed before the reply was whole") from None
            raise WireError(FailureKind.PROTOCOL, f"the reply is not HTTP: {error.args[0]}") from None
        if not self.final and self._before_body > MAX_HEADER_BYTES:
            raise WireError(FailureKind.TOO_LARGE, f"headers of more than {MAX_HEADER_BYTES} bytes")
        if self.body_bytes > MAX_REPLY_BYTES:
            raise WireError(FailureKind.TOO_LARGE, f"a reply of more than {MAX_REPLY_BYTES} bytes")

    @property
    def final(self) -> bool:
        """True once the headers of the final (not 1xx) reply are complete."""
        return self.headers_complete and self.status_code >= 200

    @property
    def complete(self) -> bool:
        """True once the final reply is whole."""
        return self.message_complete and self.status_code >= 200

    def header(self, name: str) -> str:
        """A header's value, "" when absent, the values joined when repeated."""
        value = self.get(name)
        if value is None:
            return ""
        return value if isinstance(value, str) else ", ".join(value)

    def header_pairs(self) -> list[tuple[bytes, bytes]]:
        """All headers in order, as the bytes they came as."""
        return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.items()]

    def body(self) -> bytes:
        """The body received so far, decoded."""
        return b"".join(chunk for _, chunk in self.decoded_chunks())

    def decoded_chunks(self) -> list[Chunk]:
        """The chunks with any content-encoding undone. Raises WireError for one that cannot be."""
        encoding = self.header("content-encoding").strip().lower()
        if encoding in ("", "identity"):
            return self.chunks
        if encoding not in ("gzip", "x-gzip", "deflate"):
            raise WireError(FailureKind.PROTOCOL, f"content-encoding {encoding[:40]!r} was not asked for")
        return list(_inflate(self.chunks, encoding))

    def _on_body(self, buf: bytearray) -> None:
        self.body_bytes += len(buf)
        self.chunks.append((self._now_ns, bytes(buf)))


def _inflate(chunks: list[Chunk], encoding: str) -> list[Chunk]:
    inflater = zlib.decompressobj(zlib.MAX_WBITS | (0 if encoding == "deflate" else 16))
    inflated: list[Chunk] = []
    total = 0
    for stamp, chunk in chunks:
        try:
            data = inflater.decompress(chunk, MAX_REPLY_BYTES + 1 - total)
        except zlib.error as error:
            raise WireError(FailureKind.PROTOCOL, f"the reply's {encoding} is broken: {error}") from None
        total += len(data)
        if total > MAX_REPLY_BYTES:
            raise WireError(FailureKind.TOO_LARGE, f"a reply of more than {MAX_REPLY_BYTES} bytes, unpacked")
        if data:
            inflated.append((stamp, data))
    return inflated
