"""The scalability law's fit finds what was planted."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.shapes.usl import Law, fit

LEVELS = (1, 2, 4, 8, 16, 32, 64)
laws = st.builds(Law, st.floats(0.1, 1000), st.floats(0, 0.5), st.floats(0, 0.01))


@given(laws)
def test_planted_coefficients_are_found(law: Law) -> None:
    """Without noise the fit is exact, also where a coefficient is 0."""
    found = fit([(n, law.throughput(n)) for n in LEVELS])
    assert found is not None
    assert found.lam == pytest.approx(law.lam, rel=1e-6)
    assert found.sigma == pytest.approx(law.sigma, abs=1e-6)
    assert found.kappa == pytest.approx(law.kappa, abs=1e-6)
    assert found.error < 1e-6


@given(laws, st.integers(0, 10_000))
def test_noise_moves_the_law_little(law: Law, seed: int) -> None:
    """With 2% of noise the law still says within 5% what was measured, and no coefficient is negative."""
    rng = random.Random(seed)
    found = fit([(n, law.throughput(n) * rng.uniform(0.98, 1.02)) for n in LEVELS])
    assert found is not None
    assert found.sigma >= 0
    assert found.kappa >= 0
    for n in LEVELS:
        assert found.throughput(n) == pytest.approx(law.throughput(n), rel=0.05)


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), max_size=12))
def test_any_measurement_is_answered(pairs: list[tuple[float, float]]) -> None:
    """Rubbish gives a law within its bounds, or none."""
    found = fit(pairs)
    assert found is None or (found.lam > 0 and found.sigma >= 0 and found.kappa >= 0)


def test_superlinear_throughput_is_fitted_by_a_straight_line() -> None:
    """Negative coefficients have no meaning; the nearest law within bounds is linear."""
    found = fit([(1, 1.0), (2, 2.2), (4, 4.8), (8, 10.0)])
    assert found is not None
    assert (found.sigma, found.kappa) == (0, 0)
    assert found.peak is None
    assert found.most is None


def test_the_peak_is_where_the_law_says() -> None:
    """sqrt((1 - sigma) / kappa), and no neighbour does better."""
    law = Law(10, 0.05, 0.0095)
    assert law.peak == pytest.approx(10)
    assert law.most == law.throughput(10)
    assert law.throughput(9) < law.throughput(10) > law.throughput(11)
    assert Law(10, 0.2, 0).most == pytest.approx(50)
    assert Law(10, 2, 0.1).peak == 1


def test_two_levels_are_too_few() -> None:
    """Three coefficients take three levels; those without throughput do not count."""
    assert fit([(1, 1.0), (2, 2.0), (2, 2.1)]) is None
    assert fit([(1, 1.0), (2, 2.0), (4, 0.0)]) is None
