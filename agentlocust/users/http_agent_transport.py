"""Carries a protocol's requests over our wire and hands back the messages of their replies, stamped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import gevent

from agentlocust.dialects.agents.base import AgentRequest, Framing, Message
from agentlocust.dialects.agents.framing import Splitter, framing_of
from agentlocust.errors import WireError
from agentlocust.failures import Failure, FailureKind
from agentlocust.faults.about import names_in
from agentlocust.faults.injection import HEADER
from agentlocust.users.http_agent_socket import InjectedTalk, Socket
from agentlocust.wire.exchange import Exchange, HttpRequest, Timeouts
from agentlocust.wire.injected import CallFaults, InjectedExchange, open_exchange
from agentlocust.wire.pool import Pool
from agentlocust.wire.response import Chunk
from agentlocust.wire.target import Target
from agentlocust.wire.websocket import Refused, WebSocket, close_failure

_LAST_BYTES_S = 0.25  # how long a stream may take to end after its last event: so its connection can be used again
_ERROR_BYTES = 64 * 1024  # of an error's body
_MESSAGES_BETWEEN_YIELDS = 200
_RESERVED = frozenset({"host", "content-length", "connection", "accept-encoding", "transfer-encoding", "upgrade"})

AnyExchange = Exchange | InjectedExchange
Headers = Sequence[tuple[str, str]]
Take = Callable[[Message], bool]
"""Takes one message; True when no more are wanted."""
Faulting = Callable[[AgentRequest, str], CallFaults | None]
"""What goes wrong with a request to that path; None without a plan."""


@dataclass(slots=True)
class Fetched:
    """How a reply ended. `complete`: as its framing says it must. `failure` is the wire's or an HTTP error's.

    `last_ns` is the stamp of the last bytes. `body` holds an error reply's beginning, `session` MCP's header.
    """

    status: int = 0
    complete: bool = False
    failure: Failure | None = None
    last_ns: int = 0
    response_bytes: int = 0
    body: bytes = b""
    session: str = ""


class Carrier:
    """The way to one target, for one user: its connections, its headers, its timeouts.

    `faults` says what goes wrong with a request that is made now; `struck` are the faults that took hold so far.
    """

    def __init__(
        self, pool: Pool, target: Target, headers: Headers, timeouts: Timeouts, faults: Faulting = lambda *_: None
    ) -> None:
        self.faults = faults
        self.struck: tuple[str, ...] = ()
        self.pool = pool
        self.target = target
        self.headers = headers  # they may hold a key: they go to `target` alone
        self.timeouts = timeouts

    def bearing(self, headers: Headers, faults: Faulting) -> Carrier:
        """The same way with more headers, but for those it has already, and with whatever goes wrong on it."""
        known = {name.lower() for name, _ in self.headers}
        more = [pair for pair in headers if pair[0].lower() not in known]
        return Carrier(self.pool, self.target, [*self.headers, *more], self.timeouts, faults)

    def path(self, path: str) -> str:
        """The request path of a protocol's path; "/" is the base itself."""
        return self.target.path_of(path) if path != "/" else self.target.prefix or "/"

    def left(self, started_ns: int) -> Timeouts:
        """The timeouts of what is left of an ask that began then."""
        left = self.timeouts.total - (time.monotonic_ns() - started_ns) / 1e9
        return replace(self.timeouts, total=max(left, 0.001))

    def fetch(
        self, request: AgentRequest, take: Take, read_failure: Callable[[int, bytes], Failure], timeouts: Timeouts
    ) -> Fetched:
        """Send an HTTP request and hand over its messages as they arrive. Failures are told, not raised."""
        faults = self.faults(request, self.path(request.path))
        exchange = self._exchange(request, timeouts, faults)
        try:
            exchange.send()
            exchange.wait_headers()
            response = exchange.response
            status = response.status_code if response.final else 0
            if not 200 <= status < 300:
                exchange.wait_end()
                return _refused(exchange, status, read_failure)
            fetched = Fetched(status, session=response.header("mcp-session-id"))
            wanted, problem = _read(exchange, request.framing, take)
            if not wanted and not exchange.done:
                with gevent.Timeout(_LAST_BYTES_S, False):
                    exchange.wait_end()
            _judge(exchange, fetched, problem, wanted=wanted)
            return fetched
        finally:
            exchange.close()
            self.struck += _struck(exchange, hears=faults is not None and faults.tells)

    def trouble(self, request: AgentRequest, timeouts: Timeouts) -> InjectedTalk | None:
        """What goes wrong with a message over a WebSocket that is made now; None when nothing does."""
        faults = self.faults(request, self.path(request.path))
        if faults is None or faults.tells:  # nobody else carries a plan out on WebSockets
            return None
        _, injection = faults.next(encode_json(request.body))
        return InjectedTalk(injection, timeouts) if injection is not None else None

    def connect(self, request: AgentRequest, timeouts: Timeouts) -> WebSocket:
        """Open a WebSocket. Raises WireError, and `Refused` for an HTTP error."""
        headers = [*_own(self.headers), *_own(request.headers)]
        return WebSocket(self.target.origin, self.path(request.path), headers, timeouts)

    def talk(self, socket: Socket, request: AgentRequest, take: Take, timeouts: Timeouts) -> Fetched:
        """Send a message over a WebSocket and hand over those that come, until `take` has enough or it closes."""
        fetched = Fetched(101)
        deadline = time.monotonic() + timeouts.total
        quiet = timeouts.first_byte
        try:
            socket.send(encode_json(request.body).decode())
            while True:
                got = socket.receive(max(min(quiet, deadline - time.monotonic()), 0.0))
                if got is None:
                    fetched.complete = socket.close_code in (1000, 1001)
                    fetched.failure = close_failure(socket.close_code, socket.close_reason)
                    return fetched
                quiet = timeouts.idle
                fetched.last_ns = got[0]
                fetched.response_bytes += len(got[1])
                if take(Message(*got, framing=Framing.WEBSOCKET)):
                    fetched.complete = True
                    return fetched
        except WireError as error:
            fetched.failure = wire_failure(error, 101)
            return fetched

    def _exchange(self, request: AgentRequest, timeouts: Timeouts, faults: CallFaults | None) -> AnyExchange:
        headers = [*_own(self.headers), *_own(request.headers), ("Accept-Encoding", "identity")]
        body = b""
        if request.body is not None:
            headers.append(("Content-Type", "application/json"))
            body = encode_json(request.body)
        headers.append(("Accept", "application/json, text/event-stream, application/x-ndjson;q=0.9"))
        http = HttpRequest(request.method, self.target.origin, self.path(request.path), headers, body)
        return open_exchange(self.pool, http, timeouts, faults)


