"""The test second by second."""

from __future__ import annotations

from collections.abc import Mapping

from agentlocust import rows as ledger_rows
from agentlocust.ledger import Ledger
from agentlocust.metrics import SCALE, Unit
from agentlocust.sketch import Sketch
from agentlocust.summary.model import Point
from agentlocust.units import usd_text

_NS = SCALE[Unit.SECONDS]


def series_points(ledger: Ledger, users_at: Mapping[int, int], *, since_s: float = 0.0) -> list[Point]:
    """Each step of the series from `since_s` on; a call counts in the second it ended."""
    users_by_step: dict[int, int] = {}
    for second, users in sorted(users_at.items()):
        users_by_step[second // ledger.width] = users
    points = []
    for step in sorted(ledger.seconds.keys() | users_by_step.keys()):
        if (step + 1) * ledger.width <= since_s:
            continue
        row = ledger.seconds.get(step, ledger_rows.Row())
        ttft, latency = row.sketches.get("ttft"), row.sketches.get("latency")
        points.append(
            Point(
                t=step * ledger.width,
                users=users_by_step.get(step),
                calls=row.counts.get("calls", 0),
                failed=row.counts.get("failed", 0),
                injected_failed=row.counts.get("injected_failed", 0),
                runs=row.counts.get("runs", 0),
                runs_failed=row.counts.get("runs_failed", 0),
                output_tokens=row.counts.get("output", 0),
                started=row.counts.get("started"),
                cost_usd=usd_text(row.counts.get("cost_picousd", 0)),
                ttft_p50=_percentile_s(ttft, 50),
                ttft_p95=_percentile_s(ttft, 95),
                tpot_p50=_percentile_s(row.sketches.get("tpot"), 50),
                latency_p50=_percentile_s(latency, 50),
                latency_p95=_percentile_s(latency, 95),
            )
        )
    return points


def _percentile_s(sketch: Sketch | None, p: float) -> float | None:
    return sketch.percentile(p) / _NS if sketch is not None else None
