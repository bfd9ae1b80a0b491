"""The grammar of a mock's spec."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.errors import ConfigError
from agentlocust.mock.behaviour import Behaviour, overlaid, parse_spec, split_model
from agentlocust.mock.distributions import Distribution, parse_distribution, seconds
from agentlocust.mock.readers import status_named


def test_an_empty_spec_is_the_default_behaviour() -> None:
    """Nothing said changes nothing."""
    assert parse_spec("") == Behaviour()


def test_a_spec_sets_what_it_names() -> None:
    """Commas and semicolons part options; those inside parentheses part numbers."""
    found = parse_spec(
        "ttft=lognormal(1s,0.3); tokens=uniform(10,100),cached=50%,usage=no,errors=429:0.1|overloaded:5%"
    )
    assert found.ttft == Distribution("lognormal", 1.0, 0.3)
    assert found.tokens == Distribution("uniform", 10, 100)
    assert found.cached == 0.5
    assert found.usage is False
    assert found.errors == (("429", 0.1), ("overloaded", 0.05))


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("tftt=1s", "did you mean ttft?"),
        ("ttft=1", "no unit"),
        ("ttft", "has no value"),
        ("ttft=1s,ttft=2s", "given twice"),
        ("ttft=lognormal(1s)", "takes 2 numbers"),
        ("ttft=gauss(1s,1s)", "no distribution"),
        ("itl=uniform(2s,1s)", "wrong way round"),
        ("ttft=2h", "over an hour"),
        ("tokens=-1", "negative"),
        ("tools=allways", "did you mean always?"),
        ("errors=429", "has no share"),
        ("errors=429:0.6|500:0.6", "more than 1"),
        ("errors=rate_limit:0.1", "did you mean rate_limited?"),
        ("cached=0.8,cache_write=0.4", "more than 1"),
        ("cut=1.5", "whole number"),
        ("status=200", "not a failure"),
        ("seed=", "has no value"),
        ("x" * 5000, "characters"),
    ],
)
def test_a_bad_spec_says_what_is_wrong(spec: str, says: str) -> None:
    """Every mistake is a ConfigError that names the option."""
    with pytest.raises(ConfigError, match="mock") as caught:
        parse_spec(spec)
    assert says in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_a_behaviour_or_a_config_error(text: str) -> None:
    """No input makes the parser fail in another way."""
    try:
        assert isinstance(parse_spec(text), Behaviour)
    except ConfigError:
        pass


def test_a_header_wins_over_a_model_name_and_that_over_the_option() -> None:
    """The nearest wish wins, and what it does not name stays."""
    base = parse_spec("tokens=1,bundle=2,cut=3")
    found = overlaid(base, "tokens=10,bundle=20", "tokens=100")
    assert (found.tokens.a, found.bundle, found.cut) == (100, 20, 3)


@pytest.mark.parametrize(
    ("name", "clean", "spec"),
    [
        ("mock", "mock", ""),
        ("gpt-4o-mini@ttft=1s;tokens=10", "gpt-4o-mini", "ttft=1s;tokens=10"),
        ("claude-3-5-sonnet@20240620", "claude-3-5-sonnet@20240620", ""),
    ],
)
def test_a_model_name_is_parted_from_its_spec(name: str, clean: str, spec: str) -> None:
    """Only a suffix with an = is a spec."""
    assert split_model(name) == (clean, spec)


def test_failures_have_names_and_statuses() -> None:
    """A failure can be asked for either way."""
    assert status_named("rate_limited") == status_named("429") == 429


@pytest.mark.parametrize(
    "law", ["20ms", "uniform(0,20ms)", "normal(1ms,20ms)", "lognormal(20ms,1)", "exponential(20ms)"]
)
@given(seed=st.integers(0, 1000))
def test_what_is_drawn_is_never_negative_and_repeats_with_its_seed(law: str, seed: int) -> None:
    """A time before now cannot be drawn, and a seed fixes the draw."""
    found = parse_distribution(law, seconds)
    drawn = found.draw(random.Random(seed))
    assert drawn >= 0
    assert drawn == found.draw(random.Random(seed))


def test_a_lognormal_is_written_by_its_median() -> None:
    """Half of what is drawn lies below the first number."""
    found = parse_distribution("lognormal(200ms,0.5)", seconds)
    rng = random.Random(1)
    below = sum(found.draw(rng) < 0.2 for _ in range(2000))
    assert 900 < below < 1100
