"""Requests and conversations in each provider's own words."""

from __future__ import annotations

import pytest

from agentlocust.dialects import NAMES, by_name, for_path
from agentlocust.dialects.base import Decoded, ToolRequest, ToolResult
from agentlocust.errors import ConfigError

CALLS = [ToolRequest("c1", "look", '{"a":1}'), ToolRequest("c2", "look", "{oops")]
RESULTS = [ToolResult("c1", "look", "42"), ToolResult("c2", "look", "no", is_error=True)]
TOOL = {"name": "look", "input_schema": {"type": "object"}}


@pytest.mark.parametrize("name", NAMES)
def test_a_dialect_is_found_by_its_name_and_path(name):
    """Each dialect knows its own name and path."""
    dialect = by_name(name)
    assert dialect.name == name
    assert for_path(dialect.path) is dialect
    assert by_name(name) is dialect


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/proxy/v1/chat/completions", "openai-chat"),
        ("/openai/deployments/x/chat/completions?api-version=2024-10-21", "openai-chat"),
        ("/v1beta/openai/chat/completions", "openai-chat"),
        ("/chat/completions/", "openai-chat"),
        ("/openai/responses?api-version=1", "openai-responses"),
        ("/responses", "openai-responses"),
        ("/openai/deployments/e/embeddings", "openai-embeddings"),
        ("/v1/messages?beta=true", "anthropic"),
        ("/eu/v1/messages", "anthropic"),
    ],
)
def test_a_path_under_any_prefix_is_known(path, name):
    """Proxies, Azure and queries do not hide an API."""
    assert for_path(path).name == name


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "/v1/models",
        "/v1/messages/count_tokens",
        "/v1/threads/t/messages",
        "/survey/responses",
        "/v1/responses/r_1",
    ],
)
def test_other_paths_are_no_llm_s(path):
    """A tool's own traffic is not taken for LLM calls."""
    assert for_path(path) is None


def test_an_unknown_name_is_a_config_error():
    """A misspelt dialect is told with the names there are."""
    with pytest.raises(ConfigError, match="anthropic"):
        by_name("openai_chat")


def build(name, **more):
    dialect = by_name(name)
    return dialect.build(model="m", messages=[dialect.user_message("hi")], **more)


def test_a_chat_request_asks_for_its_usage():
    """System first, stream on, usage asked for."""
    assert build("openai-chat", system="be kind", max_tokens=9) == {
        "model": "m",
        "messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi"}],
        "max_tokens": 9,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize(
    ("model", "key"),
    [("gpt-5-mini", "max_completion_tokens"), ("openai/o3", "max_completion_tokens"), ("gpt-4o", "max_tokens")],
)
def test_a_token_limit_has_the_name_the_model_takes(model, key):
    """Reasoning models refuse the old name."""
    assert by_name("openai-chat").build(model=model, messages=[], max_tokens=5)[key] == 5


def test_params_win():
    """A provider's parameter overrides ours, adds to the stream's options, and None takes a key out."""
    params = {"max_completion_tokens": 3, "stream_options": {"include_obfuscation": False}, "temperature": 0}
    body = build("openai-chat", max_tokens=9, params=params)
    assert "max_tokens" not in body
    assert body["stream_options"] == {"include_usage": True, "include_obfuscation": False}
    assert body["temperature"] == 0
    assert "stream_options" not in build("openai-chat", params={"stream_options": None})
    assert build("anthropic", params={"max_tokens": 7})["max_tokens"] == 7
    assert params["stream_options"] == {"include_obfuscation": False}


def test_a_responses_request_has_instructions_and_input():
    """The Responses API's own names."""
    assert build("openai-responses", system="s", max_tokens=9, tools=[TOOL], tool_choice="look", stream=False) == {
        "model": "m",
        "input": [{"role": "user", "content": "hi"}],
        "instructions": "s",
        "tools": [{"type": "function", "name": "look", "parameters": {"type": "object"}}],
        "tool_choice": {"type": "function", "name": "look"},
        "max_output_tokens": 9,
    }


def test_an_anthropic_request_always_has_a_limit():
    """max_tokens is required there."""
    body = build("anthropic", system="s", tools=[TOOL], tool_choice="required")
    assert body["max_tokens"] == 4096
    assert (body["system"], body["tool_choice"], body["stream"]) == ("s", {"type": "any"}, True)
    assert build("anthropic", max_tokens=5)["max_tokens"] == 5


