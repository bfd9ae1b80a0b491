"""Chat completions, streamed and whole, from OpenAI and from servers like it."""

from __future__ import annotations

import json

import pytest

from agentlocust.dialects import by_name
from agentlocust.failures import FailureKind as Kind

DIALECT = by_name("openai-chat")
DONE = b"[DONE]"


def read(*events, strict=True, complete=True):
    """Feed events (objects, or bytes as they are) stamped 10, 20, 30...; what they held."""
    reader = DIALECT.stream_reader(strict)
    for number, event in enumerate(events, 1):
        reader.feed(number * 10, b"", event if isinstance(event, bytes) else json.dumps(event).encode())
    return reader.finish(complete)


def chunk(delta=None, reason=None, **more):
    return {
        "id": "chatcmpl-1",
        "model": "gpt-x",
        "choices": [{"index": 0, "delta": delta or {}, "finish_reason": reason}],
        **more,
    }


def tool(index, **function):
    extra = {key: function.pop(key) for key in ("id",) if key in function}
    return {**({} if index is None else {"index": index}), **extra, "function": function}


ROLE = chunk({"role": "assistant", "content": ""})
STOP = chunk({}, "stop")
USAGE = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}}


def test_an_ordinary_stream_is_read():
    """A role, two tokens, the end, the usage: the tokens alone are stamped."""
    got = read(ROLE, chunk({"content": "Hel"}), chunk({"content": "lo"}), STOP, USAGE, DONE)
    assert (got.text, got.finish_reason, got.id, got.model) == ("Hello", "stop", "chatcmpl-1", "gpt-x")
    assert (got.token_ns, got.first_output_ns, got.terminal, got.failure) == ([20, 30], 20, True, None)
    assert (got.usage.input, got.usage.output) == (7, 2)


def test_usage_after_the_end_is_heard():
    """A usage chunk behind `[DONE]` counts; text there does not."""
    got = read(chunk({"content": "a"}), STOP, DONE, USAGE, chunk({"content": "b"}), b"{broken")
    assert (got.usage.output, got.text, got.failure) == (2, "a", None)


def test_the_last_usage_stands():
    """Servers that tell the usage with each chunk mean the last; null does not wipe it."""
    got = read(
        chunk({"content": "a"}, usage={"prompt_tokens": 7, "completion_tokens": 1}), USAGE, chunk(usage=None), DONE
    )
    assert got.usage.output == 2


def test_usage_inside_the_choice_is_heard():
    """Moonshot puts it there."""
    last = chunk({}, "stop")
    last["choices"][0]["usage"] = USAGE["usage"]
    assert read(chunk({"content": "a"}), last, DONE).usage.output == 2


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_content": "hm"},
        {"reasoning": "hm"},
        {"reasoning": {"content": "hm"}},
        {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
        {"reasoning_details": [{"type": "reasoning.summary", "summary": "hm"}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]},
        {"content": None, "reasoning_content": "hm"},
    ],
)
def test_reasoning_comes_before_output(delta):
    """Reasoning under any of its names starts ttft, not ttfo, and is kept once."""
    got = read(ROLE, chunk(delta), chunk({"content": "a"}), STOP, DONE)
    assert (got.reasoning, got.text, got.token_ns, got.first_output_ns) == ("hm", "a", [20, 30], 30)


def test_a_tool_call_first_is_output():
    """A name is a token event, so are argument fragments; an empty one is not."""
    got = read(
        chunk({"tool_calls": [tool(0, id="c1", name="look", arguments="")]}),
        chunk({"tool_calls": [tool(0, arguments="")]}),
        chunk({"tool_calls": [tool(0, arguments='{"a"')]}),
        chunk({"tool_calls": [tool(0, arguments=":1}")]}),
        chunk({}, "tool_calls"),
        DONE,
    )
    assert [(c.id, c.name, c.arguments) for c in got.tool_calls] == [("c1", "look", {"a": 1})]
    assert (got.token_ns, got.first_output_ns, got.failure) == ([10, 30, 40], 10, None)


