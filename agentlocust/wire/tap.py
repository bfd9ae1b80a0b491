"""The Tap watches one call, whoever makes it: its attempts, its stamped bytes, what they meant."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import gevent

from agentlocust.dialects.base import Decoded, Dialect
from agentlocust.dialects.failed import read_unexpected
from agentlocust.dialects.sse import EventSplitter
from agentlocust.errors import WireError
from agentlocust.failures import Failure, FailureKind
from agentlocust.wire.exchange import Exchange
from agentlocust.wire.response import Chunk

_EVENTS_BETWEEN_YIELDS = 200  # a long reply is decoded in pieces: others' bytes wait meanwhile


@dataclass(slots=True)
class Outcome:
    """What one call came to: nanoseconds on the monotonic clock, and the decoded reply.

    `ended_ns` is the last token's stamp for a streamed reply that succeeded, the last byte's for
    any other that did, else when it failed. `first_ns` and `first_output_ns` are 0 when no token
    came or the reply was not streamed.
    """

    started_ns: int
    ended_ns: int
    decoded: Decoded
    failure: Failure | None
    status: int
    attempts: int
    streamed: bool
    first_ns: int = 0
    first_output_ns: int = 0
    gaps_ns: Sequence[int] = field(default_factory=tuple)
    token_events: int = 0
    response_bytes: int = 0


class Tap:
    """One call from its issue to its end.

    `strict`: a stream must bring its terminal event; otherwise a finish reason will do.
    """

    def __init__(self, dialect: Dialect, *, streamed: bool, strict: bool = True, started_ns: int = 0) -> None:
        self.dialect = dialect
        self.streamed = streamed
        self.strict = strict
        self.started_ns = started_ns or time.monotonic_ns()
        self.attempts = 0
        self.exchange: Exchange | None = None

    def watch(self, exchange: Exchange) -> None:
        """Follow another attempt of the call; the last one followed is the one that counts."""
        self.attempts += 1
        self.exchange = exchange

    def settle(self, *, cut: str = "") -> Outcome:
        """Read what came. `cut` says why the call was given up before its end, if it was."""
        exchange = self.exchange
        if exchange is None:
            failure = Failure(FailureKind.CANCELLED, cut) if cut else Failure(FailureKind.CLIENT, "nothing was sent")
            return Outcome(self.started_ns, time.monotonic_ns(), Decoded(), failure, 0, self.attempts, self.streamed)
        response = exchange.response
        status = response.status_code if response.final else 0
        error = exchange.error
        try:
            chunks: Sequence[Chunk] = response.decoded_chunks() if response.final else ()
        except WireError as broken:
            chunks, error = (), error or broken
        decoded, streamed = Decoded(), False
        if 200 <= status < 300:
            streamed = self.streamed and "json" not in response.header("content-type")
            decoded = self._decode(chunks, streamed=streamed, complete=error is None, polite=not cut)
        judged = self._failure(exchange, error, chunks, decoded, cut)
        return self._outcome(exchange, decoded, judged, status, streamed=streamed)

    def _outcome(
        self, exchange: Exchange, decoded: Decoded, failure: Failure | None, status: int, *, streamed: bool
    ) -> Outcome:
        response = exchange.response
        tokens = decoded.token_ns
        if failure is None and tokens:
            ended_ns = tokens[-1]
        elif failure is None and response.chunks:
            ended_ns = response.chunks[-1][0]
        else:
            ended_ns = time.monotonic_ns()
        return Outcome(
            self.started_ns,
            ended_ns,
            decoded,
            failure,
            status,
            self.attempts,
            streamed,
            first_ns=tokens[0] if tokens else 0,
            first_output_ns=decoded.first_output_ns,
            gaps_ns=[later - sooner for sooner, later in itertools.pairwise(tokens)],
            token_events=len(tokens),
            response_bytes=response.body_bytes,
        )

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
        self, exchange: Exchange, error: WireError | None, chunks: Sequence[Chunk], decoded: Decoded, cut: str
    ) -> Failure | None:
        response = exchange.response
        status = response.status_code if response.final else 0
        if status and not 200 <= status < 300:
            return self.dialect.read_failure(status, b"".join(data for _, data in chunks))
        if decoded.terminal and decoded.failure is None:
            return None  # all that was promised came, whatever the connection did after it
        if cut:
            return Failure(FailureKind.CANCELLED, cut)
        if error is not None:
            kind = FailureKind(error.kind)
            if kind is FailureKind.TRUNCATED_STREAM and not self.streamed:
                kind = FailureKind.RESET
            hint = " (on a reused connection)" if exchange.reused and not response.first_byte_ns else ""
            return Failure(kind, f"{error.args[0]}{hint}", status)
        content_type = response.header("content-type")
        if self.streamed and "event-stream" not in content_type and "json" not in content_type and not decoded.token_ns:
            return read_unexpected(content_type, b"".join(data for _, data in chunks))
        return decoded.failure
