"""A tool's arguments do not fit its schema."""

from __future__ import annotations

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Draft, Fault, Group, Hit, generates
from agentlocust.faults.made import answered
from agentlocust.faults.tools import tools_of


def _strike(hit: Hit, draft: Draft) -> bool:
    if draft.answered:
        return False
    offered = tools_of(hit.request())
    if not offered:
        return False
    draft.reply = answered(hit, "tools", call=(offered[0], '{"unexpected":["not","what","was","asked"]}'))
    return True


FAULT = Fault(
    "invalid_arguments",
    "a tool call whose arguments are JSON and not what its schema asks for (where tools are offered)",
    Group.CONTENT,
    (),
    _strike,
    applies=generates,
    fails_as=frozenset({FailureKind.CHECK}),
)
