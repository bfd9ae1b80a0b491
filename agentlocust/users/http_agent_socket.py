"""What goes wrong with one message to an agent over a WebSocket, and with what comes back."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace
from typing import Protocol

import gevent

from agentlocust.dialects.failed import read_failure
from agentlocust.errors import WireError
from agentlocust.failures import FailureKind
from agentlocust.faults.chain import struck_by
from agentlocust.faults.frames import MESSAGE_END
from agentlocust.faults.injection import Breakage, End, Injection, Piece, Rewriter
from agentlocust.wire.exchange import Timeouts
from agentlocust.wire.injected import BROKEN
from agentlocust.wire.websocket import Refused, StampedMessage


class Socket(Protocol):
    """What an ask needs of a WebSocket; see `wire.websocket.WebSocket`."""

    close_code: int
    close_reason: str

    def send(self, text: str) -> None:
        """Send one message."""

    def receive(self, timeout: float) -> StampedMessage | None:
        """The next message; None once the server has closed."""

    def abort(self) -> None:
        """Free the socket at once."""


class InjectedTalk:
    """One message and its answer, carried out as an Injection says; all waiting is the caller's.

    `before` comes first, then it stands in for the socket `over` which it speaks. Both raise WireError.
    """

    def __init__(self, injection: Injection, timeouts: Timeouts) -> None:
        limit = injection.limit_s
        self.timeouts = timeouts if limit is None else replace(timeouts, total=min(limit, timeouts.total))
        self.close_code = 0
        self.close_reason = ""
        self._injection = injection
        self._began = time.monotonic()
        self._socket: Socket | None = None
        self._rewriter: Rewriter | None = None
        self._ready: deque[Piece] = deque()
        self._half = b""  # of a message that a rewriter has not let out whole
        self._first_s = injection.first_byte_s

    @property
    def struck(self) -> tuple[str, ...]:
        """The faults that took hold."""
        return struck_by(self._injection, self._rewriter)

    @property
    def left(self) -> Timeouts:
        """The timeouts, as far as time has not passed already."""
        return replace(self.timeouts, total=max(self.timeouts.total - (time.monotonic() - self._began), 0.001))

    def before(self, *, connected: bool) -> None:
        """What happens before anything is sent; a connection that is there can only be reset."""
        injection = self._injection
        self._sleep(injection.delay_s, self.left.total)
        if injection.breakage is Breakage.BLACK_HOLE:
            wait_s = min(self.timeouts.first_byte, self.left.total)
            self._sleep(wait_s + 1.0, wait_s)
        elif injection.breakage is not None:
            raise WireError(*BROKEN[Breakage.RESET if connected else injection.breakage])
        if injection.reply is not None:
            body = b"".join(piece.data for piece in injection.reply.pieces)
            raise Refused(read_failure(injection.reply.status, body))

    def over(self, socket: Socket) -> InjectedTalk:
        """Itself, speaking over a socket."""
        self._socket = socket
        self._rewriter = self._injection.rewriter() if self._injection.rewriter is not None else None
        return self

    def send(self, text: str) -> None:
        """Send the message, changed or not."""
        change = self._injection.request
        self._open.send(text if change is None else change(text.encode()).decode("utf-8", "replace"))

    def receive(self, timeout: float) -> StampedMessage | None:
        """The next message that reaches the caller."""
        until = time.monotonic() + timeout
        while not self._ready:
            if self._rewriter is not None and self._rewriter.end is not None:
                self.abort()
                if self._rewriter.end is End.CUT:
                    what = "the connection closed before the reply was whole"
                    raise WireError(FailureKind.TRUNCATED_STREAM, what)
                self.close_code = 1000
                return None
            got = self._open.receive(max(until - time.monotonic(), 0.0))
            if got is None:
                self.close_code, self.close_reason = self._open.close_code, self._open.close_reason
                return None
            if self._injection.lose_reply:
                self.abort()
                raise WireError(*BROKEN[Breakage.RESET])
            stamp_ns, data = got
            if self._rewriter is None and not self._first_s and not self._injection.bytes_per_s:
                return stamp_ns, data
            self._take(data)
        return self._next(timeout, until)

    def abort(self) -> None:
        """Free the socket at once."""
        if self._socket is not None:
            self._socket.abort()

    @property
    def _open(self) -> Socket:
        assert self._socket is not None
        return self._socket

    def _take(self, data: bytes) -> None:
        """A message came: those that are to go on."""
        rewriter = self._rewriter
        for piece in rewriter.feed(data + MESSAGE_END) if rewriter is not None else [Piece(data + MESSAGE_END)]:
            *whole, self._half = (self._half + piece.data).split(MESSAGE_END)
            after_s = piece.after_s
            for message in whole:
                self._ready.append(Piece(message, after_s + self._first_s))
                after_s = self._first_s = 0.0

    def _next(self, timeout: float, until: float) -> StampedMessage:
        piece = self._ready.popleft()
        rate = self._injection.bytes_per_s
        wait_s = piece.after_s + (len(piece.data) / rate if rate else 0.0)
        self._sleep(wait_s, until - time.monotonic(), f"no message came for {timeout:g} s")
        return time.monotonic_ns(), piece.data

    def _sleep(self, seconds: float, left: float, late: str = "") -> None:
        """Wait, or raise WireError when the time is up before."""
        if seconds <= 0:
            return
        gevent.sleep(max(min(seconds, left), 0.0))
        if seconds > left:
            raise WireError(FailureKind.TIMEOUT, late or f"nothing came within {self.timeouts.total:g} s")
