"""An attempt that something goes wrong with: an Exchange to its caller, carried out as an Injection says."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import gevent

from agentlocust.errors import WireError
from agentlocust.failures import FailureKind
from agentlocust.faults.about import told
from agentlocust.faults.chain import struck_by
from agentlocust.faults.injection import Asked, Breakage, End, Injection, Injector, Piece, Rewriter
from agentlocust.records import ConnectionTimes
from agentlocust.wire.exchange import Exchange, HttpRequest, Timeouts
from agentlocust.wire.pool import Pool
from agentlocust.wire.response import Chunk
from agentlocust.wire.target import Origin

BROKEN = {
    Breakage.REFUSED: (FailureKind.CONNECT, "[Errno 111] Connection refused"),
    Breakage.DNS: (FailureKind.DNS, "[Errno -2] Name or service not known"),
    Breakage.RESET: (FailureKind.RESET, "the connection broke: Connection reset by peer"),
}
"""What our client says of connections that break this way."""

BANDWIDTH_STEP = 1460  # bytes that come at once over a thin line: a packet


class Plans(Protocol):
    """Where a test's plan applies, and when it is."""

    @property
    def injector(self) -> Injector | None:
        """Who decides, or foresees what is decided elsewhere; None when nobody does."""

    @property
    def tells(self) -> bool:
        """True when the mock or the proxy decides: requests say whose they are, replies what struck them."""

    def reaches(self, origin: Origin) -> bool:
        """Whether those who decide elsewhere see what is sent there: nobody else is told, nor struck."""

    def now(self) -> tuple[float, str]:
        """Seconds since the test began, and its phase."""


class CallFaults:
    """What goes wrong with the attempts of one call. `asked` is the first of them, its time aside."""

    def __init__(self, plans: Plans, asked: Asked) -> None:
        self.tells = plans.tells
        self._plans = plans
        self._asked = asked
        self._attempts = 0

    def next(self, body: bytes) -> tuple[Asked, Injection | None]:
        """Another attempt is about to be made: what it is, and what goes wrong with it."""
        at_s, phase = self._plans.now()
        asked = replace(self._asked, at_s=at_s, phase=phase, attempt=self._attempts)
        self._attempts += 1
        injector = self._plans.injector
        return asked, injector.decide(asked, body) if injector is not None else None

    def reaches(self, origin: Origin) -> bool:
        """Whether a request there comes by those who carry the plan out."""
        return self._plans.reaches(origin)

    def exchange(self, pool: Pool, request: HttpRequest, timeouts: Timeouts) -> Exchange | InjectedExchange:
        """The exchange for another attempt."""
        asked, injection = self.next(request.body)
        if self.tells and not self.reaches(request.origin):
            return Exchange(pool, request, timeouts)
        if self.tells:
            exchange = Exchange(pool, replace(request, headers=[*request.headers, *told(asked)]), timeouts)
            exchange.struck = silent(injection)
            return exchange
        if injection is None:
            return Exchange(pool, request, timeouts)
        return InjectedExchange(pool, request, timeouts, injection)


def silent(injection: Injection | None) -> tuple[str, ...]:
    """The faults, carried out elsewhere, that leave no reply to tell of them: here they are foreseen."""
    if injection is None or not (injection.breakage or injection.lose_reply or injection.limit_s is not None):
        return ()
    return struck_by(injection, None)


def open_exchange(
    pool: Pool, request: HttpRequest, timeouts: Timeouts, faults: CallFaults | None
) -> Exchange | InjectedExchange:
    """An exchange, with whatever goes wrong with it."""
    return Exchange(pool, request, timeouts) if faults is None else faults.exchange(pool, request, timeouts)


class InjectedResponse:
    """The reply as it reaches the caller; see `wire.response.Response`."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.body_bytes = 0
        self.first_byte_ns = 0
        self.status_code = 0
        self.complete = False
        self._pairs: list[tuple[bytes, bytes]] = []

    @property
    def final(self) -> bool:
        """True once the headers are there."""
        return self.status_code != 0

    def begin(self, status: int, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        """Status and headers reach the caller now."""
        self.first_byte_ns = time.monotonic_ns()
        self._pairs = list(pairs)
        self.status_code = status

    def add(self, chunk: Chunk) -> None:
        """A piece of the body reaches the caller."""
        self.chunks.append(chunk)
        self.body_bytes += len(chunk[1])

    def header(self, name: str) -> str:
        """A header's value, "" when absent, the values joined when repeated."""
        wanted = name.lower().encode("latin-1")
        return ", ".join(value.decode("latin-1") for key, value in self._pairs if key.lower() == wanted)

    def header_pairs(self) -> list[tuple[bytes, bytes]]:
        """All headers in order."""
        return self._pairs


