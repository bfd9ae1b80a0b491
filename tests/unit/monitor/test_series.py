"""A series stays small and tells the truth about all that it was given."""

from __future__ import annotations

import json
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.monitor.series import Series

VALUES = st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=300)


def filled(values, max_points=16) -> Series:
    series = Series(max_points)
    for second, value in enumerate(values):
        series.add(float(second), value)
    return series


@given(VALUES, st.integers(2, 40), st.sets(st.integers(0, 300)))
def test_halving_loses_no_extreme_and_no_sum(values, max_points, early):
    """However often and whenever it is halved: points stay few, extremes, count and mean exact."""
    series = Series(max_points)
    for second, value in enumerate(values):
        series.add(float(second), value)
        if second in early:
            series.halve()
        assert len(series) <= max_points
    told = series.encode(10**6)
    assert (told["min"], told["max"], told["mean"]) == (min(values), max(values), round(sum(values) / len(values)))
    assert sum(span.n for span in series.spans) == len(values) == series.count
    assert sum(span.total for span in series.spans) == sum(values)
    assert min(span.low for span in series.spans) == min(values)
    assert max(span.high for span in series.spans) == max(values)


@given(VALUES, st.integers(2, 40))
def test_the_course_keeps_its_order_and_its_middle(values, max_points):
    """Points go forward in time, each at the mean time of what it stands for; the mean time of all is kept."""
    series = filled(values, max_points)
    times = [span.at for span in series.spans]
    assert times == sorted(times)
    total = sum(span.t for span in series.spans)
    assert total == pytest.approx(sum(range(len(values))))


@given(VALUES.filter(lambda values: min(values) >= 0))
def test_percentiles_are_those_of_the_readings(values):
    """Nearest rank within 1%, whatever was halved."""
    told = filled(values).encode()
    for name, share in (("p95", 95), ("p99", 99)):
        exact = sorted(values)[max(ceil(share / 100 * len(values)) - 1, 0)]
        assert abs(told[name] - exact) <= 0.01 * exact + 1


def test_a_document_holds_few_points_and_their_extremes():
    """Asked for less, a document gets less: the series itself keeps what it has."""
    series = filled([0, 10, 0, 100], max_points=16)
    assert series.encode()["points"] == [[0.0, 0], [1.0, 10], [2.0, 0], [3.0, 100]]
    assert "high" not in series.encode()
    told = series.encode(2)
    assert told["points"] == [[0.5, 5], [2.5, 50]]
    assert (told["low"], told["high"]) == ([0, 0], [10, 100])
    assert series.points() == [(0.0, 0.0), (1.0, 10.0), (2.0, 0.0), (3.0, 100.0)]
    assert json.loads(json.dumps(told)) == told


def test_an_empty_series_tells_nothing():
    """No figure is made up."""
    assert Series().encode() == {}
    assert Series().points() == []
