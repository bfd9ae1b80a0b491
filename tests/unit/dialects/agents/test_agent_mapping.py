"""A mapping says where things are: paths, conditions, functions, and messages for those that make no sense."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_turns import play, sse
from agentlocust.dialects.agents import by_name
from agentlocust.dialects.agents.base import Conversation, Framing
from agentlocust.dialects.agents.events import AgentEvent, EventKind
from agentlocust.dialects.agents.framing import Splitter, framing_of
from agentlocust.dialects.agents.paths import Path, When
from agentlocust.dialects.agents.told_usage import read_usage
from agentlocust.errors import ConfigError, WireError
from agentlocust.failures import FailureKind
from agentlocust.usage import Usage

VALUE = {"items": [{"text": "a"}, {"text": "b", "n": None}], "0": "zero", "deep": {"er": False}}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("items.*.text", ["a", "b"]),
        ("items.-1.text", ["b"]),
        ("items.9.text", []),
        ("items.1.n", []),
        ("0", ["zero"]),
        ("deep.er", [False]),
        ("deep.er.more", []),
        ("none", []),
    ],
)
def test_a_path_finds_what_is_there(path, found):
    """Names, places, every item; nulls and what is missing are nothing."""
    assert Path(path).all(VALUE) == found


@given(
    st.recursive(st.none() | st.integers() | st.text(max_size=3), lambda x: st.lists(x) | st.dictionaries(st.text(), x))
)
def test_a_path_never_raises(value):
    """Whatever the value."""
    for path in ("a.b", "*", "*.*.0", "0.1"):
        Path(path).first(value)


@pytest.mark.parametrize(
    ("terms", "holds"),
    [
        ({"deep.er": False}, True),
        ({"deep.er": 0}, False),
        ({"deep.er": True}, False),
        ({"items": True}, True),
        ({"0": ["one", "zero"]}, True),
        ({"0": "zero", "none": True}, False),
    ],
)
def test_a_condition_holds_when_all_its_terms_do(terms, holds):
    """A list is any of its values, True is anything that is there; numbers are no booleans."""
    assert When(terms).holds(VALUE) is holds


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"txt": "a"}, "did you mean 'text'"),
        ({"text": "a..b"}, "is not a path"),
        ({"text": 3}, "nowhere to look"),
        ({"tool_call": {"nam": "x"}}, "tool_call has no 'nam'"),
        ({"done": {}}, "is not a condition"),
        ({"usage": {"in": "x"}}, "usage has no 'in'"),
        ("text", "is not a mapping"),
    ],
)
def test_a_mapping_that_makes_no_sense_is_told_as_such(mapping, words):
    """With the place, and what would do."""
    with pytest.raises(ConfigError) as caught:
        by_name("sse", mapping=mapping, where="Support")
    assert words in str(caught.value)
    assert "Support" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("a2aa", {}, "did you mean 'a2a'"),
        ("sse", {}, "needs a mapping"),
        ("a2a", {"mapping": {"text": "a"}}, "takes no mapping"),
        ("a2a", {"options": {"version": "2.0"}}, "1.0 or 0.3"),
        ("a2a", {"options": {"verson": "1.0"}}, "one of version, mode, poll"),
        ("ag-ui", {"options": {"version": "1.0"}}, "it has none"),
        ("ag-ui", {"path": "agent"}, "slash"),
    ],
)
def test_a_protocol_that_is_none_is_told_as_such(name, given, words):
    """Unknown names, options and paths."""
    with pytest.raises(ConfigError) as caught:
        by_name(name, **given)
    assert words in str(caught.value)


def test_the_request_is_the_template_filled_in():
    """What the user says is never itself filled in; a session that is not known yet is left out."""
    request = {"q": "{text}", "to": {"session": "{session}"}, "both": "{session}: {text}", "n": [1, "{text}"]}
    protocol = by_name("json", mapping={"request": request, "text": "a"}, path="/ask")
    first = protocol.turn("say {session}", Conversation(), {"extra": 1, "n": None}).request()
    assert first.body == {"q": "say {session}", "to": {}, "both": ": say {session}", "extra": 1}
    second = protocol.turn("hi", Conversation(id="s1"), {}).request()
    assert second.body == {"q": "hi", "to": {"session": "s1"}, "both": "s1: hi", "n": [1, "hi"]}
    made = by_name("json", mapping={"request": lambda text, session: [text, session], "text": "a"})
    assert made.turn("hi", Conversation(id="s1"), {}).request().body == ["hi", "s1"]


def test_a_function_reads_each_message():
    """It returns texts, events, several of them or nothing; what it raises fails the ask."""

    def read(event):
        if event["n"] == 1:
            return "hello "
        if event["n"] == 2:
            return [AgentEvent(EventKind.TEXT, 0, "you"), AgentEvent(EventKind.SESSION, 0, "s9")]
        return None

    conversation = Conversation()
    body = sse('{"n": 1}', '{"n": 2}', '{"n": 3}')
    answer = play(by_name("sse", mapping=read), [(Framing.SSE, body)], conversation=conversation)
    assert (answer.text, conversation.id, answer.failure) == ("hello you", "s9", None)
    assert [event.stamp_ns for event in answer.events] == [1] * 5
    broken = play(by_name("sse", mapping=read), [(Framing.SSE, sse("{}"))])
    assert broken.failure is not None
    assert broken.failure.kind is FailureKind.CLIENT
    assert "KeyError" in broken.failure.message


def test_the_name_of_an_event_and_an_end_in_words_can_be_mapped():
    """`$event` is the server-sent event's name; `done` may be the very text of the last one."""
    mapping = {"text": {"path": "t", "when": {"$event": "token"}}, "done": "[END]"}
    body = sse('{"t": "yes"}', name="token") + sse('{"t": "no"}', name="other") + sse("[END]") + sse("not json")
    answer = play(by_name("sse", mapping=mapping), [(Framing.SSE, body)])
    assert (answer.text, answer.failure) == ("yes", None)


