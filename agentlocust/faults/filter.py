"""The content filter stops the reply."""

from __future__ import annotations

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Draft, Fault, Group, Hit, generates
from agentlocust.faults.made import answered


def _strike(hit: Hit, draft: Draft) -> bool:
    if draft.answered:
        return False
    draft.reply = answered(hit, "filter", ("I", " can"))
    return True


FAULT = Fault(
    "filter",
    "the finish reason content_filter, of Anthropic refusal",
    Group.CONTENT,
    (),
    _strike,
    applies=generates,
    fails_as=frozenset({FailureKind.CONTENT_FILTER, FailureKind.CHECK}),
)
