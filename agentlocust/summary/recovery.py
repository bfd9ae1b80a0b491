"""When trouble was first felt and when it was over, and how requests crowded meanwhile: read from the pulse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import comb

from agentlocust.metrics import SCALE, Unit
from agentlocust.pulse import Pulse
from agentlocust.rows import Row
from agentlocust.summary.resilience_model import Wave

_NS = SCALE[Unit.SECONDS]

SLOWER = 1.25  # than the slowest hundredth of before, and it is out of the band
HOLD_S = 3.0  # how long things must be as before
_LEAST_ERRORS = 0.01  # of calls: what may fail at any time
_CHANCE = 0.01  # what is rarer is no chance
_MOST_TESTED = 200  # calls at once in the test of chance

_STEP_DISPERSION = 3.0  # of independent users it is 1
_LEAST_WAVE = 20  # retries
_AROUND = 10  # bins on either side that say what was to be expected


@dataclass(frozen=True, slots=True)
class Band:
    """What was usual before: share of errors, the slowest latency of a success, the median and mean one, in ns."""

    errors: float
    slowest_ns: int
    median_ns: float
    mean_ns: float

    @classmethod
    def of(cls, row: Row) -> Band | None:
        """The band of what lies before; None when no call succeeded there."""
        latency = row.sketches.get("latency")
        if latency is None or not latency.count:
            return None
        calls = row.counts.get("calls", 0)
        # Of few calls the slowest hundredth is not known: twice the median is allowed in any case.
        slowest = max(latency.percentile(99) * SLOWER, latency.percentile(50) * 2)
        return cls(row.counts.get("failed", 0) / calls, round(slowest), latency.percentile(50), latency.mean)

    def counts(self, row: Row) -> tuple[int, int]:
        """Calls that ended in a bin, and how many of them were bad: failed, or slower than the band."""
        failed, latency = row.counts.get("failed", 0), row.sketches.get("latency")
        if latency is None:
            return failed, failed
        return latency.count + failed, failed + latency.count - latency.count_at_most(self.slowest_ns)

    def as_before(self, calls: int, bad: int) -> bool:
        """Whether so many bad ones of so many calls are what chance allows."""
        if calls > _MOST_TESTED:
            calls, bad = _MOST_TESTED, round(bad * _MOST_TESTED / calls)
        share = max(self.errors, _LEAST_ERRORS)
        fewer = sum(comb(calls, k) * share**k * (1 - share) ** (calls - k) for k in range(bad))
        return 1 - fewer >= _CHANCE - 1e-12


def detection_s(pulse: Pulse, band: Band, start_s: float, until_s: float) -> float | None:
    """Seconds from the start until a try failed or a call ended slowly; None when none did."""
    for t, row in _bins(pulse, start_s, until_s):
        if row.counts.get("tries_failed") or band.counts(row)[1]:
            return max(t + pulse.step_s - start_s, 0.0)
    return None


def recovered_s(pulse: Pulse, band: Band, end_s: float, until_s: float) -> tuple[float | None, str]:
    """Seconds from the end of trouble until calls are as before for 3 s, and why there is none.

    A call shows how things are when it begins: the first good one that ended tells that they were
    good a median latency earlier.
    """
    bins = [(t, *band.counts(row)) for t, row in _bins(pulse, end_s, until_s)]
    return _as_before_from(bins, band, pulse.step_s, end_s, until_s)


def target_back_s(pulse: Pulse, band: Band, end_s: float, until_s: float) -> float | None:
    """As `recovered_s`, of tries and without their times: when the target itself answered as before.

    Its callers may feel it later, as they wait before they try again.
    """
    bins = []
    for t, row in _bins(pulse, end_s, until_s):
        failed, done = row.counts.get("tries_failed", 0), row.sketches.get("latency")
        bins.append((t, failed + (done.count if done is not None else 0), failed))
    return _as_before_from(bins, band, pulse.step_s, end_s, until_s)[0]


def _as_before_from(
    bins: list[tuple[float, int, int]], band: Band, step_s: float, end_s: float, until_s: float
) -> tuple[float | None, str]:
    bins = [found for found in bins if found[1]]
    if not bins:
        return None, "no call ended after it"
    for first, (t, calls, bad) in enumerate(bins):
        if bad * 2 >= calls or not _stays(bins[first:], band, t + HOLD_S):
            continue
        if until_s < t + 1.0 and first:  # less than a second of good calls proves nothing
            return None, "the test ended before anybody could tell"
        after_bad = bins[first - 1][0] + step_s if first else end_s
        return max(t - band.median_ns / _NS, after_bad, end_s) - end_s, ""
    return None, "not recovered"


def _stays(bins: list[tuple[float, int, int]], band: Band, until_s: float) -> bool:
    """Whether from the first bin on every stretch up to `until_s` is as before."""
    calls = bad = 0
    for t, more, worse in bins:
        if t >= until_s:
            break
        calls, bad = calls + more, bad + worse
        if worse and not band.as_before(calls, bad):
            return False
    return True


def peak_rate(pulse: Pulse, start_s: float, until_s: float) -> float | None:
    """The most requests sent within one second, attempts each counted; None when none was."""
    sent = {t: row.counts.get("sent", 0) for t, row in _bins(pulse, start_s, until_s)}
    if not sent:
        return None
    width = max(1.0, pulse.step_s)
    peak = max(sum(n for at, n in sent.items() if t <= at < t + width - 1e-6) for t in sent)
    return peak / width


def wave(pulse: Pulse, start_s: float, until_s: float) -> Wave | None:
    """Users who tried again in step: tenths of a second fuller, and emptier, than chance makes them.

    Each bin is held against those around it, so that a storm that only comes and goes is none.
    """
    if pulse.width > 1:
        return None  # too coarse to see it
    bins = dict(_bins(pulse, start_s, until_s))
    users = {round(t / pulse.step_s): row.counts.get("retriers", 0) for t, row in bins.items()}
    users = {index: n for index, n in users.items() if n}
    if sum(users.values()) < _LEAST_WAVE:
        return None
    excess, looked_at = 0.0, 0
    for index in range(min(users) - _AROUND // 2, max(users) + _AROUND // 2 + 1):
        around = [users.get(other, 0) for other in range(index - _AROUND, index + _AROUND + 1)]
        expected = sum(around) / len(around)
        if expected:
            excess += (users.get(index, 0) - expected) ** 2 / expected
            looked_at += 1
    dispersion = excess / looked_at
    fullest = max(users, key=lambda index: users[index])
    if dispersion < _STEP_DISPERSION:
        return None
    return Wave(at_s=fullest * pulse.step_s, users=users[fullest], dispersion=dispersion)


def _bins(pulse: Pulse, start_s: float, until_s: float) -> Iterator[tuple[float, Row]]:
    """The bins that begin within, by their time, in order."""
    step = pulse.step_s
    for index in sorted(pulse.bins):
        t = index * step
        if start_s - 1e-6 <= t < until_s:
            yield t, pulse.bins[index]
