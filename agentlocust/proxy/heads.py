"""The head of an HTTP/1.1 message as bytes: read, judged, and written again with only what must differ.

Rules: RFC 9110, 7.6 (what belongs to one connection only) and RFC 9112, 6 (how long a body is). Names keep
their case, headers their order, values their bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

MAX_HEAD = 64 * 1024

Pair = tuple[bytes, bytes]
Headers = list[Pair]

_REQUEST = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,40}) ([!-~]{1,16384}) (HTTP/1\.[01])\Z")
_REPLY = re.compile(rb"(HTTP/1\.[01]) ([1-9]\d\d)(?: (.*))?\Z", re.DOTALL)
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_BAD_VALUE = re.compile(rb"[\x00\r\n]")
_DIGITS = re.compile(rb"\d{1,18}\Z")

# Of one connection only; what Connection names besides is dropped too. Transfer-Encoding stays: bodies
# pass with their framing.
_HOP_BY_HOP = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"te", b"upgrade"})
_OF_REQUESTS = frozenset({b"proxy-authorization"})
_OF_REPLIES = frozenset({b"proxy-authenticate", b"proxy-authentication-info"})
_KEPT = frozenset({b"transfer-encoding", b"content-length", b"host", b"content-encoding", b"content-type"})


class NotHttp(ValueError):
    """A head that is none, or that two readers could take for two things; the message says why."""


@dataclass(slots=True)
class Head:
    """The first line's parts and the headers. `status` is 0 for a request."""

    version: bytes
    headers: Headers
    method: bytes = b""
    target: bytes = b""
    status: int = 0
    reason: bytes = b""

    def get(self, name: bytes) -> bytes:
        """A header's value, b"" when absent, the values joined when repeated. `name` in lower case."""
        found = [value for key, value in self.headers if key.lower() == name]
        return found[0] if len(found) == 1 else b", ".join(found)

    def text(self, name: bytes) -> str:
        """As `get`, as text."""
        return self.get(name).decode("latin-1")

    @property
    def options(self) -> set[bytes]:
        """What Connection says, in lower case."""
        return {word.strip().lower() for word in self.get(b"connection").split(b",") if word.strip()}

    @property
    def keeps_alive(self) -> bool:
        """True when its sender means to go on with the connection."""
        if self.version == b"HTTP/1.0":
            return b"keep-alive" in self.options
        return b"close" not in self.options

    def set(self, name: bytes, value: bytes) -> None:
        """Put a value where the header stands, or at the end."""
        for index, (key, _) in enumerate(self.headers):
            if key.lower() == name.lower():
                self.headers[index] = (key, value)
                return
        self.headers.append((name, value))

    def drop(self, *names: bytes) -> None:
        """Take headers out."""
        self.headers = [pair for pair in self.headers if pair[0].lower() not in names]

    def onward(self) -> None:
        """Take out what was meant for this connection only; what is asked of its end is asked of the next one too."""
        own = _OF_REPLIES if self.status else _OF_REQUESTS
        options = self.options
        gone = _HOP_BY_HOP | own | (options - _KEPT)
        self.headers = [pair for pair in self.headers if pair[0].lower() not in gone]
        if b"close" in options:
            self.headers.append((b"Connection", b"close"))
        elif b"keep-alive" in options:
            self.headers.append((b"Connection", b"keep-alive"))

    def encode(self) -> bytes:
        """The bytes of the head."""
        if self.status:
            first = b"%s %d %s" % (self.version, self.status, self.reason)
        else:
            first = b"%s %s %s" % (self.method, self.target, self.version)
        return b"\r\n".join((first, *(b"%s: %s" % pair for pair in self.headers), b"", b""))


def read_request(data: bytes) -> Head:
    """The head of a request, its last blank line left out or not. Raises NotHttp."""
    first, headers = _split(data)
    found = _REQUEST.match(first)
    if found is None:
        raise NotHttp("the first line is no HTTP/1.1 request")
    return Head(found[3], headers, method=found[1], target=found[2])


def read_reply(data: bytes) -> Head:
    """The head of a reply. Raises NotHttp."""
    first, headers = _split(data)
    found = _REPLY.match(first)
    if found is None:
        raise NotHttp("the first line is no HTTP/1.1 reply")
    return Head(found[1], headers, status=int(found[2]), reason=found[3] or b"")


def _split(data: bytes) -> tuple[bytes, Headers]:
    first, *lines = data.removesuffix(b"\r\n\r\n").split(b"\r\n")
    headers = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or _NAME.match(name) is None or _BAD_VALUE.search(value):
            raise NotHttp("a header line is malformed")
        headers.append((name, value.strip(b" \t")))
    if b"\n" in first or b"\r" in first:
        raise NotHttp("a line does not end in CRLF")
    return first, headers


def length_of(head: Head) -> int | None:
    """What Content-Length says, None when absent. Raises NotHttp for one that is not one number."""
    values = {
        part.strip() for key, value in head.headers if key.lower() == b"content-length" for part in value.split(b",")
    }
    if not values:
        return None
    if len(values) > 1 or _DIGITS.match(next(iter(values))) is None:
        raise NotHttp("Content-Length is not one number")
    return int(values.pop())


def is_chunked(head: Head) -> bool:
    """True when the body is chunked. Raises NotHttp for other transfer codings, and for both framings at once."""
    codings = [word.strip().lower() for word in head.get(b"transfer-encoding").split(b",") if word.strip()]
    if not codings:
        return False
    if codings != [b"chunked"]:
        raise NotHttp("a transfer coding other than chunked")
    if any(key.lower() == b"content-length" for key, _ in head.headers):
        raise NotHttp("both Content-Length and Transfer-Encoding")
    return True


def made(status: int, reason: bytes, headers: Iterable[Pair], body: bytes) -> bytes:
    """A whole reply of our own."""
    head = Head(b"HTTP/1.1", [*headers, (b"Content-Length", b"%d" % len(body))], status=status, reason=reason)
    return head.encode() + body
