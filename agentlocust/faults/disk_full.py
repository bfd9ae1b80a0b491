"""The disk is full: writing files and log files fails."""

from __future__ import annotations

from agentlocust.faults.fault import Draft, Fault, Group, Hit


def _strike(hit: Hit, draft: Draft) -> bool:
    return False  # it strikes a process, not a call: see `plan.FaultPlan.local`


FAULT = Fault("disk_full", "writing files and log files fails with ENOSPC", Group.LOCAL, (), _strike)
