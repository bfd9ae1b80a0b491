"""A reply without a word."""

from __future__ import annotations

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Draft, Fault, Group, Hit, generates
from agentlocust.faults.made import answered


def _strike(hit: Hit, draft: Draft) -> bool:
    if draft.answered:
        return False
    draft.reply = answered(hit)
    return True


FAULT = Fault(
    "empty",
    "a whole reply with nothing generated in it",
    Group.CONTENT,
    (),
    _strike,
    applies=generates,
    fails_as=frozenset({FailureKind.EMPTY, FailureKind.CHECK}),
)
