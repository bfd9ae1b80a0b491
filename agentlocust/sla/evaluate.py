"""Evaluates checks on a Summary, and on nothing else: also on one read from a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil

from agentlocust.metrics import SCALE, Kind, Shape, Unit
from agentlocust.records import WARMUP_PHASE
from agentlocust.sketch import Sketch
from agentlocust.sla.expression import Check, parse_check
from agentlocust.sla.load import DEFAULT_ERROR_RATE
from agentlocust.summary import courses
from agentlocust.summary.load_model import Arrivals
from agentlocust.summary.model import CheckResult, OwnMetric, Row, Summary
from agentlocust.summary.outermost import outermost
from agentlocust.trend import LEAST_POINTS, trend
from agentlocust.units import PICOUSD, picousd_of, show_percent

_COUNTERS: dict[str, Callable[[Row], int]] = {
    "calls": lambda row: row.count,
    "failed": lambda row: row.failed,
    "cancelled": lambda row: row.cancelled,
    "attempts": lambda row: row.attempts,
    "cost": lambda row: picousd_of(row.cost_usd),
    "unpriced_calls": lambda row: row.unpriced,
    "input_tokens": lambda row: row.tokens.input,
    "cache_read_tokens": lambda row: row.tokens.cache_read,
    "cache_write_tokens": lambda row: row.tokens.cache_write,
    "output_tokens": lambda row: row.tokens.output,
    "reasoning_tokens": lambda row: row.tokens.reasoning,
    "estimated_tokens": lambda row: row.tokens.estimated,
    "tokens": lambda row: row.tokens.input + row.tokens.output,
    "tool_calls": lambda row: row.count,
    "tools_failed": lambda row: row.failed,
    "runs": lambda row: row.count,
    "runs_failed": lambda row: row.failed,
    "runs_abandoned": lambda row: row.abandoned,
    "runs_inside": lambda row: row.inside.get("calls", 0),
    "abandoned_tokens": lambda row: row.abandoned_tokens,
    "duplicates": lambda row: row.duplicates,
    "hand_offs": lambda row: sum(row.hand_offs.values()),
    "findings": lambda row: sum(row.findings.values()),
    "judge_calls": lambda row: row.count,
    "judge_failed": lambda row: row.failed,
    "judge_cost": lambda row: picousd_of(row.cost_usd),
}
# The two sums of which a ratio is made.
_RATIOS: dict[str, tuple[Callable[[Row], float], Callable[[Row], float]]] = {
    # What a fault plan broke is no failure of the target's.
    **dict.fromkeys(
        ("error_rate", "run_error_rate", "tool_error_rate"),
        (lambda row: row.failed - row.injected_failed, lambda row: row.count),
    ),
    **dict.fromkeys(
        ("availability", "run_availability", "tool_availability"),
        (lambda row: row.count - row.failed, lambda row: row.count),
    ),
    "amplification": (lambda row: row.attempts, lambda row: row.count + row.cancelled),
    "cached_share": (lambda row: row.tokens.cache_read, lambda row: row.tokens.input),
    "cost_per_success": (lambda row: picousd_of(row.cost_usd) / PICOUSD, lambda row: row.count - row.failed),
}
_ARRIVALS: dict[str, Callable[[Arrivals], int]] = {
    "arrivals": lambda row: row.offered,
    "arrivals_late": lambda row: row.late,
}
# What a finding's check says when the shape looked in vain, and which shape looks for it.
_NOT_FOUND = {
    "recovery_time": ("not recovered", "spike"),
    "capacity": ("no load met the SLA", "capacity"),
    "capacity_rate": ("no load met the SLA", "capacity"),
    "breaking_point": ("it did not break", "stress"),
    "breaking_rate": ("it did not break", "stress"),
}
_COSTS = frozenset({"cost", "call_cost", "run_cost", "cost_per_success", "judge_cost"})
# Tried in turn by the default check on errors: a test of agents alone has no calls to look at.
_ERROR_RATES = (
    (Kind.LLM, DEFAULT_ERROR_RATE),
    (Kind.AGENT, "run_error_rate < 1%"),
    (Kind.TOOL, "tool_error_rate < 1%"),
)


@dataclass(frozen=True, slots=True)
class _Observed:
    """What a check saw: a number in base units (None without one) and from how many samples."""

    number: float | None
    samples: int
    reason: str = ""


def evaluate(checks: Iterable[Check], summary: Summary) -> list[CheckResult]:
    """The result of each check, in order. Warm-up counts only where a check names its phase.

    A check fails that has no samples, fewer than its `min_samples`, or that adds up costs of
    which some are unknown.
    """
    return [_result(_suited(check, summary), summary) for check in checks]


def due(checks: Iterable[Check], summary: Summary, elapsed: float) -> list[CheckResult]:
    """The aborting checks that are violated now, `elapsed` seconds into the test.

    Without enough samples nothing is known yet, so a test is not ended for that.
    """
    results = [(check, _result(check, summary)) for check in checks if check.abort and elapsed >= check.after]
    return [result for check, result in results if not result.ok and result.samples >= check.min_samples]


def _suited(check: Check, summary: Summary) -> Check:
    """The default check on errors, made to look at what the test has."""
    if not check.default or check.metric.name != "error_rate":
        return check
    kinds = {row.kind for row in summary.rows if row.count}
    for kind, text in _ERROR_RATES:
        if kind.value in kinds:
            return parse_check(text, default=True)
    return check


def _result(check: Check, summary: Summary) -> CheckResult:
    seen = _observe(check, summary)
    number = seen.number
    reason = seen.reason
    if not reason and seen.samples < check.min_samples:
        reason = "no samples" if not seen.samples else f"{seen.samples:,} of {check.min_samples:,} samples needed"
    ok = not reason and number is not None and check.holds(number)
    margin = None if number is None else _margin(check, number)
    if not ok and not reason:
        reason = _excess(check, margin)
    return CheckResult(
        check=check.text,
        name=check.name,
        observed=number,
        observed_text="-" if number is None else check.shown(number),
        limit=check.limit,
        limit_text=f"{check.op} {check.shown(check.limit)}",
        ok=ok,
        samples=seen.samples,
        margin=margin,
        reason=reason,
        default=check.default,
        abort=check.abort,
        metric=check.metric.name,
    )


def _margin(check: Check, number: float) -> float | None:
    """How far inside the limit, as a share of it; negative outside; None for a limit of 0."""
    if not check.limit or check.op in ("==", "!="):
        return None
    distance = (check.limit - number) if check.op in ("<", "<=") else (number - check.limit)
    return distance / abs(check.limit)


def _excess(check: Check, margin: float | None) -> str:
    if margin == 0:
        return "at the limit"
    side = "over" if check.op in ("<", "<=") else "under"
    if margin is None:
        return f"not {check.op} {check.shown(check.limit)}"
    return f"{show_percent(-margin)} {side} the limit"


def _observe(check: Check, summary: Summary) -> _Observed:
    metric = check.metric
    if metric.kind is None:
        return _whole_test(check, summary)
    if metric.kind is Kind.SHAPE:
        return _finding(check, summary)
    if metric.kind is Kind.MONITOR:
        return _reading(check, summary)
    if check.aggregate == "growth":
        return _growth(check, *_course(check, summary))
    if metric.kind is Kind.ARRIVAL:
        return _arrivals(check, summary)
    if metric.kind is Kind.METRIC:
        own = [found for found in summary.metrics if found.metric == metric.name and _matches(check, found)]
        return _distribution(check, [found.sketch for found in own], _seconds(check, summary))
    rows = [row for row in summary.rows if row.kind == metric.kind.value and _matches(check, row)]
    if metric.shape is not Shape.DISTRIBUTION and "name" not in dict(check.filters):
        rows = [outermost(row) for row in rows]
    count = sum(row.count for row in rows)
    seconds = _seconds(check, summary)
    if metric.name in _COSTS and any(row.unpriced for row in rows):
        return _Observed(None, count, _unpriced(rows, summary))
    if metric.shape is Shape.DISTRIBUTION:
        return _distribution(check, [row.sketches[metric.name] for row in rows if metric.name in row.sketches], seconds)
    if not count + sum(row.cancelled + row.abandoned for row in rows):
        return _Observed(None, 0)
    if metric.shape is Shape.RATIO:
        return _ratio(metric.name, rows, count)
    if metric.shape is Shape.THROUGHPUT:
        good = sum(row.good if metric.name == "goodput" else row.count - row.failed for row in rows)
        return _rated(check, good, count, seconds)
    total = sum(_COUNTERS[metric.name](row) for row in rows)
    number = total / PICOUSD if metric.unit is Unit.USD else float(total)
    samples = count + sum(row.cancelled + row.abandoned for row in rows)
    return _rated(check, number, samples, seconds)


def _ratio(name: str, rows: Sequence[Row], count: int) -> _Observed:
    above, below = _RATIOS[name]
    whole = sum(map(below, rows))
    if whole:
        return _Observed(sum(map(above, rows)) / whole, count)
    return _Observed(None, count, "no run succeeded" if name == "cost_per_success" and count else "")


def _whole_test(check: Check, summary: Summary) -> _Observed:
    """Counters of the test itself: none counted is a number too, so it is its own sample."""
    if check.metric.name == "wasted_cost":
        return _wasted_cost(check, summary)
    total = getattr(summary.totals, check.metric.name)
    return _rated(check, float(total), max(total, check.min_samples), summary.test.duration_s)


def _wasted_cost(check: Check, summary: Summary) -> _Observed:
    done = summary.totals.calls + summary.totals.runs
    if summary.totals.unpriced_calls:
        return _Observed(None, done, _unpriced([row for row in summary.rows if row.unpriced], summary))
    dollars = picousd_of(summary.totals.wasted_cost_usd) / PICOUSD
    return _rated(check, dollars, max(done, check.min_samples) if done else 0, summary.test.duration_s)


def _rated(check: Check, number: float, samples: int, seconds: float) -> _Observed:
    if not check.per_second:
        return _Observed(number, samples)
    return _Observed(number / seconds, samples) if seconds else _Observed(None, samples, "no time passed")


def _distribution(check: Check, encoded: Sequence[Sequence[int]], seconds: float) -> _Observed:
    merged = Sketch()
    for flat in encoded:
        merged.merge(Sketch.decode(flat))
    if not merged.count:
        return _Observed(None, 0)
    scale = SCALE[check.metric.unit]
    aggregates: dict[str, Callable[[], float]] = {
        "mean": lambda: merged.mean / scale,
        "min": lambda: merged.min / scale,
        "max": lambda: merged.max / scale,
        "sum": lambda: merged.sum / scale,
        "count": lambda: float(merged.count),
        "rate": lambda: merged.sum / scale,  # what was summed, a second
    }
    if check.percentile is not None:
        return _Observed(merged.percentile(check.percentile) / scale, merged.count)
    return _rated(check, aggregates[check.aggregate](), merged.count, seconds)


def _arrivals(check: Check, summary: Summary) -> _Observed:
    rows = [row for row in summary.arrivals if _matches(check, row)]
    # Of the load alone, without the wait for its users before and for their last calls after it.
    seconds = sum({row.phase: row.seconds for row in rows}.values())
    if check.metric.shape is Shape.DISTRIBUTION:
        return _distribution(check, [row.sketch for row in rows if row.sketch], seconds)
    offered = sum(row.offered for row in rows)
    return _rated(check, float(sum(_ARRIVALS[check.metric.name](row) for row in rows)), offered, seconds)


def _finding(check: Check, summary: Summary) -> _Observed:
    """What the test's shape found: a single number, so it is all the samples there can be."""
    name = check.metric.name
    if name == "recovery_time" and summary.resilience.windows:
        return _recovery(check, summary)
    if name == "runs_hung":
        return _hung(check, summary)
    in_vain, shape = _NOT_FOUND[name]
    metrics = summary.shape.metrics if summary.shape is not None else {}
    if name not in metrics:
        other = next((known for known in metrics if _NOT_FOUND.get(known, ("", ""))[1] == shape), "")
        return _Observed(None, 0, f"this test has {other} instead" if other else f"no --shape {shape} in this test")
    number = metrics[name]
    return _Observed(number, check.min_samples, "" if number is not None else in_vain)


