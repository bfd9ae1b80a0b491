"""Builds the Summary from a Ledger and the facts that no ledger holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from agentlocust import rows as ledger_rows
from agentlocust.health import Grade, Health
from agentlocust.ledger import Key, Ledger
from agentlocust.metrics import CATALOGUE, SCALE, Kind, Unit
from agentlocust.records import MAIN_PHASE
from agentlocust.summary.arrivals import arrivals
from agentlocust.summary.findings import findings
from agentlocust.summary.generator import build_generator, grade_points
from agentlocust.summary.load_model import PhaseModel, ShapeModel
from agentlocust.summary.model import FailureSample, OwnMetric, Row, Summary, TestInfo, Totals, Validity
from agentlocust.summary.outermost import outermost
from agentlocust.summary.parts import Stats, Tokens
from agentlocust.summary.phases import phase_rows
from agentlocust.summary.resilience import resilience
from agentlocust.summary.series import series_points
from agentlocust.units import picousd_of, usd_text
from agentlocust.windows import Windows

CENSORED_SHARE = 0.01  # beyond it percentiles miss the slowest calls noticeably

ValidityStatus = Literal["valid", "strained", "saturated", "degraded"]

_LATENCY_OF = {
    Kind.LLM: "latency",
    Kind.AGENT: "run_latency",
    Kind.TOOL: "tool_latency",
    Kind.JUDGE: "judge_latency",
}
_OTHER_STATS = (
    "failed_latency",
    "dns",
    "connect",
    "tls",
    "send",
    "first_byte",
    "ttft",
    "ttfo",
    "itl",
    "tpot",
    "call_cost",
    "run_ttfe",
    "run_ttft",
    "run_ttfo",
    "run_first_tool",
    "run_cost",
    "run_tokens",
    "run_steps",
    "run_calls",
    "run_turns",
    "run_tool_calls",
    "run_context",
    "context_growth",
    "run_score",
)
_NS = SCALE[Unit.SECONDS]


@dataclass(frozen=True, slots=True)
class Phase:
    """A named part of the test, in seconds from its start; `users` or `rate` (/s) at its end, if known."""

    name: str
    start_s: float
    end_s: float
    users: int | None = None
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class TestFacts:
    """What is known of a test beside its measurements.

    `started` is ISO 8601 in UTC; `signal` is the number of the signal that ended the test, or 0;
    `stop_reason` is "" for a planned end, `budget` when the budget guard stopped it, or free text;
    `users_at` maps a second of the test to its users. `validity` is the worst that was seen, with
    `validity_reasons`; a lost worker makes it `degraded` and cut calls `strained` by themselves.
    Without `phases` the whole test is one.
    """

    __test__ = False  # not a test of pytest's

    id: str
    locustfile: str
    started: str
    duration_s: float
    host: str
    seed: int
    workers: int = 0
    users: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    stop_reason: str = ""
    signal: int = 0
    budget_picousd: int | None = None
    validity: ValidityStatus = "valid"
    validity_reasons: Sequence[str] = ()
    workers_lost: Sequence[str] = ()
    health: Health = field(default_factory=Health)
    saturated_allowed: bool = False
    phases: Sequence[Phase] = ()
    shape: ShapeModel | None = None
    warnings: Sequence[str] = ()
    users_at: Mapping[int, int] = field(default_factory=dict)
    monitor: Mapping[str, Any] = field(default_factory=dict)
    faults: Mapping[str, Any] = field(default_factory=dict)
    windows: Windows = field(default_factory=lambda: Windows(()))
    capacity: Mapping[str, Any] = field(default_factory=dict)
    budget: Mapping[str, Any] = field(default_factory=dict)


def build_summary(ledger: Ledger, facts: TestFacts) -> Summary:
    """The Summary of a test, without a verdict. Neither argument is changed or kept."""
    keys = sorted(key for key in ledger.rows if key[0] not in (Kind.METRIC, Kind.ARRIVAL, Kind.WINDOW))
    rows = [_row(key, ledger.rows[key]) for key in keys]
    totals = _totals(rows, ledger)
    series = series_points(ledger, facts.users_at)
    grade_points(series, facts.health, ledger.width)
    phases = facts.phases or [Phase(MAIN_PHASE, 0.0, facts.duration_s, facts.users)]
    by_phase = phase_rows(ledger, phases)
    return Summary(
        test=TestInfo(
            id=facts.id,
            locustfile=facts.locustfile,
            started=facts.started,
            duration_s=facts.duration_s,
            host=facts.host,
            workers=facts.workers,
            users=facts.users,
            seed=facts.seed,
            settings=dict(facts.settings),
            versions=dict(facts.versions),
            stop_reason=facts.stop_reason,
            signal=facts.signal,
            budget_usd=None if facts.budget_picousd is None else usd_text(facts.budget_picousd),
        ),
        validity=_validity(facts, totals),
        totals=totals,
        rows=rows,
        metrics=_own_metrics(ledger),
        findings=findings(rows, ledger),
        phases=[PhaseModel(name=p.name, start_s=p.start_s, end_s=p.end_s, users=p.users, rate=p.rate) for p in phases],
        phase_rows=by_phase,
        shape=facts.shape,
        arrivals=arrivals(ledger, by_phase),
        series_step_s=ledger.width,
        series=series,
        failures=_failures(ledger),
        warnings=list(facts.warnings),
        generator=build_generator(facts.health),
        monitor=dict(facts.monitor),
        faults=dict(facts.faults),
        resilience=resilience(ledger, facts.windows, facts.duration_s),
        capacity=dict(facts.capacity),
        budget=dict(facts.budget),
    )


def _row(key: Key, row: ledger_rows.Row) -> Row:
    kind, name, model, phase, labels = key
    counts, sketches = row.counts, row.sketches
    latency = _LATENCY_OF[Kind(kind)]
    stats = {metric: Stats.of(sketches.get(metric), SCALE[CATALOGUE[metric].unit]) for metric in _OTHER_STATS}
    itl_is: Literal["token gap", "chunk gap"] = "chunk gap" if counts.get("bundled") else "token gap"
    return Row(
        kind=Kind(kind).value,
        name=name,
        model=model,
        phase=phase,
        labels=dict(labels),
        count=counts.get("calls", 0),
        failed=counts.get("failed", 0),
        cancelled=counts.get("cancelled", 0),
        attempts=counts.get("attempts", 0),
        judged=counts.get("judged", 0),
        good=counts.get("good", 0),
        unpriced=counts.get("unpriced", 0),
        abandoned=counts.get("abandoned", 0),
        abandoned_tokens=counts.get("abandoned_tokens", 0),
        injected=counts.get("injected", 0),
        injected_failed=counts.get("injected_failed", 0),
        injected_failures=_prefixed(counts, "injected:"),
        duplicates=counts.get("duplicates", 0),
        failures=_prefixed(counts, "failure:"),
        statuses=_prefixed(counts, "status:"),
        ends=_prefixed(counts, "end:"),
        findings=_prefixed(counts, "finding:"),
        hand_offs=_prefixed(counts, "hand_off:"),
        inside=_prefixed(counts, "inside:"),
        connections={how: counts[key] for how, key in (("new", "connected"), ("reused", "reused")) if key in counts},
        latency=Stats.of(sketches.get(latency), _NS),
        itl_is=itl_is if stats["itl"] else None,
        tokens=Tokens(**{bucket: counts.get(bucket, 0) for bucket in Tokens.model_fields}),
        cost_usd=usd_text(_cost(kind, row)),
        sketches={metric: sketch.encode() for metric, sketch in sorted(sketches.items())},
        **stats,
    )


def _cost(kind: str, row: ledger_rows.Row) -> int:
    if kind == Kind.AGENT:
        return row.sketches["run_cost"].sum if "run_cost" in row.sketches else 0
    return row.counts.get("cost_picousd", 0)


def _prefixed(counts: Mapping[str, int], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): n for name, n in sorted(counts.items()) if name.startswith(prefix)}


def _totals(rows: Sequence[Row], ledger: Ledger) -> Totals:
    calls, runs, tools, judges = (
        [row for row in rows if row.kind == kind] for kind in (Kind.LLM, Kind.AGENT, Kind.TOOL, Kind.JUDGE)
    )
    runs_inside = sum(row.inside.get("calls", 0) for row in runs)
    runs = [outermost(row) for row in runs]
    reported = sum(row.counts.get("reported_picousd", 0) for _, row in ledger.select(Kind.AGENT))
    cancelled = sum(row.cancelled for row in calls)
    started = sum(row.count for row in calls) + cancelled
    return Totals(
        calls=sum(row.count for row in calls),
        failed=sum(row.failed for row in calls),
        cancelled=cancelled,
        attempts=sum(row.attempts for row in calls),
        runs=sum(row.count for row in runs),
        runs_failed=sum(row.failed for row in runs),
        runs_cancelled=sum(row.cancelled for row in runs),
        runs_abandoned=sum(row.abandoned for row in runs),
        runs_inside=runs_inside,
        sessions=ledger.counts.get("sessions", 0),
        session_turns=ledger.counts.get("session_turns", 0),
        sessions_failed=ledger.counts.get("sessions_failed", 0),
        abandoned_tokens=sum(row.abandoned_tokens for row in runs),
        hand_offs=sum(sum(row.hand_offs.values()) for row in runs),
        findings=sum(sum(row.findings.values()) for row in runs),
        tool_calls=sum(row.count for row in tools),
        tools_failed=sum(row.failed for row in tools),
        task_errors=ledger.counts.get("task_errors", 0),
        other_requests=ledger.counts.get("other_requests", 0),
        other_failed=ledger.counts.get("other_failed", 0),
        tokens=Tokens(
            # Rows of runs hold what agents told of themselves, and nothing that a call's row holds.
            **{bucket: sum(getattr(row.tokens, bucket) for row in (*calls, *runs)) for bucket in Tokens.model_fields}
        ),
        cost_usd=usd_text(sum(picousd_of(row.cost_usd) for row in calls) + reported),
        unpriced_calls=sum(row.unpriced for row in calls),
        wasted_tokens=ledger.counts.get("wasted_tokens", 0),
        wasted_cost_usd=usd_text(ledger.counts.get("wasted_picousd", 0)),
        unpriced_models=sorted({row.model for row in calls if row.unpriced}),
        injected=sum(row.injected for row in calls),
        injected_failed=sum(row.injected_failed for row in calls),
        runs_injected=sum(row.injected for row in runs),
        runs_injected_failed=sum(row.injected_failed for row in runs),
        tools_injected=sum(row.injected for row in tools),
        tools_injected_failed=sum(row.injected_failed for row in tools),
        judge_calls=sum(row.count for row in judges),
        judge_failed=sum(row.failed for row in judges),
        judge_cost_usd=usd_text(sum(picousd_of(row.cost_usd) for row in judges)),
        censored=cancelled > CENSORED_SHARE * started,
    )


def _validity(facts: TestFacts, totals: Totals) -> Validity:
    status, reasons = facts.validity, list(facts.validity_reasons)
    health = facts.health
    if health.grade is not Grade.VALID:
        reasons.append(health.reason())
        if status == "valid" or health.grade is Grade.SATURATED:
            status = "saturated" if health.grade is Grade.SATURATED else "strained"
    if facts.validity == "degraded":
        status = "degraded"
    if facts.workers_lost:
        status = "degraded"
        names = ", ".join(facts.workers_lost[:3]) + (", …" if len(facts.workers_lost) > 3 else "")
        count = len(facts.workers_lost)
        reasons.append(f"{count} worker{'' if count == 1 else 's'} lost: {names}")
    if totals.censored:
        status = "strained" if status == "valid" else status
        reasons.append(f"{totals.cancelled:,} calls were cut by the end of the test: percentiles are censored")
    return Validity(
        status=status,
        reasons=reasons,
        lag_p99_s=health.lag.percentile(99) / _NS if health.lag.count else None,
        workers_lost=list(facts.workers_lost),
        saturated_allowed=facts.saturated_allowed,
    )


def _own_metrics(ledger: Ledger) -> list[OwnMetric]:
    found = []
    for (_, name, _, phase, labels), row in sorted(ledger.select(Kind.METRIC), key=lambda item: item[0]):
        for metric, sketch in sorted(row.sketches.items()):
            stats = Stats.of(sketch, SCALE[Unit.NUMBER])
            if stats is not None:
                own = OwnMetric(
                    metric=metric, name=name, phase=phase, labels=dict(labels), stats=stats, sketch=sketch.encode()
                )
                found.append(own)
    return found


def _failures(ledger: Ledger) -> list[FailureSample]:
    samples = [
        FailureSample(kind=kind, name=name, status=status, text=text, times=times)
        for (kind, name, status, text), times in ledger.samples.items()
    ]
    return sorted(samples, key=lambda sample: (-sample.times, sample.kind, sample.name, sample.status, sample.text))
