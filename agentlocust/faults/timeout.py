"""Nothing ever comes back, or not within a limit."""

from __future__ import annotations

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Draft, Fault, Group, Hit
from agentlocust.faults.injection import Breakage
from agentlocust.faults.keys import Key, seconds


def _strike(hit: Hit, draft: Draft) -> bool:
    limit = hit.values["limit"]
    if limit:
        draft.limit_s = limit if draft.limit_s is None else min(draft.limit_s, limit)
        return True
    if draft.answered:
        return False
    draft.breakage = Breakage.BLACK_HOLE
    return True


FAULT = Fault(
    "timeout",
    "a black hole: no reply until the caller gives up; with a limit the attempt times out after it, answered or not",
    Group.NETWORK,
    (Key("limit", seconds, "0s", "the attempt's time; 0s leaves it to the caller"),),
    _strike,
    fails_as=frozenset({FailureKind.TIMEOUT, FailureKind.RESET, FailureKind.TRUNCATED_STREAM}),
)