def _recovery(check: Check, summary: Summary) -> _Observed:
    """The slowest recovery of all windows; none of them may be without."""
    windows = summary.resilience.windows
    failed = [window for window in windows if window.recovery_s is None]
    if failed:
        # Until the test is over it may yet come: nothing is known, so that it ends no test.
        return _Observed(None, 0, f"{failed[0].name}: {failed[0].recovery}")
    return _Observed(max(window.recovery_s or 0.0 for window in windows), check.min_samples)


def _hung(check: Check, summary: Summary) -> _Observed:
    """The runs of all windows that hung."""
    windows = summary.resilience.windows
    if not any(window.runs for window in windows):
        return _Observed(None, 0, "no run in a fault window" if windows else "no fault window in this test")
    return _Observed(float(sum(window.runs_hung for window in windows)), check.min_samples)


def _course(check: Check, summary: Summary) -> tuple[courses.Course, list[float]]:
    spans = courses.spans_of(summary, dict(check.filters).get("phase"))
    return courses.course_of(courses.points_within(summary, spans), check.metric.name)


def _growth(check: Check, course: courses.Course, weights: Sequence[float] | None = None) -> _Observed:
    found = trend(course, weights)
    if found is None:
        # Nothing is known yet, so that it ends no test.
        return _Observed(None, 0, f"{len(course)} points in time, a trend needs {LEAST_POINTS}" if course else "")
    # A rate of errors may begin at 0: its growth is the difference.
    number = found.end - found.start if check.metric.name == "error_rate" else found.growth
    return _Observed(number, len(course), "" if number is not None else "it began at nothing, so it has no growth")


