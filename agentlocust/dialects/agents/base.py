"""What every agent protocol promises: the requests of a turn, and what their replies mean.

A protocol is sans-io: it says what to send and reads what came. It sees neither socket nor clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from agentlocust.dialects.agents.events import AgentEvent, EventKind
from agentlocust.failures import Failure, FailureKind


class Framing(StrEnum):
    """How a reply is cut into messages."""

    JSON = "json"  # one message: the whole body
    SSE = "sse"
    NDJSON = "ndjson"
    WEBSOCKET = "websocket"


@dataclass(frozen=True, slots=True)
class AgentRequest:
    """One request of a turn. `body` is JSON to be, None for none; `path` is below the host.

    `framing` is what the reply is expected in; an HTTP reply's content type has the last word.
    `after_s` is how long to wait before it is sent.
    """

    path: str
    body: Any = None
    method: str = "POST"
    headers: tuple[tuple[str, str], ...] = ()
    framing: Framing = Framing.SSE
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a reply: an SSE event, an NDJSON line, a WebSocket message, a whole JSON body."""

    stamp_ns: int
    data: bytes
    event: bytes = b""
    framing: Framing = Framing.SSE


@dataclass(slots=True)
class Conversation:
    """What a session carries from one turn to the next; each protocol uses what it needs.

    `id` is the service's name for it, `task` what an agent waits for input on.
    """

    id: str = ""
    task: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list)


class Turn(Protocol):
    """One ask and its answer. Nothing here raises, whatever the service sends.

    `generates`: an answer without any text, tool call or data is `empty`, hence a failure.
    """

    generates: bool

    def request(self) -> AgentRequest | None:
        """Give what is to be sent next; None once the turn needs nothing more."""

    def read(self, message: Message) -> list[AgentEvent]:
        """Read one message of the reply to the last request."""

    def end(self, stamp_ns: int, *, complete: bool) -> list[AgentEvent]:
        """The reply ended; `complete` when it ended as its framing says it must."""


class AgentProtocol(Protocol):
    """One way of talking to agents. Stateless: one instance serves every ask."""

    @property
    def name(self) -> str:
        """Its name, as a User class gives it in `protocol`."""

    def turn(self, text: str, conversation: Conversation, params: Mapping[str, Any]) -> Turn:
        """Begin a turn: what the user says; `params` are laid over the request's body."""

    def read_failure(self, status: int, body: bytes) -> Failure:
        """Read an HTTP error reply of any shape."""


def done(stamp_ns: int, how: str = "") -> AgentEvent:
    """The end of a whole answer."""
    return AgentEvent(EventKind.DONE, stamp_ns, how)


def failed(stamp_ns: int, kind: FailureKind, why: str, status: int = 200) -> AgentEvent:
    """The end of an answer that is none."""
    return AgentEvent(EventKind.FAILED, stamp_ns, why, failure=Failure(kind, why, status))


def text(stamp_ns: int, piece: str, *, visible: bool = True) -> AgentEvent:
    """A piece of the answer; not `visible`: of the reasoning."""
    return AgentEvent(EventKind.TEXT, stamp_ns, piece, visible=visible)


def progress(stamp_ns: int, what: str = "") -> AgentEvent:
    """A sign of life."""
    return AgentEvent(EventKind.PROGRESS, stamp_ns, what)


def truncated(stamp_ns: int, *, complete: bool) -> AgentEvent:
    """The reply ended, and the answer had not."""
    how = "ended" if complete else "was cut"
    return failed(stamp_ns, FailureKind.TRUNCATED_STREAM, f"the reply {how} before the agent's answer did")


def malformed(message: Message, why: object) -> list[AgentEvent]:
    """A message that is not JSON fails the answer; a blank one is no message."""
    if not message.data.strip():
        return []
    return [failed(message.stamp_ns, FailureKind.MALFORMED_STREAM, f"a message is not JSON, {why}")]
