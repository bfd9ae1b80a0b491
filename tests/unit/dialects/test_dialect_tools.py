"""Tools in any provider's format come out in the dialect's own."""

from __future__ import annotations

import pytest

from agentlocust.dialects import tools
from agentlocust.errors import ConfigError

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
CHAT = {"type": "function", "function": {"name": "look", "description": "d", "parameters": SCHEMA}}
FLAT = {"type": "function", "name": "look", "description": "d", "parameters": SCHEMA}
ANTHROPIC = {"name": "look", "description": "d", "input_schema": SCHEMA}


@pytest.mark.parametrize("tool", [CHAT, FLAT, ANTHROPIC, {**ANTHROPIC, "type": "custom"}])
def test_every_format_becomes_every_other(tool):
    """One tool, three formats, any way round."""
    assert tools.chat_tools([tool]) == [CHAT]
    assert tools.responses_tools([tool]) == [FLAT]
    assert [{k: v for k, v in t.items() if k != "type"} for t in tools.anthropic_tools([tool])] == [ANTHROPIC]


def test_a_missing_schema_is_any_object_where_one_is_required():
    """Anthropic wants a schema; OpenAI does not."""
    bare = {"type": "function", "function": {"name": "now"}}
    assert tools.anthropic_tools([bare]) == [{"name": "now", "input_schema": {"type": "object", "properties": {}}}]
    assert tools.responses_tools([bare]) == [{"type": "function", "name": "now"}]


def test_a_provider_s_own_tools_pass():
    """A web search is not ours to rewrite, nor are keys we do not know."""
    search = {"type": "web_search_20250305", "name": "web_search"}
    cached = {**ANTHROPIC, "cache_control": {"type": "ephemeral"}}
    assert tools.anthropic_tools([search, cached]) == [search, cached]
    assert tools.responses_tools([{"type": "web_search"}]) == [{"type": "web_search"}]


@pytest.mark.parametrize(
    "tool", ["look", {"name": "look"}, {"type": "function", "function": {}}, {"input_schema": {}}, 5]
)
def test_a_tool_that_cannot_be_understood_is_a_config_error(tool):
    """What is no tool is said to be none, with its number."""
    with pytest.raises(ConfigError, match="tool 2"):
        tools.chat_tools([CHAT, tool])


@pytest.mark.parametrize(
    ("choice", "chat", "responses", "anthropic"),
    [
        ("auto", "auto", "auto", {"type": "auto"}),
        ("none", "none", "none", {"type": "none"}),
        ("required", "required", "required", {"type": "any"}),
        ({"type": "any"}, "required", "required", {"type": "any"}),
        *[
            (
                choice,
                {"type": "function", "function": {"name": "look"}},
                {"type": "function", "name": "look"},
                {"type": "tool", "name": "look"},
            )
            for choice in (
                "look",
                {"type": "function", "function": {"name": "look"}},
                {"type": "function", "name": "look"},
                {"type": "tool", "name": "look"},
            )
        ],
    ],
)
def test_every_choice_becomes_every_other(choice, chat, responses, anthropic):
    """A choice of tool is understood in any provider's words."""
    assert tools.chat_choice(choice, [ANTHROPIC]) == chat
    assert tools.responses_choice(choice, [CHAT]) == responses
    assert tools.anthropic_choice(choice, [FLAT]) == anthropic


def test_a_provider_s_own_choice_passes():
    """Keys and kinds we do not know stay."""
    own = {"type": "auto", "disable_parallel_tool_use": True}
    assert tools.anthropic_choice(own, [CHAT]) == own
    allowed = {"type": "allowed_tools", "mode": "auto", "tools": []}
    assert tools.responses_choice(allowed, [CHAT]) == allowed


def test_an_unknown_choice_is_a_config_error():
    """A misspelt word or name is told with the names there are."""
    with pytest.raises(ConfigError, match="reqired.*look"):
        tools.chat_choice("reqired", [CHAT])
