"""Open-loop arrivals: what was to begin beside what did."""

from __future__ import annotations

from collections.abc import Sequence

from agentlocust.ledger import Ledger
from agentlocust.metrics import SCALE, Kind, Unit
from agentlocust.summary.load_model import Arrivals, PhaseRow
from agentlocust.summary.parts import Stats


def arrivals(ledger: Ledger, phases: Sequence[PhaseRow]) -> list[Arrivals]:
    """Each User class's arrivals in each phase; empty in the closed loop."""
    seconds = {phase.name: phase.seconds for phase in phases}
    found = []
    for (_, name, _, phase, _), row in sorted(ledger.select(Kind.ARRIVAL), key=lambda item: item[0]):
        lag = row.sketches.get("schedule_lag")
        offered, started = row.counts.get("offered", 0), row.counts.get("started", 0)
        found.append(
            Arrivals(
                name=name,
                phase=phase,
                seconds=seconds.get(phase, 0.0),
                offered=offered,
                started=started,
                late=row.counts.get("late", 0) + max(offered - started, 0),
                schedule_lag=Stats.of(lag, SCALE[Unit.SECONDS]),
                sketch=lag.encode() if lag is not None else [],
            )
        )
    return found
