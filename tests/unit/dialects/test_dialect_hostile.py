"""Servers may send anything: no reader raises, and every reply is whole or has a failure."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.dialects import NAMES, by_name

KEYS = st.sampled_from(
    "id index type model choices delta message content text thinking signature reasoning reasoning_details "
    "tool_calls function name arguments usage prompt_tokens completion_tokens input_tokens output_tokens "
    "finish_reason stop_reason error code item output output_index response status call_id content_block "
    "partial_json input data embedding audio encrypted_content summary incomplete_details function_call "
    "refusal details innererror prompt_tokens_details".split()
)
WORDS = st.sampled_from(
    "message_start message_delta message_stop content_block_start content_block_delta text_delta "
    "input_json_delta thinking_delta signature_delta text thinking tool_use error ping response.created "
    "response.completed response.failed response.output_item.added response.output_item.done "
    "response.output_text.delta function_call response.function_call_arguments.delta "
    "response.function_call_arguments.done reasoning message stop x".split()
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=5)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=25
)
EVENTS = st.lists(st.tuples(st.just(b"") | st.just(b"error") | WORDS.map(str.encode), JSON), max_size=6)


@pytest.mark.parametrize("name", NAMES)
@given(events=EVENTS, strict=st.booleans(), complete=st.booleans())
def test_json_of_any_shape_is_read(name, events, strict, complete):
    """Any JSON in any event ends in a reply that is whole or failed, and that can be carried on."""
    dialect = by_name(name)
    reader = dialect.stream_reader(strict)
    for stamp, (event, value) in enumerate(events, 1):
        reader.feed(stamp, event, json.dumps(value).encode())
    decoded = reader.finish(complete)
    assert decoded.terminal or decoded.failure
    assert decoded.token_ns == sorted(decoded.token_ns)
    json.dumps(dialect.reply_messages(decoded)).encode()


@pytest.mark.parametrize("name", NAMES)
@given(value=JSON, status=st.integers(200, 599))
def test_a_body_of_any_shape_is_read(name, value, status):
    """The same of whole replies, and of errors."""
    dialect, body = by_name(name), json.dumps(value).encode()
    json.dumps(dialect.reply_messages(dialect.read_body(body)))
    assert dialect.read_failure(status, body).status == status


@pytest.mark.parametrize("name", NAMES)
@given(data=st.binary(max_size=60), event=st.binary(max_size=8))
def test_bytes_of_any_kind_are_read(name, data, event):
    """What is no JSON is a failure, not an exception."""
    dialect = by_name(name)
    reader = dialect.stream_reader()
    reader.feed(1, event, data)
    assert reader.finish(True).failure is not None or data.strip() == b"[DONE]"
    dialect.read_body(data)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "data", [b"[" * 100_000, b'{"a":' * 100_000, rb'"\ud800"' + b"[" * 5000, b"9" * 10_000, b'{"id":"\xff"}']
)
def test_deep_long_and_broken_json_is_a_failure(name, data):
    """Nesting and numbers without end are refused at no cost."""
    dialect = by_name(name)
    reader = dialect.stream_reader()
    reader.feed(1, b"", data)
    assert reader.finish(True).failure is not None
    assert dialect.read_body(data).failure is not None