def test_an_embeddings_request_takes_texts():
    """One text is a string, more are a list, and nothing else is known."""
    dialect = by_name("openai-embeddings")
    assert dialect.build(model="m", messages=["a"]) == {"model": "m", "input": "a"}
    many = dialect.build(model="m", messages=["a", dialect.user_message("b")], params={"dimensions": 8})
    assert many == {"model": "m", "input": ["a", "b"], "dimensions": 8}
    with pytest.raises(ConfigError):
        dialect.build(model="m", messages=["a"], tools=[TOOL])


def test_headers_name_the_caller():
    """Each provider's own header, and none for an empty key."""
    assert by_name("openai-chat").headers(" k\n") == {"authorization": "Bearer k"}
    assert by_name("openai-responses").headers("") == {}
    assert by_name("anthropic").headers("k") == {"anthropic-version": "2026-10-21", "x-api-key": "k"}


@pytest.mark.parametrize("name", NAMES)
def test_a_key_no_header_can_carry_is_refused_unseen(name):
    """A line break in a key would forge a header; the key itself is not shown."""
    with pytest.raises(ConfigError) as caught:
        by_name(name).headers("sk-secret\r\nx: y")
    assert "sk-secret" not in str(caught.value)


def test_the_anthropic_version_is_the_sdk_s():
    """Both ways in ask for the same version."""
    anthropic = pytest.importorskip("anthropic")
    sent = anthropic.Anthropic(api_key="k").default_headers["anthropic-version"]
    assert by_name("anthropic").headers("k")["anthropic-version"] == sent


def test_a_chat_conversation_goes_on():
    """The assistant's calls, then one tool message a result."""
    dialect, messages = by_name("openai-chat"), []
    messages += dialect.reply_messages(Decoded(tool_calls=CALLS))
    dialect.add_tool_results(messages, RESULTS)
    assert [call["function"]["arguments"] for call in messages[0]["tool_calls"]] == ['{"a":1}', "{oops"]
    assert messages[0]["content"] is None
    assert messages[1:] == [
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
        {"role": "tool", "tool_call_id": "c2", "content": "no"},
    ]
    assert dialect.reply_messages(Decoded(text="hey")) == [{"role": "assistant", "content": "hey"}]


def test_a_responses_conversation_goes_on():
    """Items for text and calls, then one output item a result."""
    dialect, messages = by_name("openai-responses"), []
    messages += dialect.reply_messages(Decoded(text="hm", tool_calls=CALLS))
    dialect.add_tool_results(messages, RESULTS[:1])
    assert messages == [
        {"role": "assistant", "content": "hm"},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"a":1}'},
        {"type": "function_call", "call_id": "c2", "name": "look", "arguments": "{oops"},
        {"type": "function_call_output", "call_id": "c1", "output": "42"},
    ]


@pytest.mark.parametrize("together", [True, False])
def test_anthropic_tool_results_share_one_message(together):
    """Given at once or one by one, the results of a turn are one user message."""
    dialect, messages = by_name("anthropic"), []
    messages += dialect.reply_messages(Decoded(text="hm", tool_calls=CALLS))
    for batch in [RESULTS] if together else [[result] for result in RESULTS]:
        dialect.add_tool_results(messages, batch)
    assert messages == [
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "hm"},
                {"type": "tool_use", "id": "c1", "name": "look", "input": {"a": 1}},
                {"type": "tool_use", "id": "c2", "name": "look", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "42"},
                {"type": "tool_result", "tool_use_id": "c2", "content": "no", "is_error": True},
            ],
        },
    ]


def test_an_empty_anthropic_reply_adds_no_message():
    """The API refuses empty content."""
    assert by_name("anthropic").reply_messages(Decoded()) == []


@pytest.mark.parametrize(
    ("text", "arguments", "valid"),
    [('{"a":1}', {"a": 1}, True), ("", {}, True), (" ", {}, True), ('{"city": "Par', {}, False), ("[1]", {}, False)],
)
def test_tool_arguments_are_decoded_on_demand(text, arguments, valid):
    """What is no JSON object is empty and says so."""
    request = ToolRequest("i", "n", text)
    assert (request.arguments, request.valid) == (arguments, valid)
