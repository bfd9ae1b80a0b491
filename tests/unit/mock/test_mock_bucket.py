"""The rate limit is kept to the token."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.mock.bucket import TokenBucket

RATES = st.floats(0.1, 1000)


@given(RATES, st.integers(1, 50), st.lists(st.floats(0, 2), max_size=200))
def test_no_stretch_of_time_lets_through_more_than_burst_and_rate(rate: float, burst: int, gaps: list[float]) -> None:
    """Between any two admissions there are at most the burst and what the time refilled."""
    bucket, now, admitted = TokenBucket(rate, burst, 0.0), 0.0, []
    for gap in gaps:
        now += gap
        if not bucket.take(now):
            admitted.append(now)
    for first, start in enumerate(admitted):
        for last in range(first, len(admitted)):
            assert last - first + 1 <= burst + rate * (admitted[last] - start) + 1e-6


@given(RATES, st.integers(1, 50))
def test_who_waits_as_told_is_let_in(rate: float, burst: int) -> None:
    """The wait is enough, and no token is taken by a refusal."""
    bucket, now = TokenBucket(rate, burst, 0.0), 0.0
    assert [bucket.take(now) for _ in range(burst)] == [0.0] * burst
    for _ in range(20):
        wait = bucket.take(now)
        assert wait > 0
        assert bucket.take(now) == wait
        now += wait
        assert bucket.take(now) == 0.0


def test_a_bucket_holds_no_more_than_its_burst() -> None:
    """A long rest does not save up."""
    bucket = TokenBucket(10, 2, 0.0)
    assert [bool(bucket.take(1000.0)) for _ in range(3)] == [False, False, True]
    assert bucket.take(1000.0) == pytest.approx(0.1)
