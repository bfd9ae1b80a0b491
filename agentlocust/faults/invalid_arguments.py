"""A tool's arguments do not fit its schema."""

from __future__ import annotations

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Fault, Group, generates
from agentlocust.faults.made import calls_tool_with

FAULT = Fault(
    "invalid_arguments",
    "a tool call whose arguments are JSON and not what its schema asks for (where tools are offered)",
    Group.CONTENT,
    (),
    calls_tool_with('{"unexpected":["not","what","was","asked"]}'),
    applies=generates,
    fails_as=frozenset({FailureKind.CHECK}),
)
