"""Answers: determinism, limits, bundles, tools and usage."""

from __future__ import annotations

import json
import random
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.mock.asks import Ask, Tool, read_chat
from agentlocust.mock.behaviour import Behaviour, parse_spec
from agentlocust.mock.plan import Occurrences, Plan, input_usage, make_plan

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def an_ask(**changes: Any) -> Ask:
    """An ask for a reply, in which nothing is special."""
    fields: dict[str, Any] = {"input_tokens": 100, "stream": True, "include_usage": True, "last_user": "hi", "limit": 0}
    return Ask(**{**fields, **changes})


def a_plan(spec: str = "", seed: int = 1, **changes: Any) -> Plan:
    """The plan for an ask under a spec."""
    return make_plan(an_ask(**changes), parse_spec(spec), "mock", 0, random.Random(seed))


def test_the_same_body_at_the_same_occurrence_has_the_same_answer() -> None:
    """Two mocks with one seed agree on the n-th answer to a body, whatever the order of its keys."""
    first, second = Occurrences(7), Occurrences(7)
    body, turned = {"a": 1, "b": 2}, {"b": 2, "a": 1}
    drawn = [first.source("/x", body).random() for _ in range(3)]
    assert drawn == [second.source("/x", turned).random() for _ in range(3)]
    assert len(set(drawn)) == 3


@pytest.mark.parametrize("other", [("/y", {"a": 1}, 7), ("/x", {"a": 2}, 7), ("/x", {"a": 1}, 8)])
def test_another_path_body_or_seed_has_another_answer(other: tuple[str, object, int]) -> None:
    """Each of the three changes what is drawn."""
    path, body, seed = other
    assert Occurrences(7).source("/x", {"a": 1}).random() != Occurrences(seed).source(path, body).random()


@given(reasoning=st.integers(0, 9), tokens=st.integers(1, 20), bundle=st.integers(1, 7), limit=st.integers(0, 30))
def test_every_output_token_is_in_one_piece(reasoning: int, tokens: int, bundle: int, limit: int) -> None:
    """Weights, usage and words agree, under any limit and bundle."""
    plan = a_plan(f"tokens={tokens},reasoning_tokens={reasoning},bundle={bundle}", limit=limit)
    answer = plan.answer
    total = min(reasoning + tokens, limit or 99)
    assert sum(plan.weights) == plan.usage.output == total
    assert len(plan.weights) == len(answer.reasoning) + len(answer.text)
    assert len("".join(answer.reasoning).split()) == plan.usage.reasoning == min(reasoning, total)
    assert len("".join(answer.text).split()) == total - plan.usage.reasoning
    assert answer.finish == ("length" if total < reasoning + tokens else "stop")


@given(tokens=st.integers(0, 10_000), cached=st.floats(0, 0.5), written=st.floats(0, 0.5))
def test_input_tokens_are_shared_out_without_loss(tokens: int, cached: float, written: float) -> None:
    """Uncached, read and written tokens add up to the input."""
    usage = input_usage(tokens, Behaviour(cached=cached, cache_write=written))
    assert usage.input == tokens
    assert usage.uncached_input >= 0


@pytest.mark.parametrize(
    ("spec", "ask", "calls"),
    [
        ("tools=auto", {}, 1),
        ("tools=auto,tool_calls=3", {}, 3),
        ("tool_calls=3", {"parallel": False}, 1),
        ("tools=auto", {"answered": True}, 0),
        ("tools=always", {"answered": True}, 1),
        ("tools=never", {}, 0),
        ("tools=never", {"choice": "required"}, 1),
        ("tools=always", {"choice": "none"}, 0),
        ("tools=auto", {"tools": ()}, 0),
    ],
)
def test_tools_are_called_when_they_should_be(spec: str, ask: dict[str, Any], calls: int) -> None:
    """What the request demands comes before what the spec prefers."""
    answer = a_plan(spec, **{"tools": (Tool("look", SCHEMA),), **ask}).answer
    assert len(answer.calls) == calls
    assert answer.finish == ("tools" if calls else "stop")
    assert bool(answer.text) is not bool(calls)
    for call in answer.calls:
        jsonschema.validate(json.loads(call.arguments), SCHEMA)


def test_a_token_limit_cuts_a_tool_call() -> None:
    """Arguments can be cut in the middle, as models do it."""
    plan = a_plan("tool_calls=2", tools=(Tool("look", SCHEMA),), limit=2)
    assert len(plan.answer.calls) == 1
    assert plan.answer.finish == "length"
    assert plan.usage.output == 2


@given(st.text(max_size=80).filter(str.strip))
def test_an_echo_is_the_users_text(text: str) -> None:
    """The pieces of an echo join to exactly what was said."""
    answer = a_plan("echo=prompt", last_user=text).answer
    assert "".join(answer.text) == text


def test_a_text_with_a_schema_satisfies_it() -> None:
    """response_format gives JSON of its shape, as text."""
    jsonschema.validate(json.loads("".join(a_plan(schema=SCHEMA).answer.text)), SCHEMA)


def test_usage_can_be_kept_from_the_client() -> None:
    """usage=no hides the usage from the answer, not from the books."""
    plan = a_plan("usage=no,tokens=5")
    assert plan.answer.usage is None
    assert plan.usage.output == 5


def test_a_tool_result_counts_only_after_the_last_words_of_the_user() -> None:
    """A result of an earlier turn does not answer the new question."""
    user, result = {"role": "user", "content": "q"}, {"role": "tool", "tool_call_id": "1", "content": "r"}
    assert read_chat({"messages": [user, result]}).answered is True
    assert read_chat({"messages": [user, result, user]}).answered is False


def test_input_tokens_are_four_characters_each() -> None:
    """Text by four, rounded up, and three more a message."""
    messages = [{"role": "system", "content": "12345"}, {"role": "user", "content": [{"type": "text", "text": "1234"}]}]
    assert read_chat({"messages": messages}).input_tokens == 2 + 1 + 2 * 3


def test_no_tokens_is_an_empty_reply() -> None:
    """tokens=0 gives nothing; a distribution that draws 0 gives one token."""
    assert a_plan("tokens=0").answer.text == ()
    assert len(a_plan("tokens=uniform(0,0.1)").answer.text) == 1


@given(st.integers(1, 300), st.integers(0, 50))
def test_a_filled_reply_is_as_long_as_it_may_be(limit: int, reasoning: int) -> None:
    """fill=yes makes max_tokens the length; without a limit the reply is `tokens` long."""
    spec = f"fill=yes,tokens=5,reasoning_tokens={reasoning}"
    assert a_plan(spec, limit=limit).usage.output == limit
    assert a_plan(spec, limit=0).usage.output == 5 + reasoning
