"""The Tap watches one call, whoever makes it: its attempts, its stamped bytes, what they meant."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import gevent

from agentlocust.backoff import Try, retry_after
from agentlocust.dialects.base import Decoded, Dialect
from agentlocust.dialects.failed import read_unexpected
from agentlocust.dialects.sse import EventSplitter
from agentlocust.errors import WireError
from agentlocust.failures import Failure, FailureKind
from agentlocust.faults.about import names_in
from agentlocust.faults.injection import HEADER
from agentlocust.records import ConnectionTimes
from agentlocust.wire.response import Chunk

_EVENTS_BETWEEN_YIELDS = 200  # a long reply is decoded in pieces: others' bytes wait meanwhile
_HEAD_BYTES = 64 * 1024  # of an error's body


def cut_by(error: BaseException) -> Failure:
    """Why a call was given up, from what was raised in the greenlet that waited for it.

    Locust's kill, or the end of the process, cancels it; a timeout of the caller's own is a timeout.
    """
    if isinstance(error, (gevent.Timeout, TimeoutError)):
        return Failure(FailureKind.TIMEOUT, f"the caller's own timeout: {error}")
    if isinstance(error, Exception):
        return Failure(FailureKind.CLIENT, f"{type(error).__name__}: {error}")
    return Failure(FailureKind.CANCELLED, "the test ended")


class Sent(Protocol):
    """What a Tap's owner wants of the request."""

    @property
    def body(self) -> bytes:
        """Its whole body."""


class Answered(Protocol):
    """What a Tap reads of a reply; see `response.Response`."""

    @property
    def chunks(self) -> Sequence[Chunk]:
        """The body as it arrived, its content-encoding undone."""

    @property
    def body_bytes(self) -> int:
        """How long that is."""

    @property
    def first_byte_ns(self) -> int:
        """When the reply's first byte came, 0 before."""

    @property
    def status_code(self) -> int:
        """The final reply's status."""

    @property
    def final(self) -> bool:
        """True once its headers are whole."""

    @property
    def complete(self) -> bool:
        """True once it is whole."""

    def header(self, name: str) -> str:
        """A header's value, "" when absent."""


class Attempt(Protocol):
    """One HTTP attempt as a Tap sees it: our own Exchange, or what was seen of somebody else's."""

    @property
    def request(self) -> Sent:
        """What was sent."""

    @property
    def response(self) -> Answered:
        """What came."""

    @property
    def error(self) -> WireError | None:
        """What went wrong on the wire."""

    @property
    def reused(self) -> bool:
        """True when its connection had served another before."""

    @property
    def sent_ns(self) -> int:
        """When it went out."""

    @property
    def times(self) -> ConnectionTimes | None:
        """How it used its connection, where that is known."""

    @property
    def struck(self) -> tuple[str, ...]:
        """The faults that we let strike it."""

    @property
    def made(self) -> bool:
        """True when no server gave the reply: a fault made it here."""


@dataclass(slots=True)
class Outcome:
    """What one call came to: nanoseconds on the monotonic clock, and the decoded reply.

    `ended_ns` is the last token's stamp for a streamed reply that succeeded, the last byte's for
    any other that did, else when it failed. The tokens' own stamps are in `decoded`. `last_byte_ns`
    is 0 when no body came. `faults` struck its attempts, in order, `last_faults` the last of them;
    `made`: no server gave that one's reply.
    """

    started_ns: int
    ended_ns: int
    decoded: Decoded
    failure: Failure | None
    status: int
    attempts: int
    streamed: bool
    last_byte_ns: int = 0
    response_bytes: int = 0
    connection: ConnectionTimes | None = None
    faults: tuple[str, ...] = ()
    last_faults: tuple[str, ...] = ()
    made: bool = False
    tries: tuple[Try, ...] = ()  # of a call that failed or was tried again


