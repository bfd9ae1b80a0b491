"""The server's name is not found."""

from __future__ import annotations

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Draft, Fault, Group, Hit
from agentlocust.faults.injection import Breakage


def _strike(hit: Hit, draft: Draft) -> bool:
    if draft.answered:
        return False
    draft.breakage = Breakage.DNS
    return True


FAULT = Fault(
    "dns_failure",
    "the name does not resolve",
    Group.NETWORK,
    (),
    _strike,
    fails_as=frozenset({FailureKind.DNS, FailureKind.CONNECT, FailureKind.RESET}),
)
