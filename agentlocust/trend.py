"""Where a series is going: its slope with a confidence interval, and whether it is a leak.

The slope is Theil and Sen's (Sen, JASA 63, 1968): the median of the slopes of all pairs of points,
with Sen's interval. A few wild points do not move it. Its significance is Mann and Kendall's, with
the variance of Hamed and Rao (J. Hydrology 204, 1998) for readings that resemble the one before.

A leak is judged by its floor, since memory that is collected rises and falls: the lows between falls,
or the least reading of each stretch. A floor that rose noticeably and still rises at the end is a leak;
one that rose and stopped is a cache that settled.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, erfc, floor, isfinite, sqrt
from statistics import median
from typing import Literal

from agentlocust.metrics import Unit
from agentlocust.sizes import show_size
from agentlocust.units import show_count

Points = Sequence[tuple[float, float]]

LEAST_POINTS = 8  # fewer say nothing: Mann and Kendall's normal approximation needs about as many
MOST_POINTS = 160  # 12,720 pairs: about 3 ms
_Z95 = 1.959964

Verdict = Literal["leaking", "settled", "steady", "not enough data"]

WARMUP_SHARE = 0.2  # of the readings: imports, pools and first buffers are no leak
LEAST_READINGS = 24  # after the warm-up
_FLOORS = 20  # stretches whose least reading makes the floor: each holds more than one
_NOTICED = 0.03  # of the start: what wanders by 1% either way comes this far once in some hundred times
_LEAST_GROWTH = {Unit.BYTES: 2.0**20, Unit.COUNT: 5.0}  # a MiB, five of a thing: less is bookkeeping
_SMALL_FALL = 0.35  # of the growth: what falls by less climbs, what falls by more has teeth
_CLEAR = 0.001  # the chance of such a floor by accident; a floor that bends counts as less clear
_LATE = 0.6  # of the time: the rest is the end, which must still rise
_STILL_RISING = 0.5  # of the whole slope, at the end: a cache that fills slows down
_RISEN_BEFORE = 0.25  # of the whole slope, before the end: one late step is no slope
_LEAST_RISES = 5  # of the floor: a few steps, however large, are as well a pool that found its size


@dataclass(frozen=True, slots=True)
class Trend:
    """The line through a series: `slope` a second with its 95% interval, its value at either end.

    `p` is the chance of a trend as clear by accident, `n` the points it was found in (means of more).
    """

    slope: float
    low: float
    high: float
    start: float
    end: float
    p: float
    n: int

    @property
    def growth(self) -> float | None:
        """By which share the fitted value rose from start to end; None where it starts at nothing."""
        return (self.end - self.start) / self.start if self.start > 0 else None

    @property
    def certain(self) -> bool:
        """True when the slope is not 0 with 95% confidence, by both tests."""
        return self.p < 0.05 and (self.low > 0 or self.high < 0)


def trend(points: Points, weights: Sequence[float] | None = None, *, most: int = MOST_POINTS) -> Trend | None:
    """The trend of (t, value) points in any order; None for fewer than 8.

    More than `most` are first made means of neighbours, by `weights` if given. Points that are not
    finite, and weights of 0, count as missing.
    """
    kept = _kept(points, weights)
    return _fitted(_means(kept, most)) if len(kept) >= LEAST_POINTS else None


def _means(points: Sequence[tuple[float, float, float]], most: int) -> list[tuple[float, float]]:
    """At most `most` points: the weighted means of neighbours, as many of each as of the others."""
    size = ceil(len(points) / most)
    blocks = []
    for at in range(0, len(points), size):
        block = points[at : at + size]
        total = sum(weight for _, _, weight in block)
        blocks.append(
            (
                sum(t * weight for t, _, weight in block) / total,
                sum(value * weight for _, value, weight in block) / total,
            )
        )
    return blocks


def _kept(points: Points, weights: Sequence[float] | None) -> list[tuple[float, float, float]]:
    """The points that count, with their weights, in order of distinct times."""
    given = [1.0] * len(points) if weights is None else weights
    found = {
        t: (t, value, weight)
        for (t, value), weight in zip(points, given, strict=True)
        if isfinite(t) and isfinite(value) and weight > 0
    }
    return [found[t] for t in sorted(found)]


def _fitted(points: Points) -> Trend:
    """Sen's line through points in order of distinct times."""
    n = len(points)
    slopes = sorted(
        (value - earlier) / (t - before) for at, (t, value) in enumerate(points) for before, earlier in points[:at]
    )
    slope = median(slopes)
    level = median(value - slope * t for t, value in points)
    variance = _variance(points, slope)
    score = (len(slopes) - bisect_right(slopes, 0)) - bisect_left(slopes, 0)
    z = max(abs(score) - 1, 0) / sqrt(variance) if variance else 0.0
    reach = _Z95 * sqrt(variance)
    pairs = len(slopes)
    first = max(floor((pairs - reach) / 2) - 1, 0)
    last = min(ceil((pairs + reach) / 2), pairs - 1)
    start, end = points[0][0], points[n - 1][0]
    return Trend(
        slope=slope,
        low=slopes[first],
        high=slopes[last],
        start=level + slope * start,
        end=level + slope * end,
        p=erfc(z / sqrt(2)),
        n=n,
    )


