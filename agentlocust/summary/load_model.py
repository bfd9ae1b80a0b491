"""The models of the Summary that tell of the load: phases, arrivals, the shape and its finding."""

from __future__ import annotations

from typing import Any

from agentlocust.summary.parts import Count, Part, Stats, Usd


class PhaseModel(Part):
    """A named part of the test, in seconds from its start; `users` or `rate` (/s) at its end."""

    name: str
    start_s: float
    end_s: float
    users: Count | None = None
    rate: float | None = None


class PhaseRow(Part):
    """What came of all the time that a phase lasted; each call belongs to the phase it started in."""

    name: str
    seconds: float
    calls: Count = 0
    failed: Count = 0
    cancelled: Count = 0
    runs: Count = 0
    throughput: float = 0.0
    ttft: Stats | None = None
    latency: Stats | None = None
    cost_usd: Usd = "0"


class Arrivals(Part):
    """Open-loop starts of a User class in a phase of so many seconds: due, begun, without a free user.

    `schedule_lag` is how late they began; `sketch` its whole distribution.
    """

    name: str
    phase: str
    seconds: float
    offered: Count
    started: Count
    late: Count
    schedule_lag: Stats | None = None
    sketch: list[int] = []


class ShapeModel(Part):
    """The load that was asked for and what it found out: sentences, and metrics for checks.

    `complete` is False for a test that ended before its shape did. `searches` when the shape
    drives the target beyond its limits on purpose: checks are then its `conditions`, not the test's.
    """

    name: str
    load: str
    settings: dict[str, Any] = {}
    complete: bool = False
    searches: bool = False
    conditions: list[str] = []
    sentences: list[str] = []
    figures: dict[str, Any] = {}
    metrics: dict[str, float | None] = {}
