"""The model asks for a tool that nobody offered."""

from __future__ import annotations

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Draft, Fault, Group, Hit, generates
from agentlocust.faults.keys import Key, name
from agentlocust.faults.made import answered
from agentlocust.faults.tools import tools_of


def _strike(hit: Hit, draft: Draft) -> bool:
    if draft.answered:
        return False
    if not tools_of(hit.request()):
        return False
    draft.reply = answered(hit, "tools", call=(hit.values["tool"], '{"query":"everything"}'))
    return True


FAULT = Fault(
    "unknown_tool",
    "a call of a tool that does not exist (where tools are offered)",
    Group.CONTENT,
    (Key("tool", name, "teleport", "its name"),),
    _strike,
    applies=generates,
    fails_as=frozenset({FailureKind.CHECK}),
)