@pytest.mark.parametrize(
    "fragments",
    [
        [tool(0, id="a", name="x", arguments="{}"), tool(1, id="b", name="y", arguments="{}")],
        [tool(0, id="a", name="x", arguments="{}"), tool(0, id="b", name="y", arguments="{}")],
        [tool(None, id="a", name="x", arguments="{}"), tool(None, id="b", name="y", arguments="{}")],
        [tool(None, id="a", name="x", arguments={}), tool(None, id="b", name="y", arguments={})],
        [
            tool(0, id="a", name="x"),
            tool(1, id="b", name="y"),
            tool(0, arguments="{"),
            tool(1, arguments="{"),
            tool(1, arguments="}"),
            tool(0, arguments="}"),
        ],
        [
            tool(None, id="a", name="x"),
            tool(None, arguments="{}"),
            tool(None, id="b", name="y"),
            tool(None, id="b", arguments="{}"),
        ],
    ],
)
@pytest.mark.parametrize("bundled", [True, False])
def test_parallel_tool_calls_are_told_apart(fragments, bundled):
    """By index, by id where the index is always 0, or by neither."""
    deltas = [fragments] if bundled else [[fragment] for fragment in fragments]
    got = read(*(chunk({"tool_calls": delta}) for delta in deltas), STOP, DONE)
    assert [(c.id, c.name, c.arguments_json) for c in got.tool_calls] == [("a", "x", "{}"), ("b", "y", "{}")]


def test_an_id_that_changes_with_each_fragment_is_one_call():
    """Some servers draw a new id for each fragment; the first stands."""
    got = read(
        chunk({"tool_calls": [tool(0, id="a", name="x", arguments="{")]}),
        chunk({"tool_calls": [tool(0, id="b", arguments="}")]}),
        DONE,
    )
    assert [(c.id, c.arguments_json) for c in got.tool_calls] == [("a", "{}")]


def test_a_call_without_an_id_gets_one():
    """Its result needs something to answer to."""
    got = read(chunk({"function_call": {"name": "x", "arguments": "{}"}}), DONE)
    assert [(c.id, c.name) for c in got.tool_calls] == [("call_0", "x")]


def test_bundled_tokens_are_one_event():
    """Many tokens in one chunk, or several choices, make one stamp."""
    both = chunk({"content": "a lot of words"})
    both["choices"].append({"index": 1, "delta": {"content": "another choice"}})
    got = read(both, STOP, DONE)
    assert (got.text, got.token_ns) == ("a lot of words", [10])


@pytest.mark.parametrize(
    ("delta", "channel"),
    [
        ({"refusal": "no"}, "refusal"),
        ({"content": [{"type": "text", "text": "no"}]}, "text"),
        ({"content": {"type": "text", "text": "no"}}, "text"),
        ({"audio": {"transcript": "no"}}, "text"),
    ],
)
def test_other_channels_are_read(delta, channel):
    """Refusals, parts and transcripts are content too."""
    got = read(chunk(delta), STOP, DONE)
    assert (getattr(got, channel), got.token_ns, got.first_output_ns, got.failure) == ("no", [10], 10, None)


def test_half_a_surrogate_pair_does_not_fail_the_call():
    """An emoji cut in two by the server is marked, not fatal."""
    got = read(rb'{"choices":[{"index":0,"delta":{"content":"a\ud83d"}}]}', STOP, DONE)
    assert (got.text, got.failure) == ("a\ufffd", None)


FILTERED = chunk({}, "content_filter")
ERROR = {"error": {"message": "Sorry", "type": "server_error", "param": None, "code": None}}


@pytest.mark.parametrize(
    ("events", "kind", "words"),
    [
        ([], Kind.TRUNCATED_STREAM, "ended"),
        ([ROLE, chunk({"content": "a"})], Kind.TRUNCATED_STREAM, "ended"),
        ([chunk({"content": "a"}), STOP], Kind.TRUNCATED_STREAM, "strict_stream = False"),
        ([chunk({"content": "a"}), b'{"choices": [', STOP, DONE], Kind.MALFORMED_STREAM, "not JSON"),
        ([chunk({"content": "a"}), b"5", DONE], Kind.MALFORMED_STREAM, "not a JSON object"),
        ([chunk({"content": "a"}), ERROR], Kind.STREAM_ERROR, "server_error: Sorry"),
        ([ERROR, DONE], Kind.STREAM_ERROR, "server_error: Sorry"),
        ([b"{", ERROR], Kind.MALFORMED_STREAM, "not JSON"),
        ([{"object": "error", "message": "m", "code": 400}, DONE], Kind.STREAM_ERROR, "m"),
        ([chunk({"content": "a"}, "error"), DONE], Kind.STREAM_ERROR, "finish reason error"),
        ([chunk({"content": "a"}), FILTERED, DONE], Kind.CONTENT_FILTER, "content_filter"),
        ([FILTERED, DONE], Kind.CONTENT_FILTER, "content_filter"),
        ([ROLE, STOP, USAGE, DONE], Kind.EMPTY, "finish reason stop"),
        ([DONE], Kind.EMPTY, "not told"),
    ],
)
def test_what_is_wrong_is_named(events, kind, words):
    """Each broken stream has its own kind."""
    got = read(*events)
    assert got.failure.kind is kind
    assert words in got.failure.message


