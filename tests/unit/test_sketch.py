"""The sketch: exact where it says so, within 1% elsewhere, and the same however it is merged."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable

import msgpack
import pytest
from ddsketch import DDSketch
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.sketch import RELATIVE_ERROR, Sketch, bucket_of, middle_of

PERCENTILES = (0.1, 1, 10, 25, 50, 75, 90, 95, 99, 99.9, 100)
VALUES = st.lists(st.integers(min_value=-(10**15), max_value=10**15), max_size=60)

DISTRIBUTIONS: dict[str, Callable[[random.Random], float]] = {
    "uniform": lambda r: r.uniform(1e6, 1e9),
    "narrow": lambda r: r.uniform(1e8, 1.001e8),
    "normal": lambda r: abs(r.gauss(1e8, 1e7)),
    "lognormal": lambda r: r.lognormvariate(18, 1),
    "wide lognormal": lambda r: r.lognormvariate(18, 4),
    "exponential": lambda r: r.expovariate(1e-8),
    "pareto": lambda r: r.paretovariate(1.2) * 1e6,
    "weibull": lambda r: r.weibullvariate(1e8, 0.7),
    "gamma": lambda r: r.gammavariate(2, 1e7),
    "beta": lambda r: r.betavariate(0.5, 0.5) * 1e9,
    "triangular": lambda r: r.triangular(1, 1e6, 1e5),
    "two peaks": lambda r: r.choice((r.gauss(1e7, 1e5), r.gauss(1e9, 1e7))),
    "timeouts": lambda r: 6e10 if r.random() < 0.02 else r.lognormvariate(18, 0.5),
    "constant": lambda r: 20_000_000,
    "steps": lambda r: r.choice((1e6, 2e6, 5e6, 1e7)),
    "small integers": lambda r: r.randint(0, 12),
    "tokens": lambda r: r.randint(1, 4096),
    "nanoseconds": lambda r: r.randint(1, 999),
    "years": lambda r: r.uniform(1e15, 1e17),
    "negative": lambda r: r.gauss(0, 1e9),
}


def a_sketch(values: list[int]) -> Sketch:
    sketch = Sketch()
    sketch.extend(values)
    return sketch


def nearest_rank(values: list[int], p: float) -> int:
    ordered = sorted(values)
    return ordered[max(math.ceil(round(p / 100 * len(ordered), 9)), 1) - 1]


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_percentiles_are_within_one_percent_of_the_exact_ones(name: str) -> None:
    """For any shape of distribution, count, sum, min, max and mean are exact and percentiles are near."""
    generator = random.Random(name)
    values = [round(DISTRIBUTIONS[name](generator)) for _ in range(3000)]
    sketch = a_sketch(values)
    assert (sketch.count, sketch.sum, sketch.min, sketch.max) == (3000, sum(values), min(values), max(values))
    assert sketch.mean == sum(values) / 3000
    for p in PERCENTILES:
        exact = nearest_rank(values, p)
        assert abs(sketch.percentile(p) - exact) <= RELATIVE_ERROR * abs(exact) * (1 + 1e-9)


@pytest.mark.parametrize("name", ["lognormal", "two peaks", "timeouts", "uniform", "gamma"])
def test_two_other_sketches_agree(name: str) -> None:
    """DDSketch and HdrHistogram, fed the same values, give the same percentiles within their errors."""
    generator = random.Random(name)
    values = [max(round(DISTRIBUTIONS[name](generator)), 1) for _ in range(5000)]
    sketch, oracle, histogram = a_sketch(values), DDSketch(RELATIVE_ERROR), HdrHistogram(1, 10**12, 3)
    for value in values:
        oracle.add(value)
        histogram.record_value(value)
    for p in (10, 50, 90, 95, 99):
        assert sketch.percentile(p) == pytest.approx(histogram.get_value_at_percentile(p), rel=0.012)
        # DDSketch takes a lower rank, so it may be one value behind.
        low, high = nearest_rank(values, p - 0.04), nearest_rank(values, p + 0.04)
        assert low * 0.99 <= oracle.get_quantile_value(p / 100) <= high * 1.01
        assert low * 0.99 <= sketch.percentile(p) <= high * 1.01


@given(VALUES, st.floats(min_value=0.01, max_value=100))
def test_any_percentile_of_any_values_is_near(values: list[int], p: float) -> None:
    """The 1% holds for every percentile of every list of integers."""
    if not values:
        assert math.isnan(a_sketch(values).percentile(p))
        return
    exact = nearest_rank(values, p)
    assert abs(a_sketch(values).percentile(p) - exact) <= RELATIVE_ERROR * abs(exact) * (1 + 1e-9)


@given(st.lists(VALUES, min_size=8, max_size=8), st.randoms(use_true_random=False))
def test_eight_workers_in_any_order_equal_one_stream(parts: list[list[int]], generator: random.Random) -> None:
    """Merging is bit for bit the same as having recorded everything in one place."""
    whole = a_sketch(list(itertools.chain(*parts)))
    generator.shuffle(parts)
    merged = Sketch()
    for part in parts:
        merged.merge(Sketch.decode(msgpack.unpackb(msgpack.packb(a_sketch(part).encode()))))
    assert merged == whole


@given(VALUES, VALUES, VALUES)
def test_merging_is_associative_and_commutative(a: list[int], b: list[int], c: list[int]) -> None:
    """(a + b) + c is a + (b + c) is (c + b) + a."""

    def merged(*sketches: Sketch) -> Sketch:
        result = Sketch()
        for sketch in sketches:
            result.merge(sketch)
        return result

    x, y, z = a_sketch(a), a_sketch(b), a_sketch(c)
    assert merged(merged(x, y), z) == merged(x, merged(y, z)) == merged(merged(z, y), x)


@given(VALUES)
def test_a_sketch_survives_its_encoding(values: list[int]) -> None:
    """Decoding gives an equal sketch that can go on recording."""
    sketch = a_sketch(values)
    decoded = Sketch.decode(sketch.encode())
    assert decoded == sketch
    decoded.add(7)
    assert decoded == a_sketch([*values, 7])


@given(st.lists(st.integers(min_value=-(10**18), max_value=10**18), min_size=2))
def test_buckets_keep_the_order_of_values(values: list[int]) -> None:
    """A larger value is never in a lower bucket, and each bucket's middle is within 1%."""
    buckets = [bucket_of(value) for value in sorted(values)]
    assert buckets == sorted(buckets)
    assert all(abs(middle_of(bucket_of(value)) - value) <= RELATIVE_ERROR * abs(value) * (1 + 1e-9) for value in values)


@given(VALUES, st.integers(min_value=-(10**15), max_value=10**15))
def test_count_at_most_errs_only_by_values_within_its_bucket(values: list[int], limit: int) -> None:
    """Values clearly below the limit are counted, values clearly above are not."""
    slack = abs(limit) * 0.021 + 1
    counted = a_sketch(values).count_at_most(limit)
    assert sum(v <= limit for v in values) <= counted <= sum(v <= limit + slack for v in values)


def test_an_empty_sketch_has_no_numbers() -> None:
    """No samples give nan, never 0."""
    assert math.isnan(Sketch().mean)
    assert math.isnan(Sketch().percentile(50))
    assert Sketch() == Sketch.decode([0, 0, 0, 0])
