"""What can be read from what was seen: rates that the edges of a stage do not bend, and when calm is back."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from agentlocust.failures import FailureKind
from agentlocust.shapes.stage import Seen
from agentlocust.sketch import Sketch
from agentlocust.summary.model import CheckResult, Point
from agentlocust.units import show_percent

NS = 10**9
ERROR_ALLOWANCE = 0.01  # beside the baseline's own share of errors
FEWEST = 20  # samples
BROKEN = 0.05  # of calls: so many failures are no accident
_OF_GENERATOR = (FailureKind.TIMEOUT, FailureKind.DNS, FailureKind.CLIENT, FailureKind.CHECK)
_AGGREGATE = re.compile(r"\s*(?:p([0-9]+(?:\.[0-9]+)?)|mean)\s*\(")
_COMPARISON = re.compile(r"\s*(<=|>=|==|!=|<|>)\s*")
_BEYOND = {"<": ">", "<=": ">", ">": "<", ">=": "<", "==": "is not", "!=": "is"}


def percentile_s(sketch: Sketch, p: float) -> float | None:
    """A percentile in seconds; None without samples."""
    return sketch.percentile(p) / NS if sketch.count else None


def mean_s(sketch: Sketch) -> float | None:
    """The mean in seconds; None without samples."""
    return sketch.mean / NS if sketch.count else None


def step_of(points: Sequence[Point]) -> float:
    """The seconds from one point to the next."""
    gaps = [later.t - point.t for point, later in pairwise(points)]
    return min((gap for gap in gaps if gap > 0), default=1.0)


def achieved(seen: Seen) -> float:
    """Successful calls a second that ended in the stage, whatever phase they began in.

    Those of the phase alone would miss what is under way at its end: with calls of 2 s, a fifth
    of ten seconds. Seconds that the stage has only in part are left out.
    """
    step = step_of(seen.points)
    inside = [point for point in seen.points if point.t >= 0 and point.t + step <= seen.seconds + 1e-6]
    if len(inside) < 3:
        return seen.throughput
    span = inside[-1].t + step - inside[0].t  # seconds without a point are seconds without a call
    return sum(point.calls - point.failed for point in inside) / span


def beyond(check: CheckResult) -> str:
    """A failed check as a person would say it: `p95(ttft) 1.3 s > 800 ms`."""
    found = _COMPARISON.search(check.check)
    if check.observed is None or found is None:
        return f"{check.check}: {check.reason or 'no samples'}"
    limit = _COMPARISON.sub("", check.limit_text, count=1)
    word = _BEYOND[found[1]]
    if check.observed == check.limit and word in (">", "<"):
        word += "="
    return f"{check.check[: found.start()]} {check.observed_text} {word} {limit}"


def main_failure(seen: Seen) -> str:
    """The commonest kind of failure and its share of all calls: `server_error 12%`; "" without any."""
    if not seen.failures or not seen.calls:
        return ""
    kind, times = max(seen.failures.items(), key=lambda item: (item[1], item[0]))
    return f"{kind} {show_percent(min(times / seen.calls, 1.0))}"


def failed_by_target(seen: Seen) -> bool:
    """True when more calls failed than is usual, in ways that a slow generator does not make.

    Calls that fail at once are made again at once: the generator may then be saturated by them.
    """
    own = sum(seen.failures.get(kind, 0) for kind in _OF_GENERATOR)
    return seen.failed - own > BROKEN * seen.calls


@dataclass(frozen=True, slots=True)
class Calm:
    """What counts as back to normal: a second no slower than `limit_s`, with no more errors than usual.

    `silence` is the longest stretch without a completed call that normal times had, in seconds.
    """

    metric: str
    usual_s: float
    limit_s: float
    errors: float
    silence: float

    @classmethod
    def of(cls, baseline: Seen, metric: str, tolerance: float) -> Calm | None:
        """Calm as the baseline knew it; None when no call succeeded in it.

        The baseline's percentile is that of its whole phase: a second of few calls has its slowest
        for a p95, which the median of such seconds would not allow for.
        """
        usual = percentile_s(baseline.ttft if metric == "ttft" else baseline.latency, 95)
        if usual is None:
            return None
        errors = baseline.error_rate + ERROR_ALLOWANCE
        return cls(metric, usual, usual * (1 + tolerance), errors, longest_silence(baseline.points))

    def back_after(self, points: Sequence[Point], seconds: float) -> float | None:
        """When the first stretch of `seconds` calm seconds began, from the stage's start; None if none did.

        A second in which no call ended says nothing by itself, so it is left out, until the silence
        is longer than any of the baseline's: then something hangs, and the stretch starts anew.
        """
        step = step_of(points)
        began: float | None = None
        calm = quiet = 0.0
        last: float | None = None
        for point in points:
            if last is not None:
                quiet += max(point.t - last - step, 0.0)  # seconds without a point
            last = point.t
            if not point.calls:
                quiet += step
            if quiet > self.silence + 1e-6:
                began, calm = None, 0.0
            if not point.calls:
                continue
            quiet = 0.0
            if not self._calm(point):
                began, calm = None, 0.0
                continue
            began = point.t if began is None else began
            calm += step
            if calm >= seconds - 1e-6:
                return max(began, 0.0)
        return None

    def _calm(self, point: Point) -> bool:
        slow = point.ttft_p95 if self.metric == "ttft" else point.latency_p95
        return slow is not None and slow <= self.limit_s and point.failed / point.calls <= self.errors


def longest_silence(points: Sequence[Point]) -> float:
    """The longest time in which no call ended, once the first had."""
    ended = [point.t for point in points if point.calls]
    step = step_of(points)
    return max((later - one - step for one, later in pairwise(ended)), default=0.0)


def samples_needed(check: CheckResult) -> int:
    """How many samples a check must have to be believed: ten beyond its percentile, 20 for a mean, else none."""
    found = _AGGREGATE.match(check.check)
    if found is None:
        return 0
    if found[1] is None or not 0 < float(found[1]) < 100:
        return FEWEST
    return max(math.ceil(round(10 / (1 - float(found[1]) / 100), 6)), FEWEST)


def figures_of(seen: Seen) -> dict[str, Any]:
    """What a stage came to, as JSON: seconds, a share, counts."""
    return {
        "level": seen.stage.end,
        "throughput": achieved(seen),
        "latency_p50_s": percentile_s(seen.latency, 50),
        "latency_p95_s": percentile_s(seen.latency, 95),
        "ttft_p95_s": percentile_s(seen.ttft, 95),
        "error_rate": seen.error_rate,
        "samples": seen.calls - seen.failed,
    }
