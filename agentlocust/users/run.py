"""An agent run under way: its conversation, its sums, its tools, its verdict."""

from __future__ import annotations

import json
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import gevent
from locust.exception import InterruptTaskSet, RescheduleTask, StopTest, StopUser

from agentlocust.dialects.base import Decoded, Dialect, ToolRequest, ToolResult
from agentlocust.records import AgentRun, Call, Labels, ToolCall
from agentlocust.users.permits import NoPermit

if TYPE_CHECKING:
    from agentlocust.users.base import AgentUser

_CUT = (gevent.GreenletExit, NoPermit)  # the end of the test, not the agent's doing
_CONTROL_FLOW = (InterruptTaskSet, RescheduleTask, StopTest, StopUser)  # Locust's own, not errors


class Tool:
    """One tool call under way; use it as `with run.tool("search") as tool: tool.result = …`.

    An exception inside marks the tool failed and goes on up. `fail(why)` marks it failed and lets
    the agent go on, with `why` as the answer the model sees.
    """

    def __init__(self, run: Run, name: str, request: ToolRequest | None) -> None:
        self.name = name
        self.result: Any = ""
        self._run = run
        self._request = request
        self._error = ""
        self._started = 0.0

    def fail(self, why: str) -> None:
        """The tool did not work; the model is told why."""
        self._error = why or "failed"

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        cancelled = isinstance(error, _CUT)
        if error is not None and not cancelled and not isinstance(error, _CONTROL_FLOW):
            self._error = self._error or f"{type(error).__name__}: {error}"
        self._run.tool_ended(self, self._request, self._started, self._error, cancelled=cancelled)

    @property
    def answer(self) -> str:
        """What the model is told: the result, as text."""
        if self._error:
            return f"error: {self._error}"
        return self.result if isinstance(self.result, str) else json.dumps(self.result, default=str)


class Run:
    """One agent run, from the user's ask to the final answer: `with self.agent_run("refund") as run:`.

    It succeeds unless a call in it failed, `check` said so, or the block raised.
    `messages` is the conversation so far, in the provider's own form.
    """

    def __init__(self, user: AgentUser, name: str, dialect: Dialect | None, labels: Labels) -> None:
        self.name = name
        self.messages: list[Any] = []
        self.error = ""
        self.labels = labels
        self.parent = user.current_run
        self.calls = self.attempts = self.tool_calls = self.tool_errors = self.tokens = 0
        self.cost_picousd: int | None = 0
        self._user = user
        self._meter = user.meter
        self._dialect = dialect
        self._started_ns = 0
        self._unanswered: list[ToolRequest] = []

    def tool(self, name: str, *, id: str = "") -> Tool:
        """Time a tool. Its result answers the model's oldest open request for a tool of that name.

        `id` names the request where the model asked for the same tool twice and order is not enough.
        """
        request = next((open_ for open_ in self._unanswered if open_.name == name and id in ("", open_.id)), None)
        if request is not None:
            self._unanswered.remove(request)
        return Tool(self, name, request)

    def check(self, ok: object, why: str = "check failed") -> bool:
        """Judge the run's outcome; the first `why` that fails is the run's error. Returns `bool(ok)`."""
        if not ok:
            self.fail(why)
        return bool(ok)

    def fail(self, why: str) -> None:
        """Mark the run failed; the first reason is kept."""
        self.error = self.error or why or "failed"

    # -- told by the user class ----------------------------------------------------------------

    def call_ended(self, call: Call) -> None:
        """Add a call's figures to the run's."""
        self.calls += 1
        self.attempts += call.attempts
        self.tokens += call.usage.total
        if call.cost_picousd is None or self.cost_picousd is None:
            self.cost_picousd = None
        else:
            self.cost_picousd += call.cost_picousd
        if call.failure is not None and not call.cancelled:
            self.fail(f"call failed: {call.failure.kind}")

    def extend(self, decoded: Decoded) -> None:
        """Continue the conversation with the model's turn."""
        if self._dialect is not None:
            self.messages.extend(self._dialect.reply_messages(decoded))
            self._unanswered = list(decoded.tool_calls)

    def tool_ended(
        self, tool: Tool, request: ToolRequest | None, started: float, error: str, *, cancelled: bool
    ) -> None:
        """Record a tool and continue the conversation with its answer."""
        self.tool_calls += 1
        self.tool_errors += bool(error)
        self._meter.record_tool(
            ToolCall(
                tool.name,
                started,
                time.monotonic() - started,
                error=error,
                cancelled=cancelled,
                phase=self._meter.phase_at(started),
                labels=self.labels,
            )
        )
        if request is not None and self._dialect is not None:
            answer = ToolResult(request.id, tool.name, tool.answer, is_error=bool(error))
            self._dialect.add_tool_results(self.messages, [answer])

    def __enter__(self) -> Self:
        begun_ns = self._user._begin_run() if self.parent is None else 0
        self._started_ns = begun_ns or time.monotonic_ns()
        self._user.current_run = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        cancelled = isinstance(error, _CUT)
        if error is not None and not cancelled and not isinstance(error, _CONTROL_FLOW):
            self.fail(f"{type(error).__name__}: {error}")
        started = self._started_ns / 1e9
        record = AgentRun(
            self.name,
            started,
            (time.monotonic_ns() - self._started_ns) / 1e9,
            calls=self.calls,
            attempts=self.attempts,
            tool_calls=self.tool_calls,
            tool_errors=self.tool_errors,
            usage_total=self.tokens,
            cost_picousd=self.cost_picousd,
            error=self.error,
            cancelled=cancelled,
            phase=self._meter.phase_at(started),
            labels=self.labels,
        )
        self._user.current_run = self.parent
        self._meter.record_run(record)
        if self.parent is None and self._user.load.runs is not None:
            self._user.load.runs.ended(cut=cancelled)
        if self.parent is not None:
            self.parent.child_ended(self)

    def child_ended(self, child: Run) -> None:
        """A run inside this one ended: its figures are this one's too."""
        self.calls += child.calls
        self.attempts += child.attempts
        self.tool_calls += child.tool_calls
        self.tool_errors += child.tool_errors
        self.tokens += child.tokens
        if child.cost_picousd is None or self.cost_picousd is None:
            self.cost_picousd = None
        else:
            self.cost_picousd += child.cost_picousd
        if child.error:
            self.fail(f"{child.name}: {child.error}")
