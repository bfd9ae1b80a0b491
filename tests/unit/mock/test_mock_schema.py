"""Values made from JSON Schemas satisfy them."""

from __future__ import annotations

import random
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentlocust.mock.patterns import text_matching
from agentlocust.mock.schema import value_for


def _numbers() -> st.SearchStrategy[dict[str, Any]]:
    bounds = st.tuples(st.integers(-50, 50), st.integers(0, 50))
    return st.builds(
        lambda kind, bound, exclusive: {
            "type": kind,
            ("exclusiveMinimum" if exclusive else "minimum"): bound[0],
            ("exclusiveMaximum" if exclusive else "maximum"): bound[0] + bound[1] + 2,
        },
        st.sampled_from(["integer", "number"]),
        bounds,
        st.booleans(),
    )


def _strings() -> st.SearchStrategy[dict[str, Any]]:
    lengths = st.tuples(st.integers(0, 20), st.integers(0, 20))
    return st.one_of(
        lengths.map(lambda pair: {"type": "string", "minLength": pair[0], "maxLength": pair[0] + pair[1]}),
        st.sampled_from(["date", "date-time", "email", "ipv4", "uuid"]).map(lambda f: {"type": "string", "format": f}),
        st.sampled_from([r"^[A-Z]{2}\d{3}$", r"^(red|blue)-\w+$", r"^\S+@x\.org$", r"^[^a-c]+$"]).map(
            lambda p: {"type": "string", "pattern": p}
        ),
    )


_leaves = st.one_of(
    _numbers(),
    _strings(),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"enum": ["a", 1, None]}, {"const": {"k": [1]}}]),
    st.just({"type": ["string", "null"]}),
)


def _nested(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    properties = st.dictionaries(st.sampled_from("abcd"), inner, max_size=3)
    objects = st.builds(
        lambda props, extra: {"type": "object", "properties": props, "required": [*sorted(props)[:1], *extra]},
        properties,
        st.sampled_from([[], ["z"]]),
    )
    arrays = st.builds(
        lambda item, low: {"type": "array", "items": item, "minItems": low, "maxItems": low + 2},
        inner,
        st.integers(0, 3),
    )
    return st.one_of(objects, arrays, st.lists(inner, min_size=1, max_size=3).map(lambda some: {"anyOf": some}))


@settings(max_examples=300)
@given(schema=st.recursive(_leaves, _nested, max_leaves=6), seed=st.integers(0, 2**32))
def test_a_value_satisfies_its_schema(schema: dict[str, Any], seed: int) -> None:
    """What is made validates, and is the same again with the same seed."""
    made = value_for(schema, random.Random(seed))
    jsonschema.Draft202012Validator(schema).validate(made)
    assert made == value_for(schema, random.Random(seed))


def test_references_are_followed_and_recursion_ends() -> None:
    """A tree that refers to itself comes out finite and valid."""
    schema = {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                    "kids": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                },
                "required": ["name", "next", "kids"],
                "additionalProperties": False,
            }
        },
    }
    for seed in range(20):
        jsonschema.validate(value_for(schema, random.Random(seed)), schema)


@pytest.mark.parametrize(
    "schema",
    [
        True,
        False,
        {},
        7,
        {"$ref": "#/nowhere"},
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"type": "string", "pattern": "("},
    ],
)
def test_a_senseless_schema_still_gives_a_value(schema: object) -> None:
    """A schema that says nothing, or nonsense, ends in something small."""
    assert len(str(value_for(schema, random.Random(1)))) < 100


def test_unique_items_are_unique() -> None:
    """A set of enum values has no value twice."""
    schema = {"type": "array", "items": {"enum": [1, 2, 3]}, "minItems": 3, "uniqueItems": True}
    for seed in range(20):
        jsonschema.validate(value_for(schema, random.Random(seed)), schema)


@pytest.mark.parametrize("pattern", ["(a)\\1", "a{99999}", "(?=x)"])
def test_a_pattern_that_is_too_hard_gives_nothing(pattern: str) -> None:
    """What cannot be made is None, never a wrong text."""
    assert text_matching(pattern, random.Random(1)) is None
