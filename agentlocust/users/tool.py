"""One tool call under way in an agent run."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import gevent
from locust.exception import InterruptTaskSet, RescheduleTask, StopTest, StopUser

from agentlocust.dialects.base import ToolRequest
from agentlocust.steps import result_text
from agentlocust.users.permits import NoPermit

if TYPE_CHECKING:
    from agentlocust.users.run import Run

CUT = (gevent.GreenletExit, NoPermit)  # the end of the test, not the agent's doing
CONTROL_FLOW = (InterruptTaskSet, RescheduleTask, StopTest, StopUser)  # Locust's own, not errors


class Tool:
    """One tool call under way; use it as `with run.tool("search") as tool: tool.result = …`.

    An exception inside marks the tool failed and goes on up. `fail(why)` marks it failed and lets
    the agent go on, with `why` as the answer the model sees.
    """

    def __init__(self, run: Run, name: str, request: ToolRequest | None) -> None:
        self.name = name
        self.result: Any = ""
        self.request = request
        self.error = ""
        self.started = 0.0
        self._run = run

    def fail(self, why: str) -> None:
        """The tool did not work; the model is told why."""
        self.error = why or "failed"

    def __enter__(self) -> Self:
        self.started = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        cancelled = isinstance(error, CUT)
        if error is not None and not cancelled and not isinstance(error, CONTROL_FLOW):
            self.error = self.error or f"{type(error).__name__}: {error}"
        self._run.tool_ended(self, cancelled=cancelled)

    @property
    def answer(self) -> str:
        """What the model is told: the result, as text."""
        return f"error: {self.error}" if self.error else result_text(self.result)
