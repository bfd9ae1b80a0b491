"""A row of the Ledger: counters and sketches of everything that shares one key, and how records are added to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentlocust.metrics import SCALE, Unit
from agentlocust.records import AgentRun, ConnectionTimes
from agentlocust.sketch import Sketch

_MAX_PACKED = 2**63  # msgpack's integers end here

_NS = SCALE[Unit.SECONDS]


def _packed(n: int) -> int | str:
    """An integer as msgpack can carry it: the sum of large values may outgrow 64 bits."""
    return n if -_MAX_PACKED <= n < _MAX_PACKED else str(n)


class Row:
    """Counters and sketches of everything that shares one key."""

    __slots__ = ("counts", "sketches")

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.sketches: dict[str, Sketch] = {}

    def count(self, name: str, n: int = 1) -> None:
        """Add `n` to a counter."""
        if n:
            self.counts[name] = self.counts.get(name, 0) + n

    def sketch(self, metric: str) -> Sketch:
        """The sketch of a metric, made on first use."""
        sketch = self.sketches.get(metric)
        if sketch is None:
            sketch = self.sketches[metric] = Sketch()
        return sketch

    def merge(self, other: Row) -> None:
        """Add all that `other` holds."""
        for name, n in other.counts.items():
            self.count(name, n)
        for metric, sketch in other.sketches.items():
            self.sketch(metric).merge(sketch)

    def encode(self) -> dict[str, Any]:
        """The row as ints and strings."""
        return {
            "c": {name: _packed(n) for name, n in self.counts.items()},
            "s": {metric: [_packed(n) for n in sketch.encode()] for metric, sketch in self.sketches.items()},
        }

    @classmethod
    def decode(cls, data: dict[str, Any]) -> Row:
        """The row that `encode` wrote."""
        row = cls()
        row.counts = {name: int(n) for name, n in data["c"].items()}
        row.sketches = {metric: Sketch.decode([int(n) for n in flat]) for metric, flat in data["s"].items()}
        return row


def add_connection(row: Row, times: ConnectionTimes) -> None:
    """How a successful call used its connection."""
    if times.reused:
        row.count("reused")
    else:
        row.count("connected")
        row.sketch("dns").add(round(times.dns_s * _NS))
        row.sketch("connect").add(round(times.connect_s * _NS))
        if times.tls_s:
            row.sketch("tls").add(round(times.tls_s * _NS))
    row.sketch("send").add(round(times.send_s * _NS))
    if times.first_byte_s is not None:
        row.sketch("first_byte").add(round(times.first_byte_s * _NS))


def count_within(row: Row, run: AgentRun, name: str, n: int = 1) -> None:
    """Count something of a run; of one inside another once more as `inside:`, as the other counts it too."""
    row.count(name, n)
    if run.inside:
        row.count(f"inside:{name}", n)


def count_run(row: Row, run: AgentRun) -> None:
    """How a run ended; the price of one inside another too, as the other's holds it."""
    count_within(row, run, f"end:{run.end_reason.value}")
    count_within(row, run, "injected", bool(run.faults))
    if run.cancelled:
        count_within(row, run, "cancelled")
    elif run.abandoned:
        count_within(row, run, "abandoned")
        count_within(row, run, "abandoned_tokens", run.usage.total)
    else:
        count_within(row, run, "calls")
        count_within(row, run, "failed", bool(run.error))
        count_within(row, run, "injected_failed", bool(run.error) and run.injected)
        if run.inside:
            row.count("inside:cost_picousd", run.cost_picousd or 0)


def outermost_calls(counts: Mapping[str, int | str]) -> int:
    """How much of a row's counters, also as they travel, completed or failed and is no run inside another."""
    return int(counts.get("calls", 0)) - int(counts.get("inside:calls", 0))


def add_figures(row: Row, run: AgentRun) -> None:
    """What a run that completed or failed came to: its times are a success's, all else is any run's."""
    if not run.error:
        row.sketch("run_latency").add(round(run.latency * _NS))
        for name, seconds in (
            ("run_ttfe", run.ttfe),
            ("run_ttft", run.ttft),
            ("run_ttfo", run.ttfo),
            ("run_first_tool", run.first_tool),
        ):
            if seconds is not None:
                row.sketch(name).add(round(seconds * _NS))
    if not run.proxied:
        row.sketch("run_tokens").add(run.usage.total)
    row.sketch("run_tool_calls").add(run.tool_calls)
    if not run.black_box:
        row.sketch("run_calls").add(run.calls)
        row.sketch("run_turns").add(run.turns)
        row.sketch("run_steps").add(run.steps_taken)
    if run.context_max:
        row.sketch("run_context").add(run.context_max)
    if run.context_growth is not None:
        row.sketch("context_growth").add(round(run.context_growth))
    if run.cost_picousd is None:
        row.count("unpriced", not run.proxied)
    elif not run.proxied:
        row.sketch("run_cost").add(run.cost_picousd)
    for score in run.scores:
        row.sketch("run_score").add(round(score * SCALE[Unit.NUMBER]))
    for kind in {finding.kind for finding in run.findings}:
        row.count(f"finding:{kind.value}")
    row.count("findings", len({finding.kind for finding in run.findings}))


def add_reported(row: Row, point: Row, run: AgentRun) -> None:
    """Tokens and cost that an agent told of itself: no call's record holds them."""
    usage = run.usage
    for bucket in ("input", "cache_read", "cache_write", "output", "reasoning"):
        row.count(bucket, getattr(usage, bucket))
    if usage.estimated:
        row.count("estimated", usage.total)
    point.count("output", usage.output)
    if run.cost_picousd is not None:
        row.count("reported_picousd", run.cost_picousd)
        point.count("cost_picousd", run.cost_picousd)