def encode_json(body: object) -> bytes:
    """A body as it goes on the wire. Raises TypeError or ValueError for what JSON cannot hold."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def wire_failure(error: WireError, status: int = 0) -> Failure:
    """A failure of the wire's, as calls tell it."""
    if isinstance(error, Refused):
        return error.failure
    return Failure(FailureKind(error.kind), error.args[0], status)


def _own(headers: Headers) -> list[tuple[str, str]]:
    return [pair for pair in headers if pair[0].lower() not in _RESERVED]


def _struck(exchange: AnyExchange, *, hears: bool) -> tuple[str, ...]:
    """The faults that took hold; `hears`: the mock or the proxy says which."""
    if hears and exchange.response.final:
        return names_in(exchange.response.header(HEADER.decode()))
    return exchange.struck


def _read(exchange: AnyExchange, expected: Framing, take: Take) -> tuple[bool, WireError | None]:
    """Hand over the messages; whether more are wanted, and what was wrong with how they were framed."""
    splitter = Splitter(framing_of(exchange.response.header("content-type"), expected))
    taken = 0
    try:
        for chunk in exchange.chunks():
            for message in splitter.feed(*chunk):
                if take(message):
                    return False, None
                taken += 1
                if taken % _MESSAGES_BETWEEN_YIELDS == 0:
                    gevent.sleep(0)
        if exchange.response.complete and any(take(message) for message in splitter.flush()):
            return False, None
    except WireError as error:
        return True, error
    return True, None


def _judge(exchange: AnyExchange, fetched: Fetched, problem: WireError | None, *, wanted: bool) -> None:
    response = exchange.response
    chunks: Sequence[Chunk] = response.chunks
    fetched.response_bytes = response.body_bytes
    fetched.last_ns = chunks[-1][0] if chunks else 0
    fetched.complete = response.complete and problem is None
    if not wanted:
        return
    error = problem or exchange.error
    if error is not None:
        fetched.failure = wire_failure(error, fetched.status)


def _refused(exchange: AnyExchange, status: int, read_failure: Callable[[int, bytes], Failure]) -> Fetched:
    response = exchange.response
    fetched = Fetched(status, response_bytes=response.body_bytes)
    if not status:
        error = exchange.error or WireError(FailureKind.RESET, "the connection closed")
        hint = " (on a reused connection)" if exchange.reused and not response.first_byte_ns else ""
        fetched.failure = Failure(FailureKind(error.kind), f"{error.args[0]}{hint}")
        return fetched
    fetched.body = b"".join(data for _, data in response.chunks)[:_ERROR_BYTES]
    fetched.failure = read_failure(status, fetched.body)
    return fetched
