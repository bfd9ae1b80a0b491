"""Nobody listens: the connection is refused."""

from __future__ import annotations

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Draft, Fault, Group, Hit
from agentlocust.faults.injection import Breakage


def _strike(hit: Hit, draft: Draft) -> bool:
    if draft.answered:
        return False
    draft.breakage = Breakage.REFUSED
    return True


FAULT = Fault(
    "refused",
    "the connection is refused",
    Group.NETWORK,
    (),
    _strike,
    fails_as=frozenset({FailureKind.CONNECT, FailureKind.RESET}),
)
