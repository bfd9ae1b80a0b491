"""Memory is short."""

from __future__ import annotations

from agentlocust.faults.fault import Draft, Fault, Group, Hit
from agentlocust.faults.keys import Key, size


def _strike(hit: Hit, draft: Draft) -> bool:
    return False  # it strikes a process, not a call: see `plan.FaultPlan.local`


FAULT = Fault(
    "memory_pressure", "so much memory is taken", Group.LOCAL, (Key("size", size, "256MB", "how much"),), _strike
)