def test_an_error_event_that_is_no_json_is_still_an_error():
    """`event: error` with plain text is told in that text."""
    reader = DIALECT.stream_reader()
    reader.feed(1, b"error", b"upstream gone")
    assert reader.finish(True).failure.message == "upstream gone"


def test_what_came_before_and_after_a_failure_is_kept():
    """Text and usage count for the cost of a failed call too."""
    got = read(chunk({"content": "a"}), b"{", USAGE, DONE)
    assert (got.text, got.usage.output, got.failure.kind) == ("a", 2, Kind.MALFORMED_STREAM)


def test_length_is_no_failure():
    """A reply cut at the token limit is what was asked for."""
    got = read(chunk({"content": "a"}), chunk({}, "length"), DONE)
    assert (got.failure, got.finish_reason) == (None, "length")


@pytest.mark.parametrize(
    ("strict", "complete", "reason", "ok"),
    [
        (False, True, "stop", True),
        (True, True, "stop", False),
        (False, False, "stop", False),
        (False, True, None, False),
    ],
)
def test_leniency_wants_a_reason_and_a_whole_body(strict, complete, reason, ok):
    """Without `[DONE]` only a lenient reader is content, and only at a proper end."""
    got = read(chunk({"content": "a"}), chunk({}, reason), strict=strict, complete=complete)
    assert (got.terminal, got.lenient_end, got.failure is None) == (ok, ok, ok)


def test_a_server_without_done_is_told_apart_from_a_broken_stream():
    """Transformers ends a whole stream with its usage and no `[DONE]`: the failure names the setting for that."""
    last = chunk({}, "length", usage=USAGE["usage"])
    got = read(ROLE, chunk({"content": "a"}), last)
    assert (got.failure.kind, got.usage.output) == (Kind.TRUNCATED_STREAM, 2)
    assert "strict_stream" in got.failure.message
    assert "strict_stream" not in read(ROLE, chunk({"content": "a"})).failure.message
    assert read(ROLE, chunk({"content": "a"}), b'{"error": "x"}', last).failure.kind is Kind.STREAM_ERROR


def test_a_cut_body_after_the_end_is_whole():
    """What dies behind `[DONE]` took nothing with it."""
    assert read(chunk({"content": "a"}), STOP, DONE, complete=False).failure is None


def body(message, reason="stop", **more):
    reply = {"id": "i", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": reason}], **more}
    return DIALECT.read_body(json.dumps(reply).encode())


def test_a_whole_reply_is_read():
    """Text, reasoning, calls and usage; no stamps."""
    calls = [{"id": "c", "function": {"name": "x", "arguments": "{}"}}] * 2
    got = body({"content": "a", "reasoning": "hm", "tool_calls": calls}, usage=USAGE["usage"])
    assert (got.text, got.reasoning, got.finish_reason, got.usage.output) == ("a", "hm", "stop", 2)
    assert [c.id for c in got.tool_calls] == ["c", "c"]
    assert (got.terminal, got.token_ns, got.failure, got.raw["id"]) == (True, [], None, "i")


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (b"", Kind.PROTOCOL),
        (b"<html>", Kind.PROTOCOL),
        (b"[]", Kind.PROTOCOL),
        (b"{}", Kind.PROTOCOL),
        (b'{"choices":[]}', Kind.EMPTY),
        (b'{"choices":[{"message":{"content":""}}]}', Kind.EMPTY),
        (b'{"choices":[{"message":{"content":"a"},"finish_reason":"content_filter"}]}', Kind.CONTENT_FILTER),
        (b'{"error":{"message":"m"}}', Kind.STREAM_ERROR),
    ],
)
def test_what_is_wrong_with_a_whole_reply_is_named(reply, kind):
    """200 is not yet success."""
    assert DIALECT.read_body(reply).failure.kind is kind


def test_a_body_of_millions_of_empty_arrays_is_refused():
    """Fifteen megabytes of brackets would cost hundreds as objects: such a body is no reply."""
    decoded = DIALECT.read_body(b"[" + b"[]," * 5_000_000 + b"[]]")
    assert decoded.failure is not None
    assert decoded.failure.kind is Kind.PROTOCOL
