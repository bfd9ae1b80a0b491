"""A tool's arguments break off."""

from __future__ import annotations

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Fault, Group, generates
from agentlocust.faults.made import calls_tool_with

FAULT = Fault(
    "truncated_arguments",
    "a tool call whose arguments break off in the middle: no JSON (where tools are offered)",
    Group.CONTENT,
    (),
    calls_tool_with('{"city": "Par'),
    applies=generates,
    fails_as=frozenset({FailureKind.CHECK}),
)
