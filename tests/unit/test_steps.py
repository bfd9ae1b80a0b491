"""What a step keeps of arguments, results and conversations."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.steps import CallStep, conversations, digest, growth, items_in, parsed, result_text
from agentlocust.usage import Usage

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=4), VALUES, max_size=4))
def test_equal_arguments_have_equal_digests_however_they_are_written(arguments: dict[str, object]) -> None:
    """Neither the order of keys nor spaces nor escapes make other arguments."""
    backwards = dict(reversed(arguments.items()))
    assert digest(json.dumps(arguments)) == digest(json.dumps(backwards, indent=2, ensure_ascii=False))


def test_other_arguments_have_other_digests() -> None:
    """Text that is no JSON has a digest too, and no text has none."""
    texts = ['{"a":1}', '{"a":"1"}', '{"a":2}', '{"a":', "a"]
    assert len({digest(text) for text in texts}) == len(texts)
    assert digest("") == ""


@pytest.mark.parametrize(
    ("result", "items"),
    [
        ([1, 2, 3], 3),
        ("[1,2]", 2),
        ('  {"orders": [1, 2, 3, 4], "tags": ["x"]}', 4),
        ({"orders": ()}, 0),
        ({"order": 4}, None),
        ("[not JSON", None),
        ("sent", None),
        (None, None),
        (7, None),
        ("[" + "1," * (1 << 20) + "1]", None),
    ],
)
def test_a_result_s_items_are_those_of_its_list(result: object, items: int | None) -> None:
    """As a Python value or as JSON text; what is too large to look into has none."""
    assert items_in(result) == items


def test_a_result_is_told_as_text() -> None:
    """As it is, as JSON, or as nothing."""
    assert [result_text(value) for value in ("a", None, {"a": {1}})] == ["a", "", '{"a": "{1}"}']


def test_json_from_elsewhere_is_an_error_or_a_value() -> None:
    """Nesting without end is refused, not a crash."""
    for text in ("[" * 100_000, "{", "", '"\\ud800"'):
        with pytest.raises(ValueError):
            parsed(text)


@given(st.integers(-1000, 1000), st.integers(0, 10_000), st.integers(2, 50))
def test_growth_is_the_slope_of_a_line(gain: int, start: int, turns: int) -> None:
    """A context that grows by so much a turn grows by so much; one turn tells nothing."""
    inputs = [start + gain * turn for turn in range(turns)]
    assert growth(inputs) == pytest.approx(gain, abs=1e-6)
    assert growth(inputs[:1]) is None


def test_conversations_are_told_apart_by_agent_and_name() -> None:
    """Two agents that talk in turns have a context each; failed calls are in none."""

    def call(name: str, agent: str, failure: str = "") -> CallStep:
        return CallStep(name, "m", 0.0, 1.0, usage=Usage(uncached_input=1), agent=agent, failure=failure)

    steps = [call("a", "x"), call("a", "y"), call("a", "x", "reset"), call("a", "x"), call("b", "x")]
    assert [[(step.name, step.agent) for step in talk] for talk in conversations(steps)] == [
        [("a", "x"), ("a", "x")],
        [("a", "y")],
        [("b", "x")],
    ]