class Tap:
    """One call from its issue to its end.

    `strict`: a stream must bring its terminal event; otherwise a finish reason will do. `hears` is set where the
    mock or the proxy injects faults: its replies say which.
    """

    def __init__(self, dialect: Dialect, *, streamed: bool, strict: bool = True, started_ns: int = 0) -> None:
        self.dialect = dialect
        self.streamed = streamed
        self.strict = strict
        self.started_ns = started_ns or time.monotonic_ns()
        self.attempts = 0
        self.exchange: Attempt | None = None
        self.hears = False
        self._faults: tuple[str, ...] = ()  # of the attempts before the last
        self._tries: list[Try] = []
        self._over_ns = 0

    def watch(self, exchange: Attempt) -> None:
        """Follow another attempt of the call; the last one followed is the one that counts."""
        self.attempts += 1
        if self.exchange is not None:
            self._faults += self._struck(self.exchange)
            self._tries.append(self._tried(self.exchange))
        self._over_ns = 0
        self.exchange = exchange

    def attempt_over(self) -> None:
        """The attempt it follows has ended now, and perhaps another comes."""
        self._over_ns = self._over_ns or time.monotonic_ns()

    def _tried(self, exchange: Attempt, ended_ns: int = 0) -> Try:
        ended_ns = self._over_ns or ended_ns or time.monotonic_ns()
        asked = retry_after(exchange.response.header) if exchange.response.final else None
        return Try(exchange.sent_ns or ended_ns, ended_ns, asked)

    def saw_end(self) -> bool:
        """True when what came so far holds the stream's terminal event."""
        if self.exchange is None or not self.streamed:
            return False
        return self._decode(self.exchange.response.chunks, streamed=True, complete=False, polite=False).terminal

    def settle(self, *, cut: Failure | None = None) -> Outcome:
        """Read what came. `cut` says why the call was given up before its end, if it was."""
        exchange = self.exchange
        if exchange is None:
            failure = cut or Failure(FailureKind.CLIENT, "nothing was sent")
            return Outcome(self.started_ns, time.monotonic_ns(), Decoded(), failure, 0, self.attempts, self.streamed)
        given_up_ns = time.monotonic_ns()
        response = exchange.response
        status = response.status_code if response.final else 0
        chunks: Sequence[Chunk] = response.chunks if response.final else ()
        decoded, streamed = Decoded(), False
        if 200 <= status < 300:
            streamed = self.streamed and "json" not in response.header("content-type").lower()
            error = exchange.error
            if error is not None and error.kind == FailureKind.TOO_LARGE:
                chunks = chunks[: len(chunks) // 2]  # an endless reply's text would cost as much again as its bytes
            complete = response.complete and error is None
            decoded = self._decode(chunks, streamed=streamed, complete=complete, polite=cut is None)
        judged = self._failure(exchange, chunks, decoded, cut, streamed=streamed)
        return self._outcome(exchange, decoded, judged, given_up_ns, streamed=streamed)

    def _outcome(
        self, exchange: Attempt, decoded: Decoded, failure: Failure | None, ended_ns: int, *, streamed: bool
    ) -> Outcome:
        response = exchange.response
        struck = self._struck(exchange)
        tokens = decoded.token_ns
        if failure is None and tokens:
            ended_ns = tokens[-1]
        elif failure is None and response.chunks:
            ended_ns = response.chunks[-1][0]
        return Outcome(
            self.started_ns,
            ended_ns,
            decoded,
            failure,
            response.status_code if response.final else 0,
            self.attempts,
            streamed,
            last_byte_ns=response.chunks[-1][0] if response.chunks else 0,
            response_bytes=response.body_bytes,
            connection=_connection_of(exchange),
            faults=self._faults + struck,
            last_faults=struck,
            made=exchange.made,
            tries=(*self._tries, self._tried(exchange, ended_ns)) if self._tries or failure is not None else (),
        )

    def _struck(self, exchange: Attempt) -> tuple[str, ...]:
        response = exchange.response
        if not self.hears or not response.final:
            return exchange.struck
        return names_in(response.header(HEADER.decode()))

    def _decode(self, chunks: Sequence[Chunk], *, streamed: bool, complete: bool, polite: bool) -> Decoded:
        if not streamed:
            return self.dialect.read_body(b"".join(data for _, data in chunks)) if complete else Decoded()
        reader = self.dialect.stream_reader(strict=self.strict)
        splitter = EventSplitter()
        fed = 0
        try:
            for stamp, chunk in chunks:
                for event in splitter.feed(stamp, chunk):
                    reader.feed(*event)
                    fed += 1
                    if polite and fed % _EVENTS_BETWEEN_YIELDS == 0:
                        gevent.sleep(0)
            if complete:
                for event in splitter.flush():
                    reader.feed(*event)
        except WireError as error:
            decoded = reader.finish(complete=False)
            decoded.failure = Failure(FailureKind(error.kind), error.args[0])
            return decoded
        return reader.finish(complete=complete)

    def _failure(
        self, exchange: Attempt, chunks: Sequence[Chunk], decoded: Decoded, cut: Failure | None, *, streamed: bool
    ) -> Failure | None:
        response, error = exchange.response, exchange.error
        status = response.status_code if response.final else 0
        if cut is not None and cut.kind is FailureKind.CANCELLED and not decoded.terminal:
            return cut  # also of a call that its SDK would have tried again
        if status and not 200 <= status < 300:
            return self.dialect.read_failure(status, _head(chunks))
        if decoded.terminal and decoded.failure is None:
            return None  # all that was promised came, whatever the connection did after it
        if cut is not None:
            return cut
        if decoded.failure is not None and decoded.failure.kind is not FailureKind.TRUNCATED_STREAM:
            wrong = self._not_the_api(response, chunks, decoded) if response.complete else None
            return wrong or decoded.failure  # what the server said of itself, before how its connection ended
        if error is not None:
            kind = FailureKind(error.kind)
            if kind is FailureKind.TRUNCATED_STREAM and not streamed:
                kind = FailureKind.RESET
            hint = " (on a reused connection)" if exchange.reused and not response.first_byte_ns else ""
            return Failure(kind, f"{error.args[0]}{hint}", status)
        if not response.complete:
            return Failure(FailureKind.CLIENT, "the caller gave the call up before its reply was whole", status)
        return self._not_the_api(response, chunks, decoded) or decoded.failure

    def _not_the_api(self, response: Answered, chunks: Sequence[Chunk], decoded: Decoded) -> Failure | None:
        """A whole 2xx reply to a streamed request that is no event stream and no JSON either."""
        content_type = response.header("content-type").lower()
        if not self.streamed or decoded.token_ns or "event-stream" in content_type or "json" in content_type:
            return None
        return read_unexpected(content_type, _head(chunks))


def _connection_of(exchange: Attempt) -> ConnectionTimes | None:
    times, first_byte_ns = exchange.times, exchange.response.first_byte_ns
    if times is None or not first_byte_ns:
        return times
    return replace(times, first_byte_s=(first_byte_ns - exchange.sent_ns) / 1e9)


def _head(chunks: Sequence[Chunk]) -> bytes:
    """The beginning of a body, as much as is looked at when it is an error's."""
    head: list[bytes] = []
    size = 0
    for _, data in chunks:
        head.append(data)
        size += len(data)
        if size >= _HEAD_BYTES:
            break
    return b"".join(head)
