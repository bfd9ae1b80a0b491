"""The provider is overloaded: 503, or 529 of Anthropic."""

from __future__ import annotations

from agentlocust.dialects.answers import Problem
from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Draft, Fault, Group, Hit
from agentlocust.faults.keys import Key, one_of, seconds
from agentlocust.faults.made import refused


def _strike(hit: Hit, draft: Draft) -> bool:
    if draft.answered:
        return False
    status = hit.values["status"] or (529 if hit.asked.dialect == "anthropic" else 503)
    draft.reply = refused(hit, Problem(status, "overloaded"), hit.values["retry_after"] or None)
    return True


FAULT = Fault(
    "overloaded",
    "503, of Anthropic 529: no room for more",
    Group.PROVIDER,
    (
        Key("status", one_of(0, 503, 529), "0", "503 or 529; 0: the provider's own"),
        Key("retry_after", seconds, "0s", "what Retry-After says; 0s: there is none"),
    ),
    _strike,
    fails_as=frozenset({FailureKind.OVERLOADED}),
)
