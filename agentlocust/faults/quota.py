"""The money is used up: 429 that waiting does not clear, of Anthropic 402."""

from __future__ import annotations

from agentlocust.dialects.answers import Problem
from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Draft, Fault, Group, Hit
from agentlocust.faults.made import refused


def _strike(hit: Hit, draft: Draft) -> bool:
    if draft.answered:
        return False
    status = 402 if hit.asked.dialect == "anthropic" else 429
    draft.reply = refused(hit, Problem(status, "quota"))
    return True


FAULT = Fault(
    "quota",
    "429, of Anthropic 402: the quota is used up, waiting does not help",
    Group.PROVIDER,
    (),
    _strike,
    fails_as=frozenset({FailureKind.QUOTA, FailureKind.RATE_LIMITED}),
)
