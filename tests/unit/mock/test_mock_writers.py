"""What the writers write is what their API promises."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from agentlocust.dialects.answers import Answer, Frames, FunctionCall, Problem
from agentlocust.dialects.anthropic import writer as anthropic
from agentlocust.dialects.openai_chat import writer as chat
from agentlocust.dialects.openai_responses import writer as responses
from agentlocust.usage import Usage

USAGE = Usage(uncached_input=5, cache_read=3, cache_write_5m=2, output=7, reasoning=2)
ANSWER = Answer(
    id="x1",
    model="mock",
    created=1,
    usage=USAGE,
    finish="tools",
    reasoning=("so", " on"),
    text=('say "é', "\n€ \ud800"),
    calls=(FunctionCall("c1", "look", ('{"a"', ":1}")), FunctionCall("c2", "find", ("{}",))),
)
STREAMS: list[Callable[[Answer], Frames]] = [
    lambda answer: chat.frames(answer, True),
    responses.frames,
    anthropic.frames,
]


def events_in(data: bytes) -> list[dict[str, Any]]:
    """The JSON objects of a stream, without OpenAI's [DONE]."""
    lines = [line[6:] for line in data.decode().split("\n") if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


@pytest.mark.parametrize("frames", STREAMS)
def test_a_stream_has_one_item_a_piece(frames: Callable[[Answer], Frames]) -> None:
    """Every piece has its own frames, all of them JSON, and the ends are not empty."""
    made = frames(ANSWER)
    pieces = list(made.pieces)
    assert len(pieces) == 2 + 2 + 2 + 1
    assert all(events_in(piece) for piece in pieces)
    assert events_in(made.opening)
    assert made.closing().endswith(b"\n\n")


def test_chat_deltas_join_to_the_whole_reply() -> None:
    """A client that joins the chunks has what an unstreamed reply holds."""
    made = chat.frames(ANSWER, True)
    chunks = events_in(made.opening + b"".join(made.pieces) + made.closing())
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    whole = json.loads(chat.body(ANSWER))["choices"][0]["message"]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == whole["reasoning_content"] == "so on"
    assert "".join(delta.get("content") or "" for delta in deltas) == 'say "é\n€ ?'
    calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
    assert "".join(call["function"]["arguments"] for call in calls if call["index"] == 0) == '{"a":1}'
    assert [call["function"]["name"] for call in calls if "id" in call] == ["look", "find"]
    assert chunks[-1]["usage"]["prompt_tokens_details"]["cached_tokens"] == 3
    assert chunks[-1]["usage"]["prompt_tokens"] == 10


def test_a_chat_stream_tells_usage_only_when_asked() -> None:
    """Without include_usage no chunk speaks of it."""
    made = chat.frames(ANSWER, False)
    assert b"usage" not in made.opening + b"".join(made.pieces) + made.closing()


def test_responses_events_are_numbered_without_a_gap() -> None:
    """sequence_number counts every event from 0."""
    made = responses.frames(ANSWER)
    events = events_in(made.opening + b"".join(made.pieces) + made.closing())
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1]["type"] == "response.completed"
    assert [item["type"] for item in events[-1]["response"]["output"]] == [
        "reasoning",
        "message",
        "function_call",
        "function_call",
    ]
    added = [event["type"] for event in events].count("response.output_item.added")
    assert added == [event["type"] for event in events].count("response.output_item.done") == 4


def test_a_response_cut_by_its_limit_is_incomplete() -> None:
    """The terminal event and the status say so."""
    cut = Answer(id="x", model="m", created=1, usage=USAGE, finish="length", text=("a",))
    made = responses.frames(cut)
    list(made.pieces)
    last = events_in(made.closing())[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


def test_anthropic_blocks_open_and_close_in_order() -> None:
    """Each block is started, filled and stopped before the next; thinking is signed."""
    made = anthropic.frames(ANSWER)
    events = events_in(made.opening + b"".join(made.pieces) + made.closing())
    marks = [(e["type"], e["index"]) for e in events if e["type"] in ("content_block_start", "content_block_stop")]
    assert marks == [(f"content_block_{end}", index) for index in range(4) for end in ("start", "stop")]
    kinds = [event["delta"]["type"] for event in events if event["type"] == "content_block_delta"]
    assert kinds.index("signature_delta") == 2
    assert events[-2]["usage"]["output_tokens"] == 7


def test_anthropic_input_tokens_are_without_the_cache() -> None:
    """The three kinds of input are disjoint."""
    usage = json.loads(anthropic.body(ANSWER))["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]) == (5, 3, 2)


@pytest.mark.parametrize("frames", STREAMS)
def test_an_answer_without_usage_tells_none(frames: Callable[[Answer], Frames]) -> None:
    """usage=no leaves no count in any frame."""
    made = frames(Answer(id="x", model="m", created=1, usage=None, text=("a",)))
    told = made.opening + b"".join(made.pieces) + made.closing()
    assert re.search(rb'"(input|output|prompt|completion)_tokens"', told) is None


def test_a_rate_limit_says_when_to_come_back() -> None:
    """Both APIs round the wait up to whole seconds."""
    problem = Problem(429, "rate_limited")
    assert (b"retry-after", b"2") in chat.error_headers(problem, "r", 0.1, 1.5)
    assert (b"retry-after", b"2") in anthropic.error_headers(problem, "r", 1.5, datetime(2026, 1, 1, tzinfo=UTC))
