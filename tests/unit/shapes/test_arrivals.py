"""Rates and laws as people write them, and what the laws draw."""

from __future__ import annotations

import random
import statistics

import pytest

from agentlocust.errors import ConfigError
from agentlocust.shapes.arrivals import Arrivals, Law, constant, gamma, parse_rates, poisson, uniform

LAWS = [Law("poisson"), Law("constant"), Law("uniform"), Law("gamma", 0.5), Law("gamma", 4.0)]


@pytest.mark.parametrize(
    ("text", "law"),
    [
        ("poisson", Law("poisson")),
        (" constant ", Law("constant")),
        ("uniform", Law("uniform")),
        ("gamma(0.5)", Law("gamma", 0.5)),
        ("gamma( 2 )", Law("gamma", 2.0)),
    ],
)
def test_a_law_is_read_and_written(text, law):
    """What is written reads as the same law again."""
    assert Law.parse(text) == law
    assert Law.parse(str(law)) == law


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("possion", "did you mean poisson?"),
        ("", "write poisson, constant"),
        ("gamma", "gamma needs its shape"),
        ("gamma()", "write gamma(0.5)"),
        ("gamma(many)", "write gamma(0.5)"),
        ("gamma(0)", "no shape of a gamma law"),
        ("gamma(-1)", "no shape of a gamma law"),
        ("gamma(1000000)", "no shape of a gamma law"),
        ("poisson(3)", "poisson takes no number"),
        ("x" * 5000, "write poisson, constant"),
        (None, "there are no 'None' arrivals"),
    ],
)
def test_a_bad_law_is_refused(text, told):
    """The message names the option and the way out."""
    with pytest.raises(ConfigError) as refused:
        Law.parse(text, where="--arrivals")
    assert told in str(refused.value)
    assert refused.value.where == "--arrivals"
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_gaps_are_one_on_average(law):
    """Whatever the law, the rate is the rate."""
    rng = random.Random(42)
    gaps = [law.gap(rng) for _ in range(20_000)]
    assert min(gaps) >= 0
    assert statistics.fmean(gaps) == pytest.approx(1, abs=0.04)


@pytest.mark.parametrize(
    ("law", "deviation"),
    [(Law("poisson"), 1), (Law("constant"), 0), (Law("uniform"), 3**-0.5), (Law("gamma", 0.25), 2), (LAWS[4], 0.5)],
    ids=str,
)
def test_gaps_are_spread_by_their_law(law, deviation):
    """The coefficient of variation is the law's: 1/√k for gamma."""
    rng = random.Random(42)
    assert statistics.pstdev(law.gap(rng) for _ in range(20_000)) == pytest.approx(deviation, abs=0.05)


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_the_first_wait_makes_the_count_true_from_the_start(law):
    """With the stationary first wait, one mean gap holds one arrival on average, however bursty the law."""
    rng = random.Random(42)
    counts = []
    for _ in range(8000):
        at, count = law.first(rng), 0
        while at < 1:
            at, count = at + law.gap(rng), count + 1
        counts.append(count)
    assert statistics.fmean(counts) == pytest.approx(1, abs=0.07)


def test_a_class_names_its_arrivals():
    """`arrivals = poisson("20/s")`, in any unit of time."""
    assert poisson("20/s") == Arrivals(20.0, Law("poisson"))
    assert constant("90/min") == Arrivals(1.5, Law("constant"))
    assert gamma("3600/h", 0.5) == Arrivals(1.0, Law("gamma", 0.5))
    assert uniform("1/s") == Arrivals(1.0, Law("uniform"))
    assert str(gamma("2/s", 0.5)) == "gamma(0.5) 2/s"


@pytest.mark.parametrize("k", [0, -1, float("nan"), float("inf"), "2", True])
def test_a_class_with_a_bad_shape_is_refused(k):
    """What is no number above 0 makes no law."""
    with pytest.raises(ConfigError, match="no shape of a gamma law"):
        gamma("2/s", k)


def test_rates_by_class():
    """A bare rate is everybody's; `CLASS=` gives one class its own."""
    assert parse_rates(["20/s"]) == {"": 20.0}
    assert parse_rates(["Support=100/min", " Sales = 2/s", "1/s"]) == {"Support": 100 / 60, "Sales": 2.0, "": 1.0}
    assert parse_rates([]) == {}


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["20"], "write 20/s"),
        (["fast"], "is not a rate"),
        (["0/s"], "a rate of 0 starts nothing"),
        (["-3/s"], "is not a rate"),
        (["200000/s"], "more than 100,000/s"),
        (["1/s", "2/s"], "the rate is given twice"),
        (["A=1/s", "A=1/s"], "the rate of A is given twice"),
        (["=1/s"], "is not a User class"),
        (["a b=1/s"], "is not a User class"),
        (["A=B=1/s"], "is not a User class"),
        (["A="], "is not a rate"),
    ],
)
def test_bad_rates_are_refused(texts, told):
    """The message names the option and the way out."""
    with pytest.raises(ConfigError) as refused:
        parse_rates(texts)
    assert told in str(refused.value)
    assert refused.value.where == "--rate"
