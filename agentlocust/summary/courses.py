"""The courses over time that a Summary holds: of its series, and of what the monitor read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from math import isfinite
from statistics import median
from typing import Any, Literal

from agentlocust.records import WARMUP_PHASE
from agentlocust.summary.model import Point, Summary

Spans = Sequence[tuple[float, float]]
Course = list[tuple[float, float]]
Extreme = Literal["low", "high"]

TARGET, GENERATOR, MACHINE = "target", "generator", "machine"  # what a subject's label begins with

_READ: dict[str, Callable[[Point], float | None]] = {
    "latency": lambda point: point.latency_p50,
    "ttft": lambda point: point.ttft_p50,
    "tpot": lambda point: point.tpot_p50,
    "error_rate": lambda point: point.failed / point.calls if point.calls else None,
    "output_tokens": lambda point: (
        point.output_tokens / (point.calls - point.failed) if point.calls > point.failed else None
    ),
}


def spans_of(summary: Summary, phase: str | None = None) -> Spans:
    """When a phase lasted, in seconds of the test; without one, all but the warm-up."""
    if phase is None and not summary.phases:
        return [(0.0, summary.test.duration_s)]
    return [
        (part.start_s, part.end_s)
        for part in summary.phases
        if (part.name == phase if phase is not None else part.name != WARMUP_PHASE)
    ]


def points_within(summary: Summary, spans: Spans) -> list[Point]:
    """The whole steps of the series that lie within the spans."""
    step = summary.series_step_s
    # A step that the end of a phase cuts is left out: half of its calls are another's.
    return [p for p in summary.series if any(begin <= p.t and p.t + step <= end + 0.5 * step for begin, end in spans)]


def course_of(points: Iterable[Point], metric: str) -> tuple[Course, list[float]]:
    """The course of `latency`, `ttft`, `tpot` (each step's p50), `error_rate` or `output_tokens` (of one call).

    With the weight of each step: the calls it stands for.
    """
    read = _READ[metric]
    course: Course = []
    weights = []
    for point in points:
        value = read(point)
        if value is not None:
            course.append((point.t, value))
            weights.append(float(point.calls))
    return course, weights


def subjects(summary: Summary, kind: str) -> list[str]:
    """The labels of all that was watched of one kind: `target`, `generator` or `machine`."""
    found = summary.monitor.get("subjects")
    return sorted(label for label in found if label.split(":")[0] == kind) if isinstance(found, Mapping) else []


def reading(summary: Summary, label: str, figure: str, spans: Spans, extreme: Extreme | None = None) -> Course:
    """The course of one figure of one subject, with `extreme` the least or greatest reading of each step."""
    series = _series(summary, label, figure)
    found: Any = series.get("points")
    pairs = [(float(t), float(value)) for t, value in found] if isinstance(found, Sequence) else []
    extremes: Any = series.get(extreme) if extreme else None
    if isinstance(extremes, Sequence) and len(extremes) == len(pairs):
        pairs = [(t, float(value)) for (t, _), value in zip(pairs, extremes, strict=True)]
    return [(t, value) for t, value in pairs if isfinite(value) and any(begin <= t <= end for begin, end in spans)]


def together(courses: Sequence[Course], how: Callable[[Iterable[float]], float]) -> Course:
    """Several courses as one: at each moment `how` of those that last then, each by its latest reading."""
    courses = [course for course in courses if course]
    if len(courses) < 2:
        return list(courses[0]) if courses else []
    width = max(median([after - before for (before, _), (after, _) in pairwise(course)] or [1.0]) for course in courses)
    width = max(width, 0.1)
    latest: dict[int, dict[int, float]] = {}
    for number, course in enumerate(courses):
        by_step = {int(t / width): value for t, value in course}
        value = 0.0
        for step in range(min(by_step), max(by_step) + 1):
            value = by_step.get(step, value)
            latest.setdefault(step, {})[number] = value
    return [((step + 0.5) * width, how(values.values())) for step, values in sorted(latest.items())]


def steady_points(points: Sequence[Point]) -> list[Point]:
    """The longest stretch of steps in which users changed by at most a tenth: where load explains no drift."""
    best: list[Point] = []
    stretch: list[Point] = []
    low = high = 0
    for point in points:
        users = point.users if point.users is not None else high
        low, high = min(low, users), max(high, users)
        if not stretch or high - low > max(1, 0.1 * high):
            stretch, low, high = [], users, users
        stretch.append(point)
        best = max(best, stretch, key=len)
    return best


def _series(summary: Summary, label: str, figure: str) -> Mapping[str, Any]:
    found = summary.monitor.get("subjects")
    subject = found.get(label) if isinstance(found, Mapping) else None
    series = subject.get(figure) if isinstance(subject, Mapping) else None
    return series if isinstance(series, Mapping) else {}
