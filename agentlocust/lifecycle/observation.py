"""What a stage of the load came to, read from the test's ledger while it runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from agentlocust.failures import FailureKind
from agentlocust.health import Grade, Health
from agentlocust.ledger import Ledger
from agentlocust.metrics import Kind
from agentlocust.shapes.stage import Seen, Stage
from agentlocust.sketch import Sketch
from agentlocust.sla import Check, evaluate
from agentlocust.sla.expression import parse_check
from agentlocust.sla.load import DEFAULT_ERROR_RATE
from agentlocust.summary import Phase, Summary, TestFacts, build_summary
from agentlocust.summary.series import series_points

if TYPE_CHECKING:
    from agentlocust.lifecycle.load_test import LoadTest

GONE_S = 3  # seconds in a row without a reply, all refused, after which a target counts as gone
_UNREACHED = (FailureKind.CONNECT, FailureKind.RESET)
SATURATED_SHARE = 0.2


def observe(stage: Stage, test: LoadTest, start_s: float) -> Seen:
    """What is known of the calls labelled with the stage's phase; `start_s` is when the stage began."""
    seconds = max(time.monotonic() - test.started - start_s, 1e-9)
    since_s = start_s - (test.measured_from - test.started)  # what is measured counts from the last reset
    part = _of_phase(test.ledger, stage.phase)
    calls = failed = output_tokens = arrivals = late = 0
    failures: dict[str, int] = {}
    latency, ttft, itl = Sketch(), Sketch(), Sketch()
    for _, row in part.select(Kind.LLM):
        calls += row.counts.get("calls", 0)
        failed += row.counts.get("failed", 0)
        output_tokens += row.counts.get("output", 0)
        for name, n in row.counts.items():
            if name.startswith("failure:"):
                kind = name.removeprefix("failure:")
                failures[kind] = failures.get(kind, 0) + n
        for name, sketch in (("latency", latency), ("ttft", ttft), ("itl", itl)):
            if name in row.sketches:
                sketch.merge(row.sketches[name])
    for _, row in part.select(Kind.ARRIVAL):
        offered, started = row.counts.get("offered", 0), row.counts.get("started", 0)
        arrivals += offered
        late += row.counts.get("late", 0) + max(offered - started, 0)
    points = [
        point.model_copy(update={"t": point.t - since_s}) for point in series_points(test.ledger, {}, since_s=since_s)
    ]
    return Seen(
        stage,
        seconds,
        calls,
        failed,
        failures,
        latency,
        ttft,
        itl,
        output_tokens,
        checks=evaluate(conditions(test), _summary(part, stage.phase, seconds)),
        points=points,
        target_gone=_target_gone(test, failures, start_s, since_s),
        saturated=_saturated(test.health, since_s, since_s + seconds),
        leaks=test.watching.leaks(_level_since(test, stage.end)) if test.watching is not None else "",
        arrivals=arrivals,
        begun=sum(row.counts.get("started", 0) for _, row in test.ledger.select(Kind.ARRIVAL)),
        arrivals_late=late,
    )


def conditions(test: LoadTest) -> list[Check]:
    """The checks that a phase can be held to by itself; errors are looked at in any case."""
    checks = [check for check in test.settings.checks if is_condition(check)]
    return checks or [parse_check(DEFAULT_ERROR_RATE, default=True)]


def is_condition(check: Check) -> bool:
    """True for a check on calls, runs or tools that names no phase."""
    kinds = (Kind.LLM, Kind.AGENT, Kind.TOOL, Kind.METRIC)
    return check.metric.kind in kinds and "phase" not in dict(check.filters)


def _of_phase(ledger: Ledger, phase: str) -> Ledger:
    part = Ledger()
    part.rows = {key: row for key, row in ledger.rows.items() if key[3] == phase}
    return part


def _summary(part: Ledger, phase: str, seconds: float) -> Summary:
    facts = TestFacts("", "", "", seconds, "", 0, phases=[Phase(phase, 0.0, seconds)])
    return build_summary(part, facts)


def _target_gone(test: LoadTest, failures: dict[str, int], start_s: float, since_s: float) -> str:
    events = test.watching.events if test.watching is not None else ()
    died = [event for event in events if event["what"] == "died" and event["t"] >= start_s]
    if died:
        return f"{died[0]['label']} (pid {died[0]['pid']}) died {died[0]['t'] - start_s:.0f} s into it"
    if not any(failures.get(kind) for kind in _UNREACHED):
        return ""
    points = series_points(test.ledger, {}, since_s=since_s)
    if len(points) < GONE_S or any(point.failed < point.calls or not point.calls for point in points[-GONE_S:]):
        return ""
    return "it refused or dropped every connection"


def _level_since(test: LoadTest, level: float) -> float:
    """Since when the load is at this level, in seconds of the test: what grows with the load is no leak."""
    since = test.spans[-1].start_s
    for span in reversed(test.spans):
        if span.level != level:
            break
        since = span.start_s
    return since


def _saturated(health: Health, start_s: float, end_s: float) -> bool:
    grades = [second.grade for second in health.by_second.values() if start_s <= second.second < end_s]
    bad = sum(grade is Grade.SATURATED for grade in grades)
    return bad >= 2 and bad >= SATURATED_SHARE * len(grades)