def _reading(check: Check, summary: Summary) -> _Observed:
    """What the monitor read of the targets together, of one subject, or of the generator's processes."""
    name, filters = check.metric.name, dict(check.filters)
    figure = name.removeprefix("generator_")
    of_generator = figure != name
    labels = courses.subjects(summary, courses.GENERATOR if of_generator else courses.TARGET)
    if not of_generator and not labels:
        return _Observed(None, 0, "nothing was watched: give --watch")
    wanted = filters.get("subject")
    if wanted is not None:
        labels = [label for label in labels if wanted in (label, label.partition(":")[2])]
    spans = courses.spans_of(summary, filters.get("phase"))
    extreme: dict[str, courses.Extreme] = {"max": "high", "min": "low"}
    read = [courses.reading(summary, label, figure, spans, extreme.get(check.aggregate)) for label in labels]
    course = courses.together(read, max if name == "generator_cpu" else sum)
    if check.aggregate == "growth":
        return _growth(check, course)
    if not course:
        return _Observed(None, 0)
    values = sorted(value for _, value in course)
    if check.percentile is not None:
        number = values[ceil(round(check.percentile / 100 * len(values), 9)) - 1]
    else:
        number = {"min": values[0], "max": values[-1], "mean": sum(values) / len(values)}[check.aggregate]
    # The monitor reads CPU in thousandths of a core.
    return _Observed(number / 1000 if figure == "cpu" else number, len(values))