def test_usage_that_is_told_in_parts_is_added_up():
    """By default the last that is told counts."""
    body = sse(*(json.dumps({"t": "x", "u": {"in": 2, "out": 1}}) for _ in range(3)))
    mapping = {"text": "t", "usage": {"input": "u.in", "output": "u.out"}}
    assert play(by_name("sse", mapping=mapping), [(Framing.SSE, body)]).usage == Usage(2, output=1)
    mapping["usage_adds"] = True
    assert play(by_name("sse", mapping=mapping), [(Framing.SSE, body)]).usage == Usage(6, output=3)


@pytest.mark.parametrize(
    "told",
    [
        {"prompt_tokens": 10, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 3}},
        {"input_tokens": 10, "output_tokens": 4, "input_token_details": {"cache_read": 3}},
        {"input_tokens": 7, "cache_read_input_tokens": 3, "output_tokens": 4},
        {"inputTokens": 10, "outputTokens": 4, "cachedInputTokens": 3, "totalTokens": 14},
        {"promptTokenCount": 10, "candidatesTokenCount": "4", "cachedContentTokenCount": 3.0},
    ],
)
def test_usage_is_understood_in_anyones_words(told):
    """OpenAI's, LangChain's, Anthropic's, AG-UI's and Google's."""
    assert read_usage(told) == Usage(uncached_input=7, cache_read=3, output=4)


@pytest.mark.parametrize(
    ("content_type", "expected", "framing"),
    [
        ("text/event-stream; charset=utf-8", "json", "sse"),
        ("application/json", "sse", "json"),
        ("application/json", "ndjson", "ndjson"),
        ("application/a2a+json", "sse", "json"),
        ("application/jsonl", "sse", "ndjson"),
        ("text/plain", "sse", "sse"),
        ("", "ndjson", "ndjson"),
    ],
)
def test_the_content_type_says_how_a_reply_is_cut(content_type, expected, framing):
    """What was expected stands where it says nothing."""
    assert framing_of(content_type, Framing(expected)) == framing


@pytest.mark.parametrize("framing", [Framing.SSE, Framing.NDJSON])
def test_a_line_without_end_is_too_large(framing):
    """A hostile service fills no memory."""
    splitter = Splitter(framing, limit=100)
    with pytest.raises(WireError, match="longer than 100"):
        for stamp in range(20):
            splitter.feed(stamp, b"x" * 10)


@given(
    st.lists(
        st.binary(min_size=1, max_size=8).filter(lambda line: not set(line) & set(b"\n\r\x1e \t\x0b\x0c")), max_size=8
    ),
    st.data(),
)
def test_lines_are_the_same_wherever_they_are_split(lines, data):
    """Blank lines are none; a last one needs no end."""
    body = b"\n\n".join(lines)
    splitter = Splitter(Framing.NDJSON)
    found = []
    while body:
        cut = data.draw(st.integers(1, len(body)))
        found += splitter.feed(1, body[:cut])
        body = body[cut:]
    found += splitter.flush()
    assert [message.data for message in found] == lines
