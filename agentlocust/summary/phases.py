"""What came of each phase of a test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agentlocust.ledger import Ledger
from agentlocust.metrics import SCALE, Kind, Unit
from agentlocust.rows import outermost_calls
from agentlocust.sketch import Sketch
from agentlocust.summary.load_model import PhaseRow
from agentlocust.summary.parts import Stats
from agentlocust.units import usd_text

if TYPE_CHECKING:
    from agentlocust.summary.build import Phase

_NS = SCALE[Unit.SECONDS]


def phase_rows(ledger: Ledger, phases: Sequence[Phase]) -> list[PhaseRow]:
    """A row for each name of a phase, in the order they came; all their calls are all of the test's."""
    seconds: dict[str, float] = {}
    for phase in phases:
        seconds[phase.name] = seconds.get(phase.name, 0.0) + phase.end_s - phase.start_s
    for kind, _, _, name, _ in ledger.rows:
        if kind in (Kind.LLM, Kind.AGENT):
            seconds.setdefault(name, 0.0)
    return [_row(ledger, name, lasted) for name, lasted in seconds.items()]


def _row(ledger: Ledger, name: str, seconds: float) -> PhaseRow:
    sums = dict.fromkeys(("calls", "failed", "cancelled", "cost_picousd"), 0)
    latency, ttft = Sketch(), Sketch()
    for key, row in ledger.select(Kind.LLM):
        if key[3] == name:
            for counter in sums:
                sums[counter] += row.counts.get(counter, 0)
            for metric, sketch in (("latency", latency), ("ttft", ttft)):
                if metric in row.sketches:
                    sketch.merge(row.sketches[metric])
    return PhaseRow(
        name=name,
        seconds=seconds,
        calls=sums["calls"],
        failed=sums["failed"],
        cancelled=sums["cancelled"],
        runs=sum(outermost_calls(row.counts) for key, row in ledger.select(Kind.AGENT) if key[3] == name),
        throughput=(sums["calls"] - sums["failed"]) / seconds if seconds else 0.0,
        ttft=Stats.of(ttft, _NS),
        latency=Stats.of(latency, _NS),
        cost_usd=usd_text(sums["cost_picousd"]),
    )