class _Over(Exception):
    """The attempt has come to its end; `error` is set where it failed."""


class InjectedExchange:
    """As `Exchange`, for its caller; all waiting is done in the caller's greenlet.

    Stamps of pieces that nothing delayed are those of the bytes they came in.
    """

    def __init__(self, pool: Pool, request: HttpRequest, timeouts: Timeouts, injection: Injection) -> None:
        limit = injection.limit_s
        self.request = request  # as the caller made it: what a fault makes of it the caller does not know
        self.response = InjectedResponse()
        self.error: WireError | None = None
        self.issued_ns = self.sent_ns = time.monotonic_ns()
        self.made = injection.reply is not None
        self._pool = pool
        self._timeouts = timeouts if limit is None else replace(timeouts, total=min(limit, timeouts.total))
        self._injection = injection
        self._inner: Exchange | None = None
        self._rewriter: Rewriter | None = None
        self._body: Iterator[Chunk] | None = None
        self._last_ns = self.issued_ns
        self._due_ns = 0
        self._closed = False

    @property
    def reused(self) -> bool:
        """True when its connection had served another before."""
        return self._inner is not None and self._inner.reused

    @property
    def times(self) -> ConnectionTimes | None:
        """How it used its connection; None when it had none."""
        return self._inner.times if self._inner is not None else None

    @property
    def struck(self) -> tuple[str, ...]:
        """The faults that took hold."""
        return struck_by(self._injection, self._rewriter)

    @property
    def done(self) -> bool:
        """True when nothing more will come."""
        return self.error is not None or self.response.complete or self._closed

    # -- what its caller does ------------------------------------------------------------------

    def send(self) -> None:
        """Wait, break, or send. Sets `error` instead of raising."""
        try:
            self._send()
        except _Over:
            pass
        except BaseException:
            self.close()
            raise

    def wait_headers(self) -> None:
        """Wait for the status and headers, or for an error."""
        if self.done or self.response.final:
            return
        try:
            self._await_headers()
        except _Over:
            pass

    def wait_end(self) -> None:
        """Wait until the reply is whole or failed."""
        self.wait_headers()
        for _ in self._rest():
            pass

    def chunks(self) -> Iterator[Chunk]:
        """The body's chunks as they reach the caller; ends with the reply or with `error` set."""
        self.wait_headers()
        taken = 0
        while True:
            chunks = self.response.chunks
            while taken < len(chunks):
                yield chunks[taken]
                taken += 1
            if next(self._rest(), None) is None:
                return

    def close(self) -> None:
        """Give the connection back, or close it."""
        self._closed = True
        if self._inner is not None:
            self._inner.close()

    # -- how it is carried out -----------------------------------------------------------------

    def _send(self) -> None:
        injection = self._injection
        self._sleep(injection.delay_s)
        if injection.breakage is not None:
            self._break(injection.breakage)
        self.sent_ns = self._last_ns = time.monotonic_ns()
        if injection.reply is not None:
            return
        request = self.request
        if injection.request is not None:
            request = replace(request, body=injection.request(request.body))
        left = self._timeouts.total - (self.sent_ns - self.issued_ns) / 1e9
        inner = self._inner = Exchange(self._pool, request, replace(self._timeouts, total=max(left, 0.001)))
        inner.send()
        self.sent_ns = inner.sent_ns
        self._take_error(inner)

    def _await_headers(self) -> None:
        injection, inner = self._injection, self._inner
        if injection.reply is not None:
            self._sleep(injection.first_byte_s)
            self.response.begin(injection.reply.status, injection.reply.headers)
        elif inner is not None:
            inner.wait_headers()
            self._take_error(inner)
            if not inner.response.final:
                return
            if injection.lose_reply:
                inner.wait_end()  # the server has acted on all of it
                inner.close()
                self._fail(FailureKind.RESET, "the connection broke: Connection reset by peer")
            self._last_ns = time.monotonic_ns()
            self._sleep(injection.first_byte_s)
            self.response.begin(inner.response.status_code, inner.response.header_pairs())
            if not injection.first_byte_s:
                self.response.first_byte_ns = inner.response.first_byte_ns
        self._rewriter = injection.rewriter() if injection.rewriter is not None else None

    def _rest(self) -> Iterator[Chunk]:
        """The chunks that are yet to come; one iterator for all who ask."""
        if self.done:
            return iter(())
        if self._body is None:
            self._body = self._flow()
        return self._body

    def _flow(self) -> Iterator[Chunk]:
        try:
            for chunk in self._pieces():
                self.response.add(chunk)
                yield chunk
            self.response.complete = True
        except _Over:
            return

    def _pieces(self) -> Iterator[Chunk]:
        injection, inner, rewriter = self._injection, self._inner, self._rewriter
        if injection.reply is not None:
            yield from self._paced(injection.reply.pieces, 0)
            return
        assert inner is not None
        for stamp, data in inner.chunks():
            yield from self._paced(rewriter.feed(data) if rewriter is not None else [Piece(data)], stamp)
            if rewriter is not None and rewriter.end is not None:
                self._end(rewriter.end)
                return
        self._take_error(inner)
        if self._closed:
            raise _Over
        if rewriter is not None:
            yield from self._paced(rewriter.finish(), 0)
            if rewriter.end is not None:
                self._end(rewriter.end)

    def _paced(self, pieces: Sequence[Piece], stamp_ns: int) -> Iterator[Chunk]:
        """The pieces when they are due; those not delayed bear `stamp_ns`, if it is not in the past by then.

        Due times are reckoned from due times, so that sleeping too long does not add up.
        """
        rate = self._injection.bytes_per_s
        for piece in pieces:
            after_s = piece.after_s
            size = BANDWIDTH_STEP if rate else max(len(piece.data), 1)
            for at in range(0, len(piece.data), size):
                data = piece.data[at : at + size]
                wait_s = after_s + (len(data) / rate if rate else 0.0)
                after_s = 0.0
                if wait_s:
                    due_ns = max(stamp_ns or time.monotonic_ns(), self._due_ns) + round(wait_s * 1e9)
                    self._sleep((due_ns - time.monotonic_ns()) / 1e9)
                    self._due_ns = due_ns
                delayed = wait_s or not stamp_ns or stamp_ns < self._last_ns
                self._last_ns = time.monotonic_ns() if delayed else stamp_ns
                yield self._last_ns, data

    def _end(self, end: End) -> None:
        """Nothing more is taken from the server."""
        if self._inner is not None:
            self._inner.close()
        if end is End.CUT:
            self._fail(FailureKind.TRUNCATED_STREAM, "the connection closed before the reply was whole")

    def _break(self, breakage: Breakage) -> None:
        if breakage in BROKEN:
            self._fail(*BROKEN[breakage])
        self._last_ns = time.monotonic_ns()
        while True:
            self._sleep(self._timeouts.total)

    def _take_error(self, inner: Exchange) -> None:
        if inner.error is not None:
            self.error = inner.error
            raise _Over

    def _fail(self, kind: FailureKind, text: str) -> None:
        self.error = WireError(kind, text)
        raise _Over

    def _sleep(self, seconds: float) -> None:
        """Sleep, but not beyond what the caller's timeouts allow."""
        if seconds <= 0:
            return
        timeouts, now_ns = self._timeouts, time.monotonic_ns()
        quiet = timeouts.idle if self.response.final else timeouts.first_byte
        total_s = timeouts.total - (now_ns - self.issued_ns) / 1e9
        quiet_s = quiet - (now_ns - self._last_ns) / 1e9
        left_s = min(total_s, quiet_s)
        gevent.sleep(max(min(seconds, left_s), 0.0))
        if seconds < left_s:
            return
        if self._inner is not None:
            self._inner.close()
        if total_s <= quiet_s:
            self._fail(FailureKind.TIMEOUT, f"no whole reply within {timeouts.total:g} s")
        if self.response.final:
            self._fail(FailureKind.TIMEOUT, f"nothing more came for {timeouts.idle:g} s")
        self._fail(FailureKind.TIMEOUT, f"no first byte within {timeouts.first_byte:g} s")
