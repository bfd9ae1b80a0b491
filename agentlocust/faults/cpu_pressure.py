"""The processor is busy with something else."""

from __future__ import annotations

from agentlocust.faults.fault import Draft, Fault, Group, Hit
from agentlocust.faults.keys import Key, cores


def _strike(hit: Hit, draft: Draft) -> bool:
    return False  # it strikes a process, not a call: see `plan.FaultPlan.local`


FAULT = Fault(
    "cpu_pressure",
    "so many processes burn CPU beside the agent",
    Group.LOCAL,
    (Key("cores", cores, "1", "how many"),),
    _strike,
)
