"""Anthropic's messages, streamed and whole."""

from __future__ import annotations

import json

import pytest

from agentlocust.dialects import by_name
from agentlocust.failures import FailureKind as Kind

DIALECT = by_name("anthropic")


def read(*events, strict=True, complete=True):
    """Feed events stamped 10, 20, 30...; what they held."""
    reader = DIALECT.stream_reader(strict)
    for number, event in enumerate(events, 1):
        if isinstance(event, bytes):
            reader.feed(number * 10, b"", event)
        else:
            reader.feed(number * 10, event["type"].encode(), json.dumps(event).encode())
    return reader.finish(complete)


def start(index, **block):
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index, kind, **piece):
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **piece}}


def end(reason="end_turn", **usage):
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage or {"output_tokens": 5}}


BEGIN = {
    "type": "message_start",
    "message": {"id": "msg_1", "model": "claude-x", "usage": {"input_tokens": 7, "output_tokens": 1}},
}
PING = {"type": "ping"}
STOP = {"type": "message_stop"}
TEXT = [start(0, type="text", text=""), delta(0, "text_delta", text="Hi"), {"type": "content_block_stop", "index": 0}]


def test_an_ordinary_stream_is_read():
    """Starts, pings and stops are no tokens; usage is the last told."""
    got = read(BEGIN, PING, *TEXT, end(), STOP)
    assert (got.text, got.finish_reason, got.id, got.model) == ("Hi", "end_turn", "msg_1", "claude-x")
    assert (got.token_ns, got.first_output_ns, got.terminal, got.failure) == ([40], 40, True, None)
    assert (got.usage.input, got.usage.output) == (7, 5)


def test_usage_is_overwritten_not_added():
    """Each message_delta's usage is cumulative; a null tells nothing."""
    got = read(BEGIN, *TEXT, end(output_tokens=3, input_tokens=9), end(output_tokens=6, input_tokens=None), STOP)
    assert (got.usage.input, got.usage.output) == (9, 6)


def test_thinking_then_a_tool_makes_the_turn():
    """Thinking is not output, its signature no token, and both go back with the tool's call."""
    got = read(
        BEGIN,
        start(0, type="thinking", thinking="", signature=""),
        delta(0, "thinking_delta", thinking="hm"),
        delta(0, "signature_delta", signature="sig"),
        start(1, type="redacted_thinking", data="xyz"),
        start(2, type="tool_use", id="t1", name="look", input={}),
        delta(2, "input_json_delta", partial_json=""),
        delta(2, "input_json_delta", partial_json='{"a":'),
        delta(2, "input_json_delta", partial_json="1}"),
        end("tool_use"),
        STOP,
    )
    assert (got.reasoning, got.token_ns, got.first_output_ns) == ("hm", [30, 50, 60, 80, 90], 60)
    assert [(c.id, c.name, c.arguments_json) for c in got.tool_calls] == [("t1", "look", '{"a":1}')]
    assert DIALECT.reply_messages(got) == [
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "sig"},
                {"type": "redacted_thinking", "data": "xyz"},
                {"type": "tool_use", "id": "t1", "name": "look", "input": {"a": 1}},
            ],
        }
    ]


def test_unsigned_thinking_and_empty_text_do_not_go_back():
    """The API would refuse them."""
    got = read(start(0, type="thinking", thinking="hm"), start(1, type="text", text=""), end(), STOP)
    assert (got.reasoning, got.failure, DIALECT.reply_messages(got)) == ("hm", None, [])


def test_a_tool_without_input_takes_none():
    """No piece at all is an empty object."""
    got = read(start(0, type="tool_use", id="t", name="now", input={}), end("tool_use"), STOP)
    assert (got.tool_calls[0].arguments, got.tool_calls[0].valid) == ({}, True)


def test_a_broken_input_is_kept_as_text_and_goes_back_empty():
    """The model's own words stay visible; the API wants an object."""
    got = read(
        start(0, type="tool_use", id="t", name="x"), delta(0, "input_json_delta", partial_json='{"a'), end(), STOP
    )
    assert (got.tool_calls[0].arguments_json, got.tool_calls[0].valid) == ('{"a', False)
    assert got.turn[0]["input"] == {}


