"""Events read by their template are read as decoding would have."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.dialects import by_name
from agentlocust.dialects.template import TextTemplate

PLACE = ("choices", 0, "delta", "content")


def event(text, **changes):
    """A chunk of a chat stream, as providers send it."""
    delta = {"content": text, **changes.pop("delta", {})}
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None, **changes.pop("choice", {})}
    return json.dumps({"id": "c1", "object": "chat.completion.chunk", "model": "m", "choices": [choice], **changes})


def learned(text="Hello"):
    """A template that has seen one event."""
    template = TextTemplate()
    data = event(text).encode()
    template.learn(data, json.loads(data), PLACE)
    return template


def test_an_event_like_the_first_gives_its_text():
    """Only the text differs: it is read without decoding."""
    assert learned().text(event(" world").encode()) == " world"


@pytest.mark.parametrize(
    "data",
    [
        event("x", choice={"finish_reason": "stop"}),
        event("x", delta={"tool_calls": [{"index": 0}]}),
        event("x", usage={"prompt_tokens": 1}),
        event("x", model="other"),
        event('say "hi"'),
        event("a\\b"),
        event("line\nbreak"),
        event(""),
        "[DONE]",
        "",
    ],
)
def test_anything_else_is_left_to_the_decoder(data):
    """Another field, an escape or an end is no business of the template's."""
    assert learned().text(data.encode()) == ""


def test_a_text_that_stands_elsewhere_too_is_no_template():
    """When the text cannot be told from another value, nothing is learned."""
    template = learned("m")  # the model's name as well
    assert template.text(event("other").encode()) in ("", "other")
    assert template.text(event("x", model="y").encode()) == ""


def test_bytes_that_are_no_utf8_are_left_to_the_decoder():
    """Broken text is a malformed stream, and for the decoder to say so."""
    data = event("MARK").encode().replace(b"MARK", b"\xff\xfe")
    assert learned().text(data) == ""


TEXTS = st.lists(st.text(max_size=8), min_size=1, max_size=30)


@given(TEXTS, st.booleans())
def test_a_stream_reads_the_same_with_and_without_templates(texts, escaped):
    """Whatever the pieces, text, tokens and stamps are those of decoding each event."""
    reader, plain = by_name("openai-chat").stream_reader(), by_name("openai-chat").stream_reader()
    plain._template = NoTemplate()
    for number, text in enumerate(texts):
        data = json.dumps(json.loads(event(text)), ensure_ascii=escaped).encode("utf-8", "surrogatepass")
        for each in (reader, plain):
            each.feed(number + 1, b"", data)
    one, other = reader.finish(complete=True), plain.finish(complete=True)
    assert one.text == other.text
    assert one.token_ns == other.token_ns
    assert one.frame_ns == other.frame_ns
    assert one.failure == other.failure


class NoTemplate:
    """Never recognises anything."""

    def learn(self, *_):
        """Learn nothing."""

    def text(self, _):
        """Know nothing."""
        return ""
