"""What an agent tells while it answers, in one vocabulary whatever protocol it speaks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agentlocust.failures import Failure
from agentlocust.usage import Usage


class EventKind(StrEnum):
    """What one event is about."""

    TEXT = "text"  # a piece of the answer, or of the reasoning before it
    TOOL_CALL = "tool_call"  # a tool is called, or a call gets more of its arguments
    TOOL_RESULT = "tool_result"
    USAGE = "usage"
    SESSION = "session"  # the conversation's name, to be sent with the next turn
    PROGRESS = "progress"  # a sign of life
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class AgentEvent:
    """One event of an agent's answer. `stamp_ns` is when its bytes arrived (monotonic); no reader looks at a clock.

    `text` is the piece of text, the tool's result, the session's name, or what the progress or the end
    is called. Several `tool_call` events with one `id` are one call, their `arguments_json` joined in
    order. `usage` is what `model` has used for this answer so far: a later event replaces an earlier one.
    """

    kind: EventKind
    stamp_ns: int
    text: str = ""
    visible: bool = True
    id: str = ""
    name: str = ""
    arguments_json: str = ""
    is_error: bool = False
    usage: Usage | None = None
    model: str = ""
    failure: Failure | None = None
