"""Embeddings: always whole."""

from __future__ import annotations

import pytest

from agentlocust.dialects import by_name
from agentlocust.failures import FailureKind as Kind

DIALECT = by_name("openai-embeddings")


def test_a_reply_is_read():
    """Vectors, as numbers or base64, stay in raw; usage is input only."""
    got = DIALECT.read_body(
        b'{"object":"list","model":"e","data":[{"index":0,"embedding":[0.5]}],"usage":{"prompt_tokens":3,"total_tokens":3}}'
    )
    assert (got.model, got.usage.input, got.usage.output, got.failure) == ("e", 3, 0, None)
    assert got.raw["data"][0]["embedding"] == [0.5]
    assert DIALECT.read_body(b'{"data":[{"embedding":"AAAA"}]}').failure is None


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (b"{}", Kind.PROTOCOL),
        (b'{"data":[]}', Kind.EMPTY),
        (b'{"data":[{"embedding":[]}]}', Kind.EMPTY),
        (b'{"error":{"message":"m"}}', Kind.STREAM_ERROR),
    ],
)
def test_a_reply_without_vectors_is_a_failure(reply, kind):
    """200 is not yet success."""
    assert DIALECT.read_body(reply).failure.kind is kind


def test_a_stream_is_a_protocol_failure():
    """There is no such thing."""
    reader = DIALECT.stream_reader()
    reader.feed(1, b"", b"{}")
    assert reader.finish(True).failure.kind is Kind.PROTOCOL
