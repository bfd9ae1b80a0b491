"""The model declines."""

from __future__ import annotations

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Draft, Fault, Group, Hit, generates
from agentlocust.faults.made import answered


def _strike(hit: Hit, draft: Draft) -> bool:
    if draft.answered:
        return False
    draft.reply = answered(hit, "stop", ("I", "'m", " sorry", ",", " I", " can", "'t", " help", " with", " that", "."))
    return True


FAULT = Fault(
    "refusal",
    "the model declines in words: a good reply, and no answer",
    Group.CONTENT,
    (),
    _strike,
    applies=generates,
    fails_as=frozenset({FailureKind.CHECK}),
)