def test_a_tool_the_server_ran_goes_back_but_is_not_ours_to_run():
    """Its input and result are part of the turn."""
    result = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
    got = read(
        start(0, type="server_tool_use", id="s", name="web_search", input={}),
        delta(0, "input_json_delta", partial_json='{"q":"x"}'),
        start(1, **result),
        end(),
        STOP,
    )
    assert got.tool_calls == []
    assert got.turn == [{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": "x"}}, result]


def test_deltas_without_a_start_are_read():
    """Servers like it leave out the start, the index or both."""
    lone = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "a"}}
    assert read(lone, lone, end(), STOP).text == "aa"
    assert read(delta(3, "thinking_delta", thinking="hm"), end(), STOP).reasoning == "hm"


OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


@pytest.mark.parametrize(
    ("events", "kind", "words"),
    [
        ([], Kind.TRUNCATED_STREAM, "ended"),
        ([BEGIN, *TEXT], Kind.TRUNCATED_STREAM, "ended"),
        ([BEGIN, *TEXT, end()], Kind.TRUNCATED_STREAM, "ended"),
        ([BEGIN, *TEXT, b"{", end(), STOP], Kind.MALFORMED_STREAM, "not JSON"),
        ([BEGIN, *TEXT, OVERLOADED], Kind.STREAM_ERROR, "overloaded_error: Overloaded"),
        ([BEGIN, *TEXT, end("refusal"), STOP], Kind.CONTENT_FILTER, "refusal"),
        ([BEGIN, end("refusal"), STOP], Kind.CONTENT_FILTER, "refusal"),
        ([BEGIN, PING, end(), STOP], Kind.EMPTY, "end_turn"),
    ],
)
def test_what_is_wrong_is_named(events, kind, words):
    """Each broken stream has its own kind."""
    got = read(*events)
    assert got.failure.kind is kind
    assert words in got.failure.message


def test_an_openai_end_is_passed_over():
    """Some gateways add `[DONE]` to it; it is no terminal event here."""
    assert read(BEGIN, *TEXT, end(), STOP, b"[DONE]").failure is None
    assert read(BEGIN, *TEXT, end(), b"[DONE]").failure.kind is Kind.TRUNCATED_STREAM


def test_a_lenient_reader_takes_a_stop_reason_for_the_end():
    """Only with a whole body."""
    assert read(BEGIN, *TEXT, end(), strict=False).lenient_end
    assert not read(BEGIN, *TEXT, end(), strict=False, complete=False).terminal


def test_max_tokens_is_no_failure():
    """A reply cut at the limit is what was asked for."""
    assert read(BEGIN, *TEXT, end("max_tokens"), STOP).failure is None


def test_a_whole_reply_is_read_as_its_stream_would_be():
    """Blocks, usage and turn."""
    content = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "Hi"},
        {"type": "tool_use", "id": "t", "name": "x", "input": {"a": 1}},
    ]
    reply = {
        "id": "m",
        "model": "c",
        "content": content,
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 3, "output_tokens": 4},
    }
    got = DIALECT.read_body(json.dumps(reply).encode())
    assert (got.text, got.reasoning, got.tool_calls[0].arguments, got.turn) == ("Hi", "hm", {"a": 1}, content)
    assert (got.usage.input, got.usage.output, got.failure, got.terminal) == (3, 4, None, True)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ({"content": []}, Kind.EMPTY),
        ({"content": [], "stop_reason": "refusal"}, Kind.CONTENT_FILTER),
        (OVERLOADED, Kind.STREAM_ERROR),
        ({"choices": []}, Kind.PROTOCOL),
    ],
)
def test_what_is_wrong_with_a_whole_reply_is_named(reply, kind):
    """200 is not yet success."""
    assert DIALECT.read_body(json.dumps(reply).encode()).failure.kind is kind
