"""What the mock writes, the wire reads: any answer, any packets."""

from __future__ import annotations

from importlib import import_module

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.dialects import by_name
from agentlocust.dialects.answers import Answer, FunctionCall
from agentlocust.dialects.sse import EventSplitter
from agentlocust.usage import Usage

PIECE = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
CALL = st.tuples(st.sampled_from(["look", "now"]), st.sampled_from([("{}",), ('{"a":', '"é"}')]))


@pytest.mark.parametrize("name", ["openai-chat", "openai-responses", "anthropic"])
@given(
    text=st.lists(PIECE, min_size=1, max_size=5),
    reasoning=st.lists(PIECE, max_size=3),
    calls=st.lists(CALL, max_size=2),
    size=st.integers(1, 400),
)
def test_what_is_written_is_read(name, text, reasoning, calls, size):
    """Text, reasoning, calls, model and usage survive any cut into packets, streamed or whole."""
    writer, dialect = import_module(f"agentlocust.dialects.{name.replace('-', '_')}.writer"), by_name(name)
    answer = Answer(
        id="abc",
        model="m",
        created=1,
        usage=Usage(uncached_input=7, output=9),
        finish="tools" if calls else "stop",
        reasoning=tuple(reasoning),
        text=tuple(text),
        calls=tuple(FunctionCall(f"c{n}", tool, pieces) for n, (tool, pieces) in enumerate(calls)),
    )
    frames = writer.frames(answer, include_usage=True) if name == "openai-chat" else writer.frames(answer)
    stream = frames.opening + b"".join(frames.pieces) + frames.closing()
    splitter, reader = EventSplitter(), dialect.stream_reader()
    for at in range(0, len(stream), size):
        for event in splitter.feed(at + 1, stream[at : at + size]):
            reader.feed(*event)
    for decoded in (reader.finish(complete=True), dialect.read_body(writer.body(answer))):
        assert decoded.failure is None
        assert (decoded.text, decoded.model, decoded.terminal) == ("".join(text), "m", True)
        assert decoded.reasoning == "".join(reasoning)
        assert [(c.name, c.arguments) for c in decoded.tool_calls] == [
            (tool, {} if pieces == ("{}",) else {"a": "é"}) for tool, pieces in calls
        ]
        assert (decoded.usage.input, decoded.usage.output) == (7, 9)