def _matches(check: Check, row: Row | OwnMetric | Arrivals) -> bool:
    wanted = dict(check.filters)
    if row.phase == WARMUP_PHASE and wanted.get("phase") != WARMUP_PHASE:
        return False
    own = {"name": row.name, "phase": row.phase, "model": getattr(row, "model", "")}
    labels: dict[str, str] = getattr(row, "labels", {})
    return all((own[key] if key in own else labels.get(key)) == value for key, value in check.filters)


def _seconds(check: Check, summary: Summary) -> float:
    """How long what the check looks at lasted: its phase, or the test without its warm-up."""
    wanted = dict(check.filters).get("phase")
    spans: dict[str, float] = {}
    for phase in summary.phases:
        spans[phase.name] = spans.get(phase.name, 0.0) + phase.end_s - phase.start_s
    if wanted is not None:
        return spans.get(wanted, 0.0)
    return max(summary.test.duration_s - spans.get(WARMUP_PHASE, 0.0), 0.0)


def _unpriced(rows: Sequence[Row], summary: Summary) -> str:
    """Which models have no price. Rows of runs do not know theirs, so the test's are named."""
    models = sorted({row.model for row in rows if row.unpriced and row.model}) or summary.totals.unpriced_models
    shown = ", ".join(models[:3]) + (", …" if len(models) > 3 else "")
    return f"no price for {shown}" if shown else "some calls have no price"
