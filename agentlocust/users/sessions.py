"""A conversation with an agent over several turns, with time to think between them."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import gevent
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING

from agentlocust.dialects.agents.base import Conversation
from agentlocust.users.http_agent_reply import AgentReply
from agentlocust.users.permits import NoPermit

if TYPE_CHECKING:
    from agentlocust.users.http_agent import HttpAgentUser
    from agentlocust.wire.websocket import WebSocket

ThinkTime = float | Callable[[Any], float]


class Session:
    """Several asks of one user that the agent remembers: `with self.session() as session: session.ask("…")`.

    Counted when it ends: `sessions`, their `session_turns`, and `sessions_failed`, in which an ask
    failed or the block raised. One that the end of the test cut is not counted.
    """

    def __init__(self, user: HttpAgentUser) -> None:
        self.conversation = Conversation()
        self.socket: WebSocket | None = None  # kept open for a protocol that speaks over one
        self.turns = 0
        self.failed = False
        self.abandoned = False
        self._user = user

    @property
    def id(self) -> str:
        """What the service calls the session; "" before it has said so."""
        return self.conversation.id

    def ask(self, text: str, **settings: Any) -> AgentReply:
        """Ask within the session; as the user's `ask`."""
        return self._user.ask(text, session=self, **settings)

    def think(self, seconds: float | None = None) -> None:
        """Pause as a reader would: so many seconds, or what the class's `think_time` says.

        As between tasks, a user that is asked to stop meanwhile stops at once.
        """
        user = self._user
        pause = user.next_think_time() if seconds is None else seconds
        state = user._state
        if state == LOCUST_STATE_STOPPING:
            raise NoPermit
        if state == LOCUST_STATE_RUNNING:
            user._state = LOCUST_STATE_WAITING
        gevent.sleep(max(pause, 0.0))
        if user._state == LOCUST_STATE_STOPPING:
            raise NoPermit
        user._state = state

    def turn_ended(self, reply: AgentReply) -> None:
        """An ask of the session has ended."""
        self.turns += 1
        self.failed = self.failed or reply.failure is not None
        self.abandoned = self.abandoned or reply.abandoned

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        socket, self.socket = self.socket, None
        if isinstance(error, (gevent.GreenletExit, NoPermit)):
            if socket is not None:
                socket.abort()
            return
        if socket is not None:
            socket.close()
        ledger = self._user.meter.ledger
        ledger.count("sessions")
        ledger.count("session_turns", self.turns)
        ledger.count("sessions_failed", int(self.failed or isinstance(error, Exception)))
