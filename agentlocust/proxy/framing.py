"""Where a body ends: follows its framing while the bytes pass as they are, and gives what they hold."""

from __future__ import annotations

from typing import Protocol

from agentlocust.proxy.heads import Head, NotHttp, is_chunked, length_of

_MAX_LINE = 16 * 1024  # of a chunk's size with its extensions, or a trailer
_MAX_TRAILERS = 64 * 1024
_BODILESS = (204, 304)
_HEX = b"0123456789abcdefABCDEF"


class Body(Protocol):
    """The rest of a message. `done` once it is whole."""

    done: bool

    def feed(self, data: bytes) -> tuple[bytes, int]:
        """Take bytes: the content in them, and how many of them belong to the body. Raises NotHttp."""

    def ended(self) -> bool:
        """Whether the connection may end here."""


class Sized:
    """A body of a known length."""

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = length == 0

    def feed(self, data: bytes) -> tuple[bytes, int]:
        """See `Body`."""
        taken = data if len(data) <= self._left else data[: self._left]
        self._left -= len(taken)
        self.done = self._left == 0
        return taken, len(taken)

    def ended(self) -> bool:
        """See `Body`."""
        return self.done


class UntilClose:
    """A body that ends with its connection."""

    done = False

    def feed(self, data: bytes) -> tuple[bytes, int]:
        """See `Body`."""
        return data, len(data)

    def ended(self) -> bool:
        """See `Body`."""
        self.done = True
        return True


class Chunked:
    """A chunked body: sizes, extensions and trailers pass, the content is read from between them."""

    def __init__(self) -> None:
        self.done = False
        self._left = 0  # of the chunk's data, with the CRLF after it
        self._line = b""  # the beginning of a line whose end has not come
        self._trailers = -1  # bytes of them so far, -1 before the last chunk

    def feed(self, data: bytes) -> tuple[bytes, int]:
        """See `Body`."""
        if not self._left and not self._line and self._trailers < 0:  # the common case: one chunk, whole
            end = data.find(b"\r\n", 0, 12)
            digits = data[:end] if end > 0 else b"?"
            if not digits.strip(_HEX) and 0 < int(digits, 16) == len(data) - end - 4 and data.endswith(b"\r\n"):
                return data[end + 2 : -2], len(data)
        at, size = 0, len(data)
        content: list[bytes] = []
        while at < size and not self.done:
            if self._left:
                at = self._data(data, at, content)
                continue
            end = data.find(b"\n", at)
            if end < 0:
                self._line += data[at:]
                at = size
                if len(self._line) > _MAX_LINE:
                    raise NotHttp("a line of the chunked body is too long")
                break
            line = self._line + data[at:end] if self._line else data[at:end]
            self._line = b""
            at = end + 1
            self._take(line)
        return (content[0] if len(content) == 1 else b"".join(content)), at

    def _data(self, data: bytes, at: int, content: list[bytes]) -> int:
        taken = data[at : at + self._left]
        body = min(max(self._left - 2, 0), len(taken))  # the last two are CRLF
        if body:
            content.append(taken[:body] if body < len(taken) else taken)
        after = taken[body:]
        if after and not b"\r\n".endswith(after) and not b"\r\n".startswith(after):
            raise NotHttp("a chunk is longer than it says")
        self._left -= len(taken)
        return at + len(taken)

    def _take(self, line: bytes) -> None:
        """A line between chunks: a size, or a trailer."""
        if not line.endswith(b"\r"):
            raise NotHttp("a line of the chunked body does not end in CRLF")
        if self._trailers >= 0:
            self._trailers += len(line)
            if self._trailers > _MAX_TRAILERS:
                raise NotHttp("too many trailers")
            self.done = line == b"\r"
            return
        digits = line[:-1].partition(b";")[0].strip(b" \t")
        if not 0 < len(digits) <= 15 or digits.strip(_HEX):
            raise NotHttp("a chunk without a size")
        size = int(digits, 16)
        if size:
            self._left = size + 2
        else:
            self._trailers = 0

    def ended(self) -> bool:
        """See `Body`."""
        return self.done


def body_of_request(head: Head) -> Body:
    """The body that a request's head announces. Raises NotHttp."""
    if is_chunked(head):
        return Chunked()
    return Sized(length_of(head) or 0)


def body_of_reply(head: Head, method: bytes) -> Body:
    """The body that a reply's head announces. Raises NotHttp."""
    if method == b"HEAD" or head.status < 200 or head.status in _BODILESS:
        return Sized(0)
    if is_chunked(head):
        return Chunked()
    length = length_of(head)
    return UntilClose() if length is None else Sized(length)


def is_framed(head: Head | None, method: bytes) -> bool:
    """False for a reply that only the end of its connection ends."""
    if head is None or method == b"HEAD" or head.status in _BODILESS:
        return True
    return bool(head.get(b"content-length") or head.get(b"transfer-encoding"))