def _variance(points: Points, slope: float) -> float:
    """Of Mann and Kendall's score: with ties, and by Hamed and Rao for what each point owes the one before.

    Lags are taken up to the first whose correlation is not positive: beyond it noise would add up.
    """
    n = len(points)
    ties = Counter(value for _, value in points).values()
    plain = (n * (n - 1) * (2 * n + 5) - sum(m * (m - 1) * (2 * m + 5) for m in ties)) / 18
    placed = ranks([value - slope * t for t, value in points])
    mean = (n - 1) / 2
    away = [rank - mean for rank in placed]
    power = sum(x * x for x in away)
    inflation = 1.0
    for lag in range(1, n // 2):
        shared = sum(x * y for x, y in zip(away, away[lag:], strict=False))
        if not power or shared <= 0:
            break
        inflation += 2 / (n * (n - 1) * (n - 2)) * (n - lag) * (n - lag - 1) * (n - lag - 2) * shared / power
    return plain * inflation


def ranks(values: Sequence[float]) -> list[float]:
    """The rank of each value from 0; equal ones share the mean of theirs."""
    ordered = sorted(values)
    return [(bisect_left(ordered, value) + bisect_right(ordered, value) - 1) / 2 for value in values]


@dataclass(frozen=True, slots=True)
class Leak:
    """A verdict on one series and its sentence.

    The slope is the floor's, an hour, with its 95% interval; `growth` a share of the floor's start;
    `p` the chance of such a trend by accident. None where nothing could be fitted.
    """

    verdict: Verdict
    sentence: str
    slope_per_h: float | None = None
    low: float | None = None
    high: float | None = None
    growth: float | None = None
    p: float | None = None


def judge_leak(points: Points, *, unit: Unit | str = Unit.BYTES, what: str = "memory") -> Leak:
    """The verdict on (seconds, reading) points of `what`, in bytes or in whole things (`Unit.COUNT`).

    The level it keeps: of healthy series about 1 in 1,000 at most is called leaking (noise of 1% either
    way, also when each reading resembles the last; memory that is collected; caches that fill in the
    first half); the shortest come closest to it. The first fifth
    is left out as warm-up. One rise without a fall is taken for a leak, saw teeth for none until
    eight falls show where their lows go. What wanders without a level of its own, as a count of
    connections may, cannot be told from a leak so surely: up to 3 in 100 in simulations.
    """
    unit = Unit(unit)
    whole = [(t, value) for t, value, _ in _kept(points, None)]
    begin = whole[0][0] + WARMUP_SHARE * (whole[-1][0] - whole[0][0]) if whole else 0.0
    kept = [point for point in whole if point[0] >= begin]
    if len(kept) < LEAST_READINGS:
        return Leak("not enough data", f"{len(kept)} readings of {what} after the warm-up, {LEAST_READINGS} are needed")
    floor = _least_of_each(kept)
    fall = _deepest_fall(kept)
    verdict: Verdict
    if fall <= _SMALL_FALL * (floor[-1][1] - floor[0][1]):
        verdict = _verdict(floor, unit)
    else:
        lows = _lows(kept, fall / 2)
        climb = [point for point in kept if point[0] >= lows[-1][0]]
        if len(lows) >= LEAST_POINTS:
            floor = lows
            verdict = _verdict(lows, unit)
        elif len(climb) >= max(LEAST_READINGS, len(kept) / 2) and _passes_all(climb, whole):
            # One early fall, and then a climb past all that was before: no tooth of the same saw.
            floor = _least_of_each(climb)
            verdict = _verdict(floor, unit)
        else:
            rise = lows[-1][1] - lows[0][1]
            verdict = "not enough data" if _noticed(lows[0][1], rise, unit) else "steady"
    filled = floor[-1][1] - whole[0][1]
    if verdict == "steady" and fall <= _SMALL_FALL * filled and _noticed(whole[0][1], filled, unit):
        verdict = "settled"  # it filled early, maybe in the warm-up
    return _leak(verdict, floor, unit, what)


def _verdict(floor: Points, unit: Unit) -> Verdict:
    """What a floor without teeth says."""
    found = _fitted(floor)
    late_from = floor[0][0] + _LATE * (floor[-1][0] - floor[0][0])
    early = [point for point in floor if point[0] <= late_from]
    late = [point for point in floor if point[0] >= late_from]
    if not _noticed(found.start, found.end - found.start, unit) or found.p >= _CLEAR:
        return "not enough data" if _noticed(early[-1][1], late[-1][1] - early[-1][1], unit) else "steady"
    if _slope(late) < _STILL_RISING * found.slope:
        return "settled"
    rises = sum(value > before for (_, before), (_, value) in pairwise(floor))
    if _slope(early) < _RISEN_BEFORE * found.slope or rises < _LEAST_RISES:
        return "not enough data"
    return "leaking"


def _noticed(start: float, rise: float, unit: Unit) -> bool:
    return rise >= max(_LEAST_GROWTH.get(unit, 0.0), _NOTICED * start)


def _slope(points: Points) -> float:
    return _fitted(points).slope if len(points) > 1 else 0.0


def _least_of_each(points: Points) -> list[tuple[float, float]]:
    """The least reading of each of about 20 stretches."""
    size = max(len(points) // _FLOORS, 2)
    stretches = [points[at : at + size] for at in range(0, len(points) - size + 1, size)]
    return [min(stretch, key=lambda point: point[1]) for stretch in stretches]


def _deepest_fall(points: Points) -> float:
    """The furthest that a reading lies below an earlier one."""
    peak, deepest = points[0][1], 0.0
    for _, value in points:
        peak = max(peak, value)
        deepest = max(deepest, peak - value)
    return deepest


def _lows(points: Points, turn: float) -> list[tuple[float, float]]:
    """The lowest reading between each fall of at least `turn` and the next rise of as much."""
    lows: list[tuple[float, float]] = []
    high = low = points[0]
    falling = False
    for point in points:
        if falling:
            low = min(low, point, key=lambda it: it[1])
            if point[1] - low[1] >= turn:
                lows.append(low)
                falling, high = False, point
        else:
            high = max(high, point, key=lambda it: it[1])
            if high[1] - point[1] >= turn:
                falling, low = True, point
    return [*lows, low] if falling else lows


def _passes_all(climb: Points, whole: Points) -> bool:
    """True when a climb ends well above every reading before it: by half of its own fall at least."""
    peak = max((value for t, value in whole if t < climb[0][0]), default=climb[0][1])
    return climb[-1][1] - peak > 0.5 * (peak - climb[0][1])


def _leak(verdict: Verdict, floor: Points, unit: Unit, what: str) -> Leak:
    found = trend(floor)
    if found is None:
        return Leak(verdict, _sentence(verdict, what, _shown(floor[0][1], unit), _shown(floor[-1][1], unit), ""))
    return Leak(
        verdict,
        _sentence(
            verdict,
            what,
            _shown(found.start, unit),
            _shown(found.end if verdict == "leaking" else floor[-1][1], unit),
            _pace(found.slope * 60, unit),
        ),
        slope_per_h=found.slope * 3600,
        low=found.low * 3600,
        high=found.high * 3600,
        growth=found.growth,
        p=found.p,
    )


def _sentence(verdict: Verdict, what: str, start: str, end: str, pace: str) -> str:
    if verdict == "leaking":
        return f"{what} grew {pace}, from {start} to {end}, and did not settle"
    if verdict == "settled":
        return f"{what} grew to {end} and settled"
    if verdict == "steady":
        return f"{what} was steady near {end}"
    return f"{what} went from {start} to {end}: a longer test can tell whether it leaks"


def _shown(value: float, unit: Unit) -> str:
    return show_size(value) if unit is Unit.BYTES else show_count(round(value))


def _pace(per_minute: float, unit: Unit) -> str:
    """A slope as people say it: by the minute, or by the hour where that is hardly anything."""
    least = 10_000.0 if unit is Unit.BYTES else 0.95
    if per_minute < least:
        return f"{show_size(per_minute * 60) if unit is Unit.BYTES else show_count(per_minute * 60)}/h"
    return f"{show_size(per_minute) if unit is Unit.BYTES else show_count(per_minute)}/min"
