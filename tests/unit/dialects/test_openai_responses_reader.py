"""The Responses API, streamed and whole."""

from __future__ import annotations

import json

import pytest

from agentlocust.dialects import by_name
from agentlocust.failures import FailureKind as Kind

DIALECT = by_name("openai-responses")


def read(*events, complete=True):
    """Feed events stamped 10, 20, 30...; what they held."""
    reader = DIALECT.stream_reader()
    for number, event in enumerate(events, 1):
        if isinstance(event, bytes):
            reader.feed(number * 10, b"", event)
        else:
            reader.feed(number * 10, event["type"].encode(), json.dumps(event).encode())
    return reader.finish(complete)


def delta(kind, text, index=0):
    return {"type": f"response.{kind}.delta", "output_index": index, "item_id": f"i{index}", "delta": text}


def item(kind, index, **fields):
    return {"type": f"response.output_item.{kind}", "output_index": index, "item": fields}


def end(kind="completed", **response):
    return {"type": f"response.{kind}", "response": {"id": "r1", "model": "m1", "status": kind, **response}}


CREATED = {"type": "response.created", "response": {"id": "r1", "model": "m1"}}
USAGE = {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12, "output_tokens_details": {"reasoning_tokens": 2}}
MESSAGE = {"type": "message", "id": "m", "role": "assistant", "status": "completed"}
MESSAGE["content"] = [{"type": "output_text", "text": "Hi", "annotations": []}]


def test_an_ordinary_stream_is_read():
    """The deltas are the tokens; the last event tells usage, id and model."""
    got = read(
        CREATED,
        item("added", 0, type="message", content=[]),
        delta("output_text", "H"),
        delta("output_text", "i"),
        {"type": "response.output_text.done", "output_index": 0, "text": "Hi"},
        item("done", 0, **MESSAGE),
        end(usage=USAGE, output=[MESSAGE]),
    )
    assert (got.text, got.finish_reason, got.id, got.model) == ("Hi", "completed", "r1", "m1")
    assert (got.token_ns, got.first_output_ns, got.terminal, got.failure) == ([30, 40], 30, True, None)
    assert (got.usage.input, got.usage.output, got.usage.reasoning) == (7, 5, 2)


@pytest.mark.parametrize("kind", ["reasoning_text", "reasoning_summary_text"])
def test_reasoning_comes_before_output(kind):
    """Reasoning starts ttft, not ttfo."""
    got = read(CREATED, delta(kind, "hm"), delta("output_text", "a"), end())
    assert (got.reasoning, got.token_ns, got.first_output_ns) == ("hm", [20, 30], 30)


def test_function_calls_are_put_together():
    """By output index; a name is a token event, the closing events repeat."""
    whole = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "look", "arguments": '{"a":1}'}
    got = read(
        item("added", 1, **{**whole, "arguments": ""}),
        delta("function_call_arguments", '{"a":', 1),
        item("added", 2, type="function_call", call_id="c2", name="now", arguments=""),
        delta("function_call_arguments", "1}", 1),
        {"type": "response.function_call_arguments.done", "output_index": 1, "arguments": '{"a":1}'},
        item("done", 1, **whole),
        {"type": "response.function_call_arguments.done", "output_index": 2, "arguments": "{}"},
        end(),
    )
    calls = [("c1", "look", '{"a":1}'), ("c2", "now", "{}")]
    assert [(c.id, c.name, c.arguments_json) for c in got.tool_calls] == calls
    assert (got.token_ns, got.failure) == ([10, 20, 30, 40, 70], None)


def test_the_turn_keeps_encrypted_reasoning_only():
    """Items go back without their own ids, reasoning only when the server can read it again."""
    call = {"type": "function_call", "call_id": "c", "name": "x", "arguments": "{}"}
    sealed = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "zzz"}
    output = [
        {"type": "reasoning", "id": "rs_0", "summary": []},
        sealed,
        MESSAGE,
        {**call, "id": "fc", "status": "done"},
    ]
    got = read(delta("output_text", "Hi"), end(output=output))
    kept = {"type": "message", "role": "assistant", "content": MESSAGE["content"]}
    assert DIALECT.reply_messages(got) == [sealed, kept, call]


