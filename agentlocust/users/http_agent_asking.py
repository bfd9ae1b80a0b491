"""One ask of an agent that is a service, through all the requests it takes."""

from __future__ import annotations

import time
from collections.abc import Callable

import gevent

from agentlocust.dialects.agents.answer import Answer
from agentlocust.dialects.agents.base import AgentRequest, Framing, Message, Turn
from agentlocust.dialects.agents.events import EventKind
from agentlocust.errors import WireError
from agentlocust.failures import Failure, FailureKind
from agentlocust.users.http_agent_transport import Carrier, Fetched, wire_failure
from agentlocust.wire.websocket import WebSocket

_MAX_REQUESTS = 10_000  # of one ask: a task that is polled for ever is not


class Asking:
    """An ask under way: `run` it, then read `answer` and `failure`.

    `kept` is the WebSocket of the session around it, if it has one; `socket` the one to keep after it.
    """

    def __init__(
        self,
        carrier: Carrier,
        turn: Turn,
        started_ns: int,
        read_failure: Callable[[int, bytes], Failure],
        kept: WebSocket | None = None,
    ) -> None:
        self.answer = Answer()
        self.failure: Failure | None = None
        self.ended_ns = 0
        self.status = 0
        self.requests = 0
        self.response_bytes = 0
        self.socket = kept
        self._carrier = carrier
        self._turn = turn
        self._issued_ns = time.monotonic_ns()
        self._started_ns = started_ns
        self._read_failure = read_failure
        self._request_open = False

    @property
    def faults(self) -> tuple[str, ...]:
        """Those that struck its requests so far."""
        return self._carrier.struck

    def run(self) -> None:
        """Send what the turn asks for until the agent has answered. Failures are told, not raised."""
        answer = self.answer
        last_ns = 0
        while not answer.ended_ns and self.failure is None and (request := self._turn.request()) is not None:
            if not self._wait(request.after_s):
                break
            self.requests += 1
            self._request_open = True
            fetched = self._talk(request) if request.framing is Framing.WEBSOCKET else self._fetch(request)
            self._request_open = False
            self.status = fetched.status
            self.response_bytes += fetched.response_bytes
            last_ns = fetched.last_ns or time.monotonic_ns()
            if not answer.ended_ns:
                # An orderly close ends an answer whose protocol has no other mark for it.
                closed = request.framing is Framing.WEBSOCKET and fetched.complete
                problem = None if closed else fetched.failure
                answer.take(self._turn.end(last_ns, complete=fetched.complete and problem is None))
                self.failure = problem
            if self.requests >= _MAX_REQUESTS and not answer.ended_ns:
                self.failure = Failure(FailureKind.TOO_LARGE, f"no end after {_MAX_REQUESTS} requests")
        self._settle(last_ns)

    def give_up(self) -> None:
        """The ask was cut: note what the agent has told of usage so far, and free what is open."""
        self._drop()
        if self._request_open and not self.answer.ended_ns:
            late = self._turn.end(time.monotonic_ns(), complete=False)
            self.answer.take(event for event in late if event.kind is EventKind.USAGE)
        self.ended_ns = time.monotonic_ns()

    def _settle(self, last_ns: int) -> None:
        answer = self.answer
        if self.failure is None:
            if not answer.ended_ns:
                self.failure = Failure(FailureKind.TRUNCATED_STREAM, "the agent's answer never ended", self.status)
            answer.settle(generates=self._turn.generates)
            self.failure = answer.failure or self.failure
        self.ended_ns = answer.ended_ns or last_ns or time.monotonic_ns()
        if self.failure is not None:
            self.ended_ns = time.monotonic_ns()

    def _wait(self, seconds: float) -> bool:
        """Wait before a request; False when the ask's time is up."""
        if not seconds:
            return True
        left = self._carrier.left(self._issued_ns).total
        gevent.sleep(min(seconds, left))
        if left > seconds:
            return True
        total = self._carrier.timeouts.total
        self.failure = Failure(FailureKind.TIMEOUT, f"no whole answer within {total:g} s", self.status)
        return False

    def _take(self, message: Message) -> bool:
        answer = self.answer
        answer.saw_message(message.stamp_ns)
        answer.take(self._turn.read(message))
        return answer.ended_ns != 0

    def _fetch(self, request: AgentRequest) -> Fetched:
        carrier = self._carrier
        return carrier.fetch(request, self._take, self._read_failure, carrier.left(self._issued_ns))

    def _talk(self, request: AgentRequest) -> Fetched:
        carrier = self._carrier
        trouble = carrier.trouble(request, carrier.left(self._issued_ns))
        try:
            if self.socket is not None and not self.socket.open:
                self._drop()
            if trouble is not None:
                trouble.before(connected=self.socket is not None)
            timeouts = trouble.left if trouble is not None else carrier.left(self._issued_ns)
            if self.socket is None:
                self.socket = carrier.connect(request, timeouts)
            socket = trouble.over(self.socket) if trouble is not None else self.socket
            return carrier.talk(socket, request, self._take, timeouts)
        except WireError as error:
            self._drop()
            failure = wire_failure(error)
            return Fetched(failure.status, failure=failure)
        finally:
            if trouble is not None:
                carrier.struck += trouble.struck

    def _drop(self) -> None:
        if self.socket is not None:
            self.socket.abort()
            self.socket = None
