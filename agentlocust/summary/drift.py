"""What changed while the load stayed the same: drifts of what was measured, leaks of what was watched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from agentlocust.metrics import Unit
from agentlocust.summary import courses
from agentlocust.summary.model import Point, Summary
from agentlocust.trend import LEAST_POINTS, Trend, judge_leak, trend
from agentlocust.units import show_count, show_percent, show_seconds

CERTAIN = 0.01  # four courses are looked at: one test in 25 would have a false alarm among them, were size no matter
NOTICED = 0.05  # of the value at the start: a drift of less matters to nobody
NOTICED_RATE = 0.01  # of all calls: the same for the error rate, which may start at 0
_BLOCKS = 40  # of the error rate and tokens a call: a single second's are mostly 0 or a few calls'

_MEASURED: dict[str, tuple[str, Callable[[float], str]]] = {
    "latency": ("latency (p50)", show_seconds),
    "ttft": ("ttft (p50)", show_seconds),
    "error_rate": ("error rate", show_percent),
    "output_tokens": ("output tokens per call", show_count),
}
WATCHED = {"memory": Unit.BYTES, "fds": Unit.COUNT, "threads": Unit.COUNT}
SHOWN_AS = {"memory": "memory", "fds": "open file descriptors", "threads": "threads"}
_IN_BLOCKS = frozenset({"error_rate", "output_tokens"})
_MATTERS = frozenset({"rising", "leaking"})


def drifts(summary: Summary) -> list[dict[str, Any]]:
    """What drifted and what did not, one entry a course, after the warm-up and under steady users.

    Each has `metric`, `subject` ("" for what was measured, else the label of what was watched),
    `slope_per_h` with its 95% interval `low` to `high` (seconds, a ratio, tokens, bytes or things an
    hour), `growth` (a share of the start, None where that is 0), `p`, a `sentence` and a `verdict`:
    "rising", "falling", "steady", "not enough data", and of what was watched those of `judge_leak`;
    `matters` is True where `drift_lines` tells the sentence.
    """
    spans = courses.spans_of(summary)
    points = courses.points_within(summary, spans)
    steady = courses.steady_points(points)
    if len(steady) < len(points):
        spans = [(steady[0].t, steady[-1].t + summary.series_step_s)]
    measured = [_measured(metric, steady) for metric in _MEASURED if courses.course_of(steady, metric)[0]]
    labels = [*courses.subjects(summary, courses.TARGET), *courses.subjects(summary, courses.GENERATOR)]
    watched = [_watched(summary, label, figure, spans) for label in labels for figure in WATCHED]
    found = measured + [entry for entry in watched if entry is not None]
    return [entry | {"matters": _matters(entry)} for entry in found]


def drift_lines(summary: Summary) -> list[str]:
    """The sentences of the drifts that somebody should look into: leaks, and what rose; tokens also when they fell."""
    return [entry["sentence"] for entry in drifts(summary) if entry["matters"]]


def _matters(entry: dict[str, Any]) -> bool:
    return entry["verdict"] in _MATTERS or (entry["metric"] == "output_tokens" and entry["verdict"] == "falling")


def _measured(metric: str, points: Sequence[Point]) -> dict[str, Any]:
    course, weights = courses.course_of(points, metric)
    found = trend(course, weights, most=_BLOCKS) if metric in _IN_BLOCKS else trend(course, weights)
    name, shown = _MEASURED[metric]
    entry: dict[str, Any] = {"metric": metric, "subject": ""}
    if found is None:
        sentence = f"{name}: {len(course)} points in time, a trend needs {LEAST_POINTS}"
        return entry | _figures(None) | {"verdict": "not enough data", "sentence": sentence}
    verdict = _verdict(metric, found)
    return entry | _figures(found) | {"verdict": verdict, "sentence": _sentence(name, found, verdict, shown)}


def _verdict(metric: str, found: Trend) -> str:
    change = found.end - found.start
    least = NOTICED_RATE if metric == "error_rate" else NOTICED * abs(found.start)
    if found.p >= CERTAIN or not found.certain or abs(change) < least:
        return "steady"
    return "rising" if change > 0 else "falling"


def _sentence(name: str, found: Trend, verdict: str, shown: Callable[[float], str]) -> str:
    if verdict == "steady":
        return f"{name} was steady near {shown(found.end)}"
    word = "rose" if verdict == "rising" else "fell"
    hourly = f"{shown(found.slope * 3600)}/h, 95% sure of {shown(found.low * 3600)} to {shown(found.high * 3600)}"
    return f"{name} {word} from {shown(max(found.start, 0.0))} to {shown(max(found.end, 0.0))} ({hourly})"


def _figures(found: Trend | None) -> dict[str, Any]:
    if found is None:
        return dict.fromkeys(("slope_per_h", "low", "high", "growth", "p"))
    return {
        "slope_per_h": found.slope * 3600,
        "low": found.low * 3600,
        "high": found.high * 3600,
        "growth": found.growth,
        "p": found.p,
    }


def _watched(summary: Summary, label: str, figure: str, spans: courses.Spans) -> dict[str, Any] | None:
    course = courses.reading(summary, label, figure, spans, "low")
    if not course:
        return None
    leak = judge_leak(course, unit=WATCHED[figure], what=f"{label}: {SHOWN_AS[figure]}")
    return {"metric": figure, "subject": label} | asdict(leak)
