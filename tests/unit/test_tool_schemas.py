"""Tools read from a request's bytes, and arguments held against them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.steps import digest
from agentlocust.tool_schemas import ToolReader, asks_of

SCHEMA = {
    "type": "object",
    "properties": {
        "order": {"type": "integer"},
        "note": {"type": ["string", "null"]},
        "by": {"enum": ["post", "courier"]},
        "odd": {"type": "matrix"},
    },
    "required": ["order"],
}
CHAT = {"type": "function", "function": {"name": "find", "parameters": SCHEMA}}
FLAT = {"type": "function", "name": "find", "parameters": SCHEMA}
ANTHROPIC = {"name": "find", "input_schema": SCHEMA}


def body(*tools: Any, text: str = "hi", **dumps: Any) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": text}], "tools": list(tools)}, **dumps).encode()


@pytest.mark.parametrize("tool", [CHAT, FLAT, ANTHROPIC])
@pytest.mark.parametrize("dumps", [{}, {"indent": 1}, {"separators": (",", ":")}])
def test_tools_are_read_in_every_provider_s_form(tool: dict[str, Any], dumps: dict[str, Any]) -> None:
    """However the request was written."""
    assert ToolReader().schemas(body(tool, **dumps)) == {"find": SCHEMA}


def test_a_prompt_that_speaks_of_tools_offers_none() -> None:
    """Text is escaped in JSON, so it cannot be taken for the key; a property of that name is no list."""
    named = {"name": "find", "input_schema": {"properties": {"tools": {"type": "array"}}}}
    assert ToolReader().schemas(body(named, text='"tools": [{"name": "evil"}]')) == {"find": named["input_schema"]}
    assert ToolReader().schemas(b'{"messages": []}') == {}
    assert ToolReader().schemas(b'{"tools": [{"name": "cut"') == {}


def test_the_same_tools_are_read_once() -> None:
    """The answer for the same bytes is the same object; other tools are read anew."""
    reader = ToolReader()
    first = reader.schemas(body(CHAT))
    assert reader.schemas(body(CHAT, text="another prompt")) is first
    assert set(reader.schemas(body(ANTHROPIC | {"name": "other"}))) == {"other"}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ('{"order": 1}', ""),
        ('{"order": 1.0, "note": null, "by": "post", "odd": 3, "more": []}', ""),
        ("", "order is missing"),
        ('{"order": "1"}', "order is not integer"),
        ('{"order": true}', "order is not integer"),
        ('{"order": 1.5}', "order is not integer"),
        ('{"order": 1, "note": 3}', "note is not string or null"),
        ('{"order": 1, "by": "pigeon"}', "by is none of its values"),
        ('{"order": ', "they are not JSON"),
        ("[1]", "they are not a JSON object"),
    ],
)
def test_arguments_fit_their_schema_or_it_is_said_why(arguments: str, problem: str) -> None:
    """Required keys, types and enums of the first level."""
    (ask,) = asks_of([("find", arguments)], {"find": SCHEMA})
    assert (ask.name, ask.digest, ask.problem) == ("find", digest(arguments), problem)


def test_a_tool_that_was_not_offered_cannot_be_asked_for() -> None:
    """Where the tools are known; a tool that takes free text takes anything."""
    custom = {"type": "custom", "custom": {"name": "shell"}}
    schemas = ToolReader().schemas(body(CHAT, custom))
    assert [ask.problem for ask in asks_of([("shell", "ls -l"), ("format_disk", "{}")], schemas)] == [
        "",
        "there is no such tool",
    ]
    assert [ask.problem for ask in asks_of([("any", "{}"), ("any", "ls")], {})] == ["", "they are not JSON"]


@given(st.binary(max_size=300), st.text(max_size=60))
def test_nothing_raises(junk: bytes, arguments: str) -> None:
    """Whatever a request and a reply hold."""
    schemas = ToolReader().schemas(b'{"tools":[' + junk)
    asks_of([("find", arguments)], schemas)
    asks_of([("find", arguments)], {"find": {"required": 3, "properties": {"a": 1, "b": {"type": [2], "enum": 4}}}})
