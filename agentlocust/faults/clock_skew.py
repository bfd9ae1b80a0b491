"""The agent's clock has jumped."""

from __future__ import annotations

from agentlocust.faults.fault import Draft, Fault, Group, Hit
from agentlocust.faults.keys import Key, jump


def _strike(hit: Hit, draft: Draft) -> bool:
    return False  # it strikes a process, not a call: see `plan.FaultPlan.local`


FAULT = Fault(
    "clock_skew",
    "the clock that the agent sees has jumped",
    Group.LOCAL,
    (Key("jump", jump, "5m", "how far; negative is back"),),
    _strike,
)
