"""The server acts, and its reply is lost on the way."""

from __future__ import annotations

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Draft, Fault, Group, Hit


def _strike(hit: Hit, draft: Draft) -> bool:
    if draft.answered:
        return False
    draft.lose_reply = True
    return True


FAULT = Fault(
    "packet_loss",
    "the server gets the request and acts on it; its reply is lost",
    Group.NETWORK,
    (),
    _strike,
    fails_as=frozenset({FailureKind.RESET}),
)
