"""A connection to the upstream: it belongs to one client's connection and ends with it.

So what the upstream does to its connection (keeps it, closes it idle, resets it) the client sees as if it were
connected itself, and no request is ever sent on a connection that somebody else's request has left half-dead.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, cast

from agentlocust.failures import FailureKind
from agentlocust.proxy.framing import Body, body_of_reply
from agentlocust.proxy.heads import MAX_HEAD, NotHttp, read_reply
from agentlocust.proxy.passage import Passage

if TYPE_CHECKING:
    from agentlocust.proxy.client import Client
    from agentlocust.wire.target import Origin

_CLOSED = "the upstream closed the connection before its reply was whole"
_RESET = "the upstream reset the connection"


class Link(asyncio.Protocol):
    """Reads replies and hands them to its client: `reply_began`, `reply_goes_on`, `reply_ended`, `reply_broke`."""

    def __init__(self, client: Client, origin: Origin) -> None:
        self.origin = origin
        self.used = 0
        self.transport: asyncio.Transport | None = None
        self._client = client
        self._passage: Passage | None = None
        self._body: Body | None = None
        self._head = b""
        self._closed = False

    @property
    def usable(self) -> bool:
        """True while another request may be sent on it."""
        return self.transport is not None and not self._closed and not self.transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It stands."""
        self.transport = cast("asyncio.Transport", transport)

    def begin(self, passage: Passage, data: bytes) -> None:
        """Send a request: its head, and what there is of its body."""
        assert self.transport is not None
        self._passage, self._body, self._head = passage, None, b""
        self.used += 1
        self.transport.write(data)

    def write(self, data: bytes) -> None:
        """Send more of the request's body."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def rest(self) -> None:
        """The passage is over, the connection is kept."""
        self._passage = self._body = None

    def abort(self) -> None:
        """Close it at once; nothing is told of it."""
        self._passage, self._closed = None, True
        if self.transport is not None:
            self.transport.abort()

    # -- the event loop's ----------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes of a reply."""
        now_ns = time.monotonic_ns()
        passage = self._passage
        if passage is None:  # nobody asked for anything
            self.abort()
            self._client.link_lost(self)
            return
        if not passage.first_byte_ns:
            passage.first_byte_ns = now_ns
        try:
            if self._body is None:
                self._read_head(passage, now_ns, data)
            else:
                self._read_body(passage, self._body, now_ns, data)
        except NotHttp as error:
            self._break(FailureKind.PROTOCOL, f"the upstream's reply is not HTTP: {error}")

    def _read_head(self, passage: Passage, now_ns: int, data: bytes) -> None:
        self._head += data
        while True:
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                if len(self._head) > MAX_HEAD:
                    raise NotHttp(f"a head of more than {MAX_HEAD} bytes")
                if not b"HTTP/1.".startswith(self._head[:7]):
                    raise NotHttp("it does not begin as a reply")
                return
            raw, rest = self._head[: end + 4], self._head[end + 4 :]
            head = read_reply(raw)
            if head.status == 101:
                raise NotHttp("a switch of protocols that was not asked for")
            if head.status >= 200:
                break
            self._client.interim(raw)
            self._head = rest
        self._body = body = body_of_reply(head, passage.head.method)
        self._head = b""
        passage.reply = head
        content, used = body.feed(rest) if rest else (b"", 0)
        if content:
            passage.answer(now_ns, content)
        self._client.reply_began(passage, head, rest[:used], content)
        self._after(passage, body, rest, used)

    def _read_body(self, passage: Passage, body: Body, now_ns: int, data: bytes) -> None:
        content, used = body.feed(data)
        if content:
            passage.answer(now_ns, content)
        self._client.reply_goes_on(passage, data if used == len(data) else data[:used], content)
        self._after(passage, body, data, used)

    def _after(self, passage: Passage, body: Body, data: bytes, used: int) -> None:
        if body.done and self._passage is passage:
            if used < len(data):  # more than was asked for: nothing on this connection can be trusted
                self._closed = True
            self._client.reply_ended(passage)

    def connection_lost(self, exc: Exception | None) -> None:
        """The upstream is gone."""
        self._closed = True
        passage, body = self._passage, self._body
        if passage is None:
            self._client.link_lost(self)
        elif body is not None and exc is None and body.ended():
            self._client.reply_ended(passage)
        else:
            self._break(FailureKind.RESET, _CLOSED if exc is None else _RESET)

    def _break(self, kind: FailureKind, what: str) -> None:
        passage = self._passage
        self.abort()
        if passage is not None:
            if kind is FailureKind.RESET and self._body is not None:
                kind = FailureKind.TRUNCATED_STREAM if what == _CLOSED else kind
            self._client.reply_broke(passage, kind, what)

    def pause_writing(self) -> None:
        """The upstream takes no more for now."""
        self._client.hold_reading()

    def resume_writing(self) -> None:
        """It takes more."""
        self._client.go_on_reading()
