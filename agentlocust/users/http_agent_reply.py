"""What an agent that is a service gives back to the person who wrote the locustfile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from agentlocust.dialects.agents.events import AgentEvent
from agentlocust.dialects.base import ToolRequest, ToolResult
from agentlocust.failures import Failure
from agentlocust.usage import Usage


@dataclass(slots=True)
class AgentReply:
    """The outcome of one ask; a failed one is a reply too, with `failure` set.

    Seconds from the ask: `ttfe` to the first event of any kind, `ttft` to the first generated text or
    tool call, `ttfo` to the first visible text, `first_tool` to the first tool call, `latency` to the
    end. `usage` is what the agent told of (`reported`; nothing otherwise), `cost` in US dollars (None:
    not told, or no price). `abandoned`: the user left before the end, which is no failure. `faults` are
    those of the test's plan that struck its requests.
    """

    text: str = ""
    reasoning: str = ""
    events: list[AgentEvent] = field(default_factory=list)
    tool_calls: list[ToolRequest] = field(default_factory=list)
    tool_results: list[ToolResult] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    reported: bool = False
    model: str = ""
    cost: Decimal | None = None
    session_id: str = ""
    finish_reason: str = ""
    ttfe: float | None = None
    ttft: float | None = None
    ttfo: float | None = None
    first_tool: float | None = None
    latency: float = 0.0
    requests: int = 0
    status: int = 0
    response_bytes: int = 0
    failure: Failure | None = None
    abandoned: bool = False
    faults: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """True when the answer came whole and its check, if any, passed."""
        return self.failure is None and not self.abandoned


AgentCheck = Callable[[AgentReply], object]
