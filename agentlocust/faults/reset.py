"""The connection dies as soon as the request is out."""

from __future__ import annotations

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Draft, Fault, Group, Hit
from agentlocust.faults.injection import Breakage


def _strike(hit: Hit, draft: Draft) -> bool:
    if draft.answered:
        return False
    draft.breakage = Breakage.RESET
    return True


FAULT = Fault(
    "reset",
    "the connection is reset before a reply",
    Group.NETWORK,
    (),
    _strike,
    fails_as=frozenset({FailureKind.RESET, FailureKind.CONNECT}),
)
