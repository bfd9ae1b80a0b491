"""Intended starts: their number is the integral of the rate, their gaps follow the law, nothing drifts."""

from __future__ import annotations

import heapq
import math
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.shapes.arrivals import Law
from agentlocust.shapes.schedule import NS, Schedule, Segment

BEGIN = 5_000 * NS
SEED = 42


def schedules(law="constant", workers=1):
    """The schedules of all workers, as they are made: each with an rng of the same seed."""
    return [Schedule(Law.parse(law), random.Random(SEED), share=(i, workers)) for i in range(workers)]


def taken(source, until_ns):
    """The instants of all starts before one."""
    found = []
    while (due := source.next_ns()) is not None and due < until_ns:
        start = source.take()
        assert start.intended_ns == due
        found.append(due)
    return found


def union(sources, until_ns):
    """The starts of all workers, in order."""
    return list(heapq.merge(*(taken(source, until_ns) for source in sources)))


def follow(sources, at_ns, segment):
    for source in sources:
        source.follow(at_ns, segment)


def ks_statistic(sample, distribution):
    """The one-sample Kolmogorov-Smirnov statistic D: the widest distance from the distribution."""
    ordered, n = sorted(sample), len(sample)
    return max(max((i + 1) / n - distribution(x), distribution(x) - i / n) for i, x in enumerate(ordered))


def exponential(x):
    return 1 - math.exp(-x)


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
@pytest.mark.parametrize("rate", [20.0, 100 / 60, 333.3])
def test_constant_starts_of_all_workers_are_evenly_spaced(workers, rate):
    """The workers' schedules interleave: together they are one clock."""
    sources = schedules(workers=workers)
    follow(sources, BEGIN, Segment.hold(rate))
    starts = union(sources, BEGIN + round(300 / rate * NS))
    assert len(starts) == 300
    assert all(abs(later - earlier - NS / rate) <= 1 for earlier, later in pairwise(starts))