def test_the_turn_comes_from_the_items_when_the_end_has_none():
    """Some servers leave the output out of the last event."""
    got = read(delta("output_text", "Hi"), item("done", 0, **MESSAGE), end())
    assert got.turn[0]["content"] == MESSAGE["content"]


def test_a_server_without_deltas_gives_one_token_event():
    """All that was generated came with the last event."""
    got = read(CREATED, end(output=[MESSAGE]))
    assert (got.text, got.token_ns, got.first_output_ns, got.failure) == ("Hi", [20], 20, None)


def test_other_generated_content_counts():
    """A refusal is kept; a server tool's arguments are tokens only."""
    got = read(delta("refusal", "no"), delta("mcp_call_arguments", "{}"), delta("unheard_of", "x"), end())
    assert (got.refusal, got.token_ns) == ("no", [10, 20])


FAILED = end("failed", error={"code": "server_error", "message": "Sorry"})


@pytest.mark.parametrize(
    ("events", "kind", "words"),
    [
        ([], Kind.TRUNCATED_STREAM, "ended"),
        ([CREATED, delta("output_text", "a")], Kind.TRUNCATED_STREAM, "ended"),
        ([delta("output_text", "a"), b"[DONE]"], Kind.TRUNCATED_STREAM, "ended"),
        ([delta("output_text", "a"), b"{", end()], Kind.MALFORMED_STREAM, "not JSON"),
        ([delta("output_text", "a"), FAILED], Kind.STREAM_ERROR, "server_error: Sorry"),
        ([{"type": "error", "code": "server_error", "message": "Sorry"}], Kind.STREAM_ERROR, "server_error: Sorry"),
        ([{"type": "error", "error": {"code": "c", "message": "m"}}], Kind.STREAM_ERROR, "c: m"),
        (
            [delta("output_text", "a"), end("incomplete", incomplete_details={"reason": "content_filter"})],
            Kind.CONTENT_FILTER,
            "",
        ),
        ([CREATED, end()], Kind.EMPTY, "completed"),
    ],
)
def test_what_is_wrong_is_named(events, kind, words):
    """Each broken stream has its own kind."""
    got = read(*events)
    assert got.failure.kind is kind
    assert words in got.failure.message


def test_the_token_limit_is_no_failure():
    """An incomplete response that ran into its limit is what was asked for."""
    got = read(delta("output_text", "a"), end("incomplete", incomplete_details={"reason": "max_output_tokens"}))
    assert (got.failure, got.finish_reason) == (None, "max_output_tokens")


def test_a_failed_response_s_usage_counts():
    """It was paid for."""
    assert read(end("failed", usage=USAGE)).usage.output == 5


def test_a_whole_reply_is_read():
    """Text, reasoning, calls and usage."""
    output = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        MESSAGE,
        {"type": "function_call", "call_id": "c", "name": "x", "arguments": "{}"},
    ]
    got = DIALECT.read_body(json.dumps({"id": "r", "status": "completed", "output": output, "usage": USAGE}).encode())
    assert (got.text, got.reasoning, got.tool_calls[0].id, got.usage.output) == ("Hi", "hm", "c", 5)
    assert (got.failure, got.terminal) == (None, True)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ({"output": [], "status": "completed"}, Kind.EMPTY),
        ({"output": [], "status": "failed", "error": {"code": "c", "message": "m"}}, Kind.STREAM_ERROR),
        ({"output": [], "status": "cancelled", "error": None}, Kind.STREAM_ERROR),
        ({"choices": []}, Kind.PROTOCOL),
    ],
)
def test_what_is_wrong_with_a_whole_reply_is_named(reply, kind):
    """200 is not yet success."""
    assert DIALECT.read_body(json.dumps(reply).encode()).failure.kind is kind
