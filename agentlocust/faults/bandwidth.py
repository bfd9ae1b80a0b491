"""The line is thin: a reply comes in at so many bytes a second."""

from __future__ import annotations

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Draft, Fault, Group, Hit
from agentlocust.faults.keys import Key, size


def _strike(hit: Hit, draft: Draft) -> bool:
    rate = hit.values["rate"]
    draft.bytes_per_s = min(draft.bytes_per_s, rate) if draft.bytes_per_s else rate
    return True


FAULT = Fault(
    "bandwidth",
    "the reply's body comes in at so many bytes a second",
    Group.NETWORK,
    (Key("rate", size, "10KB", "bytes a second"),),
    _strike,
    fails_as=frozenset({FailureKind.TIMEOUT}),
)