@pytest.mark.parametrize("rate", [0.5, 1.0, 1.5, 2.5, 20.0, 333.3])
def test_no_second_has_more_than_its_schedule(rate):
    """Neither the first nor any other second holds more starts than the rate, rounded up."""
    (source,) = schedules()
    source.follow(BEGIN, Segment.hold(rate))
    seconds = [(at - BEGIN) // NS for at in taken(source, BEGIN + 20 * NS)]
    assert max(seconds.count(second) for second in range(20)) <= math.ceil(rate)
    assert abs(len(seconds) - 20 * rate) <= 0.5


def test_a_day_of_starts_drifts_by_nothing():
    """100 a minute are 60,000 in ten hours, and the last is where it belongs to the nanosecond."""
    (source,) = schedules()
    source.follow(BEGIN, Segment.hold(100 / 60))
    starts = taken(source, BEGIN + 36_000 * NS)
    assert len(starts) == 60_000
    assert abs(starts[-1] - (BEGIN + round(59_999.5 * 0.6 * NS))) <= 1


@pytest.mark.parametrize("workers", [1, 3])
def test_poisson_gaps_of_all_workers_are_exponential(workers):
    """The union passes a Kolmogorov-Smirnov test at 1% with n = 2000, however many workers share it."""
    sources = schedules("poisson", workers)
    follow(sources, 0, Segment.hold(50.0))
    starts = union(sources, 60 * NS)[:2000]
    gaps = [(later - earlier) * 50 / NS for earlier, later in pairwise([0, *starts])]
    assert len(gaps) == 2000
    assert ks_statistic(gaps, exponential) < 1.628 / math.sqrt(2000)


def test_the_ks_test_can_fail():
    """Even gaps, and those of another law, are told apart with the same n."""
    for law in ("constant", "uniform", "gamma(2)"):
        (source,) = schedules(law)
        source.follow(0, Segment.hold(50.0))
        starts = taken(source, 45 * NS)[:2000]
        gaps = [(later - earlier) * 50 / NS for earlier, later in pairwise(starts)]
        assert ks_statistic(gaps, exponential) > 1.628 / math.sqrt(2000)


def test_a_rising_rate_is_poisson_too():
    """Laid on the integral of a rate that rises from 0 to 100/s, the gaps are unit exponentials again."""
    (source,) = schedules("poisson")
    source.follow(0, Segment(40.0, 0.0, 100.0))
    points = [(at / NS) ** 2 * 100 / 80 for at in taken(source, 40 * NS)]
    gaps = [later - earlier for earlier, later in pairwise([0.0, *points])]
    assert len(gaps) == pytest.approx(2000, abs=150)
    assert ks_statistic(gaps, exponential) < 1.628 / math.sqrt(len(gaps))


@pytest.mark.parametrize("law", ["poisson", "gamma(0.5)", "uniform", "constant"])
def test_the_arrivals_are_the_same_however_many_workers(law):
    """One seed makes one test: the workers share out a sequence and do not each draw their own."""
    alone, shared = schedules(law), schedules(law, 1)
    follow([*alone, *shared], BEGIN, Segment.hold(30.0))
    assert union(alone, BEGIN + 9 * NS) == union(shared, BEGIN + 9 * NS)
    three = [Schedule(Law.parse(law), random.Random(SEED), share=(i, 3)) for i in range(3)]
    follow(three, BEGIN, Segment.hold(30.0))
    parts = [taken(source, BEGIN + 9 * NS) for source in three]
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert len(set().union(*parts)) == sum(map(len, parts))


rates = st.floats(0, 200, allow_nan=False).map(lambda rate: round(rate, 3))
segments = st.lists(
    st.tuples(st.floats(0, 5).map(lambda s: round(s, 3)), rates, rates, st.integers(1, 5 * NS)), min_size=1, max_size=6
)


@given(segments, st.integers(1, 4))
def test_constant_counts_are_the_integral_of_the_rate(plan, workers):
    """Whatever the segments, and wherever the next one cuts them, no count is more than 1 off."""
    sources = schedules(workers=workers)
    at, expected, found = BEGIN, 0.0, 0
    for seconds, start, end, lasts_ns in plan:
        segment = Segment(seconds, start, end)
        follow(sources, at, segment)
        at += lasts_ns
        expected += segment.arrivals(lasts_ns / NS)
        found += len(union(sources, at))
        assert abs(found - expected) <= 1
        assert sum(source.offered(at) for source in sources) == pytest.approx(expected, abs=1)


@given(segments, st.sampled_from(["poisson", "gamma(0.5)", "uniform"]))
def test_random_starts_come_in_order_whatever_the_rate_does(plan, law):
    """Starts that are taken late, after the rate has changed, are still those of the rate they came in."""
    (prompt,), (tardy,) = schedules(law), schedules(law)
    at, starts = BEGIN, []
    for seconds, start, end, lasts_ns in plan:
        for source in (prompt, tardy):
            source.follow(at, Segment(seconds, start, end))
        at += lasts_ns
        starts += taken(prompt, at)
    assert starts == sorted(starts)
    late = taken(tardy, at)
    assert len(late) == len(starts)
    assert all(abs(one - other) <= 2 for one, other in zip(late, starts, strict=True))


@given(st.floats(0, 100), st.floats(0, 100), st.floats(0.001, 1000), st.floats(0.001, 0.999))
def test_when_is_the_inverse_of_arrivals(start, end, seconds, part):
    """The quadratic within a segment is solved, also where it is nearly flat."""
    segment = Segment(seconds, round(start, 6), round(end, 6))
    arrivals = segment.arrivals(seconds) * part
    when = segment.when(arrivals)
    assert when is not None or segment.end == 0
    if when is not None:
        assert segment.arrivals(when) == pytest.approx(arrivals, rel=1e-6, abs=1e-9)


def test_a_gap_is_carried_over_a_change_of_the_rate():
    """Half a gap at 1/s, then 10/s: the other half takes a tenth of the time."""
    (source,) = schedules()
    source.follow(0, Segment.hold(1.0))
    assert source.take().intended_ns == NS // 2
    source.follow(NS, Segment.hold(10.0))  # half of the gap has gone by
    assert source.take().intended_ns == NS + NS // 20
    assert source.take().intended_ns == NS + NS * 15 // 100


def test_no_rate_no_start():
    """Before the first segment and at a rate of 0 nothing is in sight; what is left of the gap waits."""
    (source,) = schedules()
    assert source.next_ns() is None
    with pytest.raises(LookupError):
        source.take()
    source.follow(0, Segment(1.0, 1.0, 0.0))
    assert source.next_ns() == NS
    source.take()
    assert source.next_ns() is None
    source.follow(100 * NS, Segment.hold(2.0))
    assert source.next_ns() == 100 * NS + NS // 2


def test_a_rounding_error_at_the_end_of_a_ramp_loses_no_start():
    """These figures add up to exactly 3.5 as floats, and to a little less when taken apart again."""
    (source,) = schedules()
    source.follow(0, Segment.hold(2.5))
    source.follow(NS, Segment(13.4, 0.14925373134328357, 0.0))
    source.follow(60 * NS, Segment.hold(1.0))
    starts = taken(source, 61 * NS)
    assert len(starts) == 4
    assert starts[3] == NS + round(13.4 * NS)


def test_a_change_that_is_told_late_does_not_turn_time_back():
    """Starts stay in order when a higher rate is said to have begun before the last one."""
    (source,) = schedules()
    source.follow(0, Segment.hold(1.0))
    assert source.take().intended_ns == NS // 2
    source.follow(NS // 10, Segment.hold(10_000.0))
    assert source.take().intended_ns == NS // 2


def test_memory_does_not_grow_with_segments():
    """A rate that follows a curve for hours leaves nothing behind, also while it is 0."""
    (source,) = schedules()
    for second in range(1000):
        source.follow(second * NS, Segment(1.0, 5.0 * (second % 2), 5.0 * (1 - second % 2)))
        taken(source, (second + 1) * NS)
    for second in range(1000, 2000):
        source.follow(second * NS, Segment.hold(0.0))
    assert len(source._legs) <= 2
    assert not source._settled


@pytest.mark.parametrize("law", ["constant", "poisson"])
def test_a_worker_that_comes_takes_its_part(law):
    """From the instant of the new share on, old and new workers' starts are one sequence of the new count."""
    old = schedules(law, 2)
    follow(old, BEGIN, Segment.hold(40.0))
    before = union(old, BEGIN + 10 * NS)
    at = BEGIN + 10 * NS
    for index, source in enumerate(old):
        source.reshare(at, index, 3)
    new = Schedule(Law.parse(law), random.Random(SEED), share=(2, 3))
    new.follow(at, Segment.hold(40.0))
    fresh = schedules(law, 3)
    follow(fresh, at, Segment.hold(40.0))
    after = union([*old, new], at + 10 * NS)
    expected = union(fresh, at + 10 * NS)
    assert len(after) == len(expected)
    assert all(abs(one - other) <= 2 for one, other in zip(after, expected, strict=True))
    assert len(before) == pytest.approx(400, abs=80)


def test_a_new_share_does_not_lose_what_was_due():
    """Starts that a blocked hub has not taken yet stay as they were intended."""
    (source,) = schedules()
    source.follow(0, Segment.hold(10.0))
    source.reshare(NS, 1, 2)
    assert source.offered(NS) == 10
    assert taken(source, NS) == [NS // 20 + i * NS // 10 for i in range(10)]
    assert source.take().intended_ns == NS + NS * 15 // 100
    assert source.taken == 11


def test_offered_counts_what_was_taken_and_what_was_not():
    """It is the same whoever has taken what, and does not move the next start."""
    (source,) = schedules()
    source.follow(0, Segment.hold(10.0))
    for _ in range(4):
        source.take()
    assert source.offered(NS) == 10
    assert source.offered(NS) == 10
    assert source.next_ns() == NS * 45 // 100


@pytest.mark.parametrize("bad", [(-1.0, 1.0, 1.0), (1.0, -1.0, 1.0), (1.0, 1.0, math.nan), (math.inf, 1.0, 1.0)])
def test_a_segment_has_sound_numbers(bad):
    """No rate is negative and no ramp endless."""
    with pytest.raises(ValueError, match="negative or endless"):
        Segment(*bad)


@pytest.mark.parametrize("share", [(0, 0), (2, 2), (-1, 2)])
def test_a_share_is_one_of_its_count(share):
    """A worker that is not among the workers is refused."""
    with pytest.raises(ValueError, match="there is no worker"):
        Schedule(Law(), random.Random(SEED), share=share)
