"""Trends are found where they are and nowhere else; leaks are told from caches, saw teeth and noise."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import exp, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.metrics import Unit
from agentlocust.trend import LEAST_POINTS, LEAST_READINGS, judge_leak, ranks, trend

MB = 1e6
Readings = list[float]


def timed(values: Readings) -> list[tuple[float, float]]:
    return [(float(second), value) for second, value in enumerate(values)]


@given(st.floats(-100, 100), st.floats(-1e6, 1e6), st.integers(LEAST_POINTS, 300))
def test_a_line_is_found_exactly(slope: float, level: float, n: int) -> None:
    """Points on a line give its slope and ends, however many they are."""
    found = trend([(float(t), level + slope * t) for t in range(n)])
    assert found is not None
    near = pytest.approx
    assert found.slope == near(slope, abs=1e-6)
    assert found.low - 1e-6 <= slope <= found.high + 1e-6
    assert found.end - found.start == near(slope * (n - 1), rel=0.02, abs=1e-3)  # ends of means lie inside


@given(st.lists(st.tuples(st.floats(0, 1e6).map(lambda t: round(t, 2)), st.floats(-1e9, 1e9)), max_size=60))
def test_any_series_has_a_trend_within_its_interval_or_none(points: list[tuple[float, float]]) -> None:
    """The slope lies in its interval, p is a chance, and few points have no trend."""
    found = trend(points)
    assert (found is None) == (len({t for t, _ in points}) < LEAST_POINTS)
    if found is not None:
        assert found.low <= found.slope <= found.high
        assert 0 <= found.p <= 1


def test_the_order_of_points_is_of_no_matter() -> None:
    """A series is sorted by its times."""
    points = [(float(t), float(t * t % 17)) for t in range(50)]
    shuffled = points[:]
    random.Random(1).shuffle(shuffled)
    assert trend(shuffled) == trend(points)


def test_a_few_wild_points_move_nothing() -> None:
    """One value in ten may be anything: the slope stays, where first against last would fail."""
    points = [(float(t), 100.0 + t + (1e6 if t % 10 == 9 else 0)) for t in range(100)]
    found = trend(points)
    assert found is not None
    assert found.slope == pytest.approx(1.0, abs=0.2)
    assert found.growth == pytest.approx(0.99, abs=0.2)


def test_what_is_not_finite_or_weighs_nothing_is_missing() -> None:
    """It neither moves the line nor counts."""
    points = timed([5.0 + t for t in range(20)])
    hurt = [*points, (20.0, float("nan")), (float("inf"), 1.0), (21.0, -1e9)]
    assert trend(hurt, [1.0] * 22 + [0.0]) == trend(points)


def test_weights_decide_within_a_mean() -> None:
    """A step of a hundred calls counts a hundred times as much as one of one."""
    points = timed([(1.0 + t if t % 2 else 1e6) for t in range(40)])
    found = trend(points, [(100.0 if t % 2 else 1e-9) for t in range(40)], most=20)
    assert found is not None
    assert found.slope == pytest.approx(1.0, rel=1e-3)


def test_a_trend_from_nothing_has_no_growth() -> None:
    """A share of 0 is no number."""
    found = trend(timed([float(t) for t in range(20)]))
    assert found is not None
    assert found.growth is None


def test_equal_values_share_their_rank() -> None:
    """Ties take the mean of the places they fill."""
    assert ranks([7.0, 1.0, 7.0, 9.0]) == [1.5, 0.0, 1.5, 3.0]


def test_seconds_that_resemble_each_other_do_not_fake_significance() -> None:
    """Of noise that remembers its last seconds, about as few series have a certain trend as promised."""
    certain = 0
    for seed in range(200):
        noise = correlated(random.Random(seed), 300, memory=0.8)
        found = trend(timed(noise))
        certain += found is not None and found.certain
    assert certain <= 24  # a plain Mann-Kendall finds a trend in more than half of them


def correlated(chance: random.Random, n: int, *, memory: float) -> Readings:
    """Noise with a standard deviation of 1 within 1.5 either way, each value `memory` times the one before."""
    value, values = chance.gauss(0, 1), []
    for _ in range(n):
        value = memory * value + sqrt(1 - memory * memory) * chance.gauss(0, 1)
        values.append(max(-1.5, min(1.5, value)))
    return values


def noisy(chance: random.Random, n: int) -> Readings:
    return [120 * MB * (1 + chance.uniform(-0.01, 0.01)) for _ in range(n)]


def wandering(chance: random.Random, n: int) -> Readings:
    return [120 * MB * (1 + 0.01 * value) for value in correlated(chance, n, memory=chance.choice((0.5, 0.9)))]


def collected(chance: random.Random, n: int) -> Readings:
    """Fills and is dropped again: teeth of any length and height, none like the one before."""
    height, level, values = chance.uniform(5, 100) * MB, 0.0, []
    pace = height / chance.uniform(4, n / 4)
    for _ in range(n):
        level += pace * chance.uniform(0.5, 1.5)
        if level > height * chance.uniform(0.8, 1.2):
            level = height * chance.uniform(0, 0.15)
        values.append(100 * MB + level)
    return values


def filled(chance: random.Random, n: int) -> Readings:
    """A cache: full after at most half of the time, or ever closer to full."""
    until, size = chance.uniform(0.1, 0.5) * n, chance.uniform(5, 100) * MB
    shares = [min(t / until, 1.0) if n % 2 else 1 - exp(-2 * t / until) for t in range(n)]
    return [100 * MB + size * share + chance.gauss(0, 0.3) * MB for share in shares]


def handles(chance: random.Random, n: int) -> Readings:
    """Descriptors of a pool: it finds its size, then they come and go."""
    until = chance.uniform(0.02, 0.4) * n
    return [10.0 + int(30 * min(t / until, 1)) + chance.randrange(6) for t in range(n)]


@pytest.mark.parametrize(
    ("healthy", "unit"),
    [(noisy, "bytes"), (wandering, "bytes"), (collected, "bytes"), (filled, "bytes"), (handles, "count")],
)
def test_of_a_thousand_healthy_series_at_most_one_is_called_leaking(
    healthy: Callable[[random.Random, int], Readings], unit: str
) -> None:
    """The level that the docstring promises, kept by each of five kinds of series."""
    flagged = [
        seed
        for seed in range(1000)
        if judge_leak(timed(healthy(random.Random(seed), (40, 41, 200)[seed % 3])), unit=unit).verdict == "leaking"
    ]
    assert len(flagged) <= 1


def leaking(chance: random.Random, n: int) -> Readings:
    return [30 * MB + t * MB + chance.gauss(0, 1) * MB for t in range(n)]


def leaking_under_teeth(chance: random.Random, n: int) -> Readings:
    """30 MB are collected again and again, and of each round a little stays."""
    period, phase = n / chance.uniform(20, 40), chance.random()
    return [100 * MB + 30 * MB * ((t / period + phase) % 1) + 30 * MB * t / n for t in range(n)]


def leaking_slowly(chance: random.Random, n: int) -> Readings:
    return [value + 120 * MB * 0.08 * t / n for t, value in enumerate(noisy(chance, n))]


def leaking_handles(chance: random.Random, n: int) -> Readings:
    return [20.0 + int(t) + chance.choice((0, 0, 1, 2)) for t in range(n)]


def leaking_threads(chance: random.Random, n: int) -> Readings:
    return [5.0 + chance.randrange(2) + int(t / 2) for t in range(n)]


@pytest.mark.parametrize(
    ("sick", "unit", "n"),
    [
        (leaking, "bytes", 40),
        (leaking, "bytes", 300),
        (leaking_slowly, "bytes", 300),
        (leaking_under_teeth, "bytes", 400),
        (leaking_handles, "count", 60),
        (leaking_threads, "count", 60),
    ],
)
def test_a_leak_is_found(sick: Callable[[random.Random, int], Readings], unit: str, n: int) -> None:
    """A MB, a descriptor or half a thread a second; 8% of noisy memory; what stays under saw teeth: 20 of 20."""
    verdicts = {judge_leak(timed(sick(random.Random(seed), n)), unit=unit).verdict for seed in range(20)}
    assert verdicts == {"leaking"}


def test_a_leak_says_how_fast_and_from_where_to_where() -> None:
    """The sentence and its figures are those of the line."""
    leak = judge_leak([(float(t), 120 * MB + t * 170 * MB / 3000) for t in range(3001)], what="target:8000: memory")
    assert leak.verdict == "leaking"
    assert leak.sentence == "target:8000: memory grew 3.40 MB/min, from 154 MB to 283 MB, and did not settle"
    assert leak.slope_per_h == pytest.approx(204 * MB, rel=0.01)
    assert leak.low == pytest.approx(204 * MB, rel=0.01)
    assert leak.high == pytest.approx(204 * MB, rel=0.01)
    assert leak.growth == pytest.approx(0.85, rel=0.05)


@pytest.mark.parametrize(
    ("values", "verdict", "sentence"),
    [
        ([100 * MB + 30 * MB * min(t / 80, 1) for t in range(200)], "settled", "memory grew to 130 MB and settled"),
        ([100 * MB] * 200, "steady", "memory was steady near 100 MB"),
        (
            [100 * MB] * (LEAST_READINGS - 2),
            "not enough data",
            "17 readings of memory after the warm-up, 24 are needed",
        ),
        ([], "not enough data", "0 readings of memory after the warm-up, 24 are needed"),
    ],
)
def test_what_is_no_leak_says_what_it_is(values: Readings, verdict: str, sentence: str) -> None:
    """A cache that settles, nothing at all, and too little to say."""
    leak = judge_leak(timed(values))
    assert (leak.verdict, leak.sentence) == (verdict, sentence)


def test_few_large_steps_are_not_called_a_leak() -> None:
    """Three buffers in a row may be the last three, so a longer test must tell."""
    leak = judge_leak(timed([100 * MB + 10 * MB * (t // 55) for t in range(200)]))
    assert leak.verdict == "not enough data"
    assert "a longer test can tell" in leak.sentence


def test_a_fall_in_the_warm_up_hides_no_leak() -> None:
    """What starting up took and gave back is left out; climbing past it is a leak."""
    fall = [150 * MB] * 45 + [100 * MB + t * MB for t in range(155)]
    assert judge_leak(timed(fall)).verdict == "leaking"


def test_one_tooth_of_a_saw_is_no_leak() -> None:
    """A drop, and a climb that ends where the drop began: the next drop may be near."""
    tooth = [100 * MB + (t + 100) % 155 * MB for t in range(200)]
    assert judge_leak(timed(tooth)).verdict in ("steady", "not enough data")


TIMES = st.one_of(st.integers(0, 60).map(float), st.floats(0, 1e9).map(lambda t: round(t, 2)), st.just(float("nan")))


@given(st.lists(st.tuples(TIMES, st.floats(0, 1e12)), max_size=120), st.sampled_from(Unit))
def test_any_readings_have_a_verdict(points: list[tuple[float, float]], unit: Unit) -> None:
    """Whatever is read, in whatever unit, a verdict and a sentence come of it."""
    leak = judge_leak(points, unit=unit)
    assert leak.verdict in ("leaking", "settled", "steady", "not enough data")
    assert leak.sentence
