"""The key is refused: 401."""

from __future__ import annotations

from agentlocust.dialects.answers import Problem
from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Draft, Fault, Group, Hit
from agentlocust.faults.keys import Key, one_of
from agentlocust.faults.made import refused


def _strike(hit: Hit, draft: Draft) -> bool:
    if draft.answered:
        return False
    draft.reply = refused(hit, Problem(hit.values["status"], "auth"))
    return True


FAULT = Fault(
    "auth",
    "401, or 403: the key is refused",
    Group.PROVIDER,
    (Key("status", one_of(401, 403), "401", "which"),),
    _strike,
    fails_as=frozenset({FailureKind.AUTH}),
)
