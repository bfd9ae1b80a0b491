"""Gathers the events of one ask into the answer they make."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from agentlocust.dialects.agents.events import AgentEvent, EventKind
from agentlocust.dialects.agents.told_usage import add_usage
from agentlocust.dialects.base import ToolRequest
from agentlocust.dialects.base import ToolResult as ToolAnswer
from agentlocust.failures import Failure, FailureKind
from agentlocust.usage import Usage


@dataclass(slots=True)
class _Tool:
    id: str
    name: str
    arguments: list[str] = field(default_factory=list)


class Answer:
    """An answer under construction. Stamps are nanoseconds; 0 for what has not come.

    `ended_ns` is when the answer was whole, or was found to have failed: what comes after that is
    passed over.
    """

    def __init__(self) -> None:
        self.events: list[AgentEvent] = []
        self.session_id = ""
        self.finish_reason = ""
        self.failure: Failure | None = None
        self.first_event_ns = 0
        self.first_token_ns = 0
        self.first_output_ns = 0
        self.first_tool_ns = 0
        self.ended_ns = 0
        self.usages: dict[str, Usage] = {}  # by model
        self.results: list[ToolAnswer] = []
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._tools: list[_Tool] = []

    def saw_message(self, stamp_ns: int) -> None:
        """A message came, whatever it means."""
        self.first_event_ns = self.first_event_ns or stamp_ns

    def take(self, events: Iterable[AgentEvent]) -> None:
        """Take what the protocol read."""
        for event in events:
            if self.ended_ns and event.kind is not EventKind.USAGE:
                continue
            self.events.append(event)
            self._take(event)

    def settle(self, *, generates: bool) -> None:
        """The last reply was read: judge what came."""
        if self.failure is None and generates and not self.generated:
            self.failure = Failure(FailureKind.EMPTY, "the agent answered with nothing", 200)

    @property
    def generated(self) -> bool:
        """True when anything of an answer came."""
        return bool(self._text or self._reasoning or self._tools or self.results)

    @property
    def text(self) -> str:
        """The visible text."""
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        """The reasoning that was shown."""
        return "".join(self._reasoning)

    @property
    def tool_calls(self) -> list[ToolRequest]:
        """The tools that were called, in order."""
        return [ToolRequest(tool.id, tool.name, "".join(tool.arguments)) for tool in self._tools]

    @property
    def usage(self) -> Usage:
        """All that was used, whatever the model."""
        total = Usage()
        for usage in self.usages.values():
            total = add_usage(total, usage)
        return total

    def _take(self, event: AgentEvent) -> None:
        stamp, kind = event.stamp_ns, event.kind
        self.first_event_ns = self.first_event_ns or stamp
        if kind is EventKind.TEXT:
            if event.text:
                (self._text if event.visible else self._reasoning).append(event.text)
                self.first_token_ns = self.first_token_ns or stamp
                if event.visible:
                    self.first_output_ns = self.first_output_ns or stamp
        elif kind is EventKind.TOOL_CALL:
            self._take_tool(event)
        elif kind is EventKind.TOOL_RESULT:
            self.results.append(ToolAnswer(event.id, event.name, event.text, event.is_error))
        elif kind is EventKind.USAGE:
            if event.usage is not None:
                self.usages[event.model] = event.usage
        elif kind is EventKind.SESSION:
            self.session_id = event.text
        elif kind is EventKind.DONE:
            self.finish_reason = event.text
            self.ended_ns = stamp
        elif kind is EventKind.FAILED:
            self.failure = event.failure or Failure(FailureKind.STREAM_ERROR, event.text, 200)
            self.ended_ns = stamp

    def _take_tool(self, event: AgentEvent) -> None:
        self.first_tool_ns = self.first_tool_ns or event.stamp_ns
        self.first_token_ns = self.first_token_ns or event.stamp_ns
        known = next((tool for tool in reversed(self._tools) if event.id and tool.id == event.id), None)
        if known is None and not event.id and not event.name and self._tools:
            known = self._tools[-1]
        if known is None:
            known = _Tool(event.id, event.name)
            self._tools.append(known)
        known.name = known.name or event.name
        if event.arguments_json:
            known.arguments.append(event.arguments_json)
