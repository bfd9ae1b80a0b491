"""The provider's own error: 500."""

from __future__ import annotations

from agentlocust.dialects.answers import Problem
from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Draft, Fault, Group, Hit
from agentlocust.faults.keys import Key, one_of
from agentlocust.faults.made import refused


def _strike(hit: Hit, draft: Draft) -> bool:
    if draft.answered:
        return False
    draft.reply = refused(hit, Problem(hit.values["status"], "server_error"))
    return True


FAULT = Fault(
    "server_error",
    "500, or another 5xx",
    Group.PROVIDER,
    (Key("status", one_of(500, 501, 502, 503, 504), "500", "which"),),
    _strike,
    fails_as=frozenset({FailureKind.SERVER_ERROR, FailureKind.OVERLOADED, FailureKind.TIMEOUT}),
)
