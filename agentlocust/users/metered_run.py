"""A run whose LLM calls are metered from underneath, and what becomes of each call."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import gevent
from locust.user.task import LOCUST_STATE_WAITING

from agentlocust.budget import Reserved
from agentlocust.dialects.base import Decoded, ToolRequest
from agentlocust.failures import Failure
from agentlocust.pricing.worst_case import output_limit
from agentlocust.records import Labels
from agentlocust.users.permits import NoPermit
from agentlocust.users.run import Run
from agentlocust.users.tool import CUT, Tool
from agentlocust.wire.bridge_post import post
from agentlocust.wire.metering import Scope
from agentlocust.wire.metering_call import MeteredCall
from agentlocust.wire.metering_tools import Answer, Asked

if TYPE_CHECKING:
    from agentlocust.users.python_agent import PythonAgentUser


class MeteredRun(Run):
    """A run of a `PythonAgentUser`: what is sent inside it is its own.

    `tool`, `hand_off` and `check` may be used in the agent's coroutines and threads too.
    """

    def __init__(self, user: PythonAgentUser, name: str, labels: Labels) -> None:
        super().__init__(user, name, None, labels)
        self.scope = Scope(RunOwner(self, user), post(), strict=user.strict_stream)
        self.scope.faults = user.turns.call
        self.scope.marks = user.meter.marks
        self.greenlet: Any = None

    def tool(self, name: str, *, id: str = "") -> Tool:
        """Time a tool; `id` is the model's for it, else it is the oldest that it asked for under that name."""
        return Tool(self, name, ToolRequest(id=id, name=name, arguments_json="") if id else None)

    def tool_ended(self, tool: Tool, *, cancelled: bool) -> None:
        """Record a tool, after the call that asked for it."""
        self.scope.record(partial(self._timed, tool, time.monotonic() - tool.started, cancelled=cancelled))

    def hand_off(self, to: str) -> None:
        """Another agent takes over; what follows is its doing."""
        self.scope.record(partial(super().hand_off, to))

    def _timed(self, tool: Tool, latency: float, *, cancelled: bool) -> None:
        request = self.scope.tools.told(tool.name, tool.request.id if tool.request is not None else "")
        self.tool_seen(
            tool.name,
            tool.started,
            latency,
            id=request.id if request is not None else "",
            arguments=request.arguments_json if request is not None else "",
            result=tool.result,
            error=tool.error,
            cancelled=cancelled,
        )

    def __enter__(self) -> Self:
        if not post().here:
            raise RuntimeError("enter `agent_run` in the task itself, around what is async in it")
        self.greenlet = gevent.getcurrent()
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.scope.close(cancelled=isinstance(error, CUT))
        except BaseException as late:  # killed as the last calls were recorded: the others are all the same
            self.scope.close(cancelled=True)
            super().__exit__(type(late), late, late.__traceback__)
            raise
        super().__exit__(kind, error, traceback)


class RunOwner:
    """Whose a metered run's calls are; see `wire.metering.Owner`."""

    def __init__(self, run: MeteredRun, user: PythonAgentUser) -> None:
        self.run = run
        self._user = user

    def at_once(self) -> bool:
        """True when nothing is to be waited for before a call."""
        return self._user.load.calls is None and self._user.load.guard is None

    def leave(self, body: bytes, asked: Mapping[str, Any], *, first: bool) -> RunLeave:
        """Take the permit and the money that an attempt needs."""
        user = self._user
        if self.at_once():
            return RunLeave(user, user._issue() if first else 0, None, first=first)
        with user.asking:
            state = user._state
            try:
                return self._leave(body, asked, first=first)
            except NoPermit as error:  # an Exception, which SDKs would take for one of the wire's
                raise gevent.GreenletExit from error
            finally:
                if user._state == LOCUST_STATE_WAITING:  # given up by somebody else than Locust
                    user._state = state

    def _leave(self, body: bytes, asked: Mapping[str, Any], *, first: bool) -> RunLeave:
        user = self._user
        started_ns = user._issue() if first else 0
        try:
            reservation = user.reserve(body, str(asked.get("model", "")), *output_limit(asked))
        except BaseException:
            if first:
                user._not_issued()
            raise
        if reservation.waited:  # for money: none of the target's doing
            started_ns = 0
        return RunLeave(user, started_ns, reservation, first=first)

    def call_ended(self, call: MeteredCall, cut: Failure | None) -> Decoded:
        """Record a call, in its run if that goes on."""
        run = self.run
        asked = self._user._asked(run.name, call.tap.dialect, call.model, call.body, run.labels)
        _, outcome = self._user._finish(call.tap, asked, cut=cut, reservation=call.reserved)
        return outcome.decoded

    def tool_seen(self, asked: Asked, answer: Answer, answered_ns: int) -> None:
        """Record a tool of which the messages told: it lasted from the reply to the request with its answer."""
        if self.run.scope.closed:
            return
        self.run.tool_seen(
            asked.request.name,
            asked.at_ns / 1e9,
            max(answered_ns - asked.at_ns, 0) / 1e9,
            id=asked.request.id,
            arguments=asked.request.arguments_json,
            result=answer.result,
            error=answer.error,
        )

    def abandon(self, error: BaseException) -> None:
        """Raise `error` in the greenlet that is in the run."""
        if not self.run.scope.closed and isinstance(self.run.greenlet, gevent.Greenlet):
            self.run.greenlet.kill(error, block=False)


@dataclass(frozen=True, slots=True)
class RunLeave:
    """Leave to send one attempt; see `wire.metering.Leave`."""

    user: PythonAgentUser
    started_ns: int
    reserved: Reserved | None
    first: bool

    def give_back(self) -> None:
        """Nobody sends it."""
        if self.reserved is not None:
            self.reserved.settle(0)
        if self.first:
            self.user._not_issued()
