"""Error replies of every shape end in one kind and one short message."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.dialects import failed
from agentlocust.failures import FailureKind as Kind

OPENAI_429 = {
    "error": {"message": "Rate limit reached", "type": "tokens", "param": None, "code": "rate_limit_exceeded"}
}
AZURE = {
    "error": {
        "message": "The response was filtered",
        "type": None,
        "code": "content_filter",
        "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}},
    }
}
SPEND = {
    "error": {"type": "rate_limit_error", "message": "no", "details": {"error_code": "enforced_spend_limit_reached"}}
}


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (429, OPENAI_429, Kind.RATE_LIMITED, "Rate limit reached"),
        (429, {"error": {"message": "m", "type": "insufficient_quota"}}, Kind.QUOTA, "m"),
        (429, SPEND, Kind.QUOTA, "no"),
        (400, AZURE, Kind.CONTENT_FILTER, "The response was filtered"),
        (400, {"error": {"message": "m", "code": "context_length_exceeded"}}, Kind.CONTEXT_LENGTH, "m"),
        (
            400,
            {"object": "error", "message": "This model's maximum context length is 8", "code": 400},
            Kind.CONTEXT_LENGTH,
            "This model's maximum context length is 8",
        ),
        (529, {"type": "error", "error": {"type": "overloaded_error", "message": "Over"}}, Kind.OVERLOADED, "Over"),
        (401, {"error": "bad key"}, Kind.AUTH, "bad key"),
        (422, {"detail": [{"loc": ["body"], "msg": "field required"}]}, Kind.BAD_REQUEST, "field required"),
        (404, {"detail": "Not Found"}, Kind.NOT_FOUND, "Not Found"),
        (
            400,
            [{"error": {"code": 400, "message": "inside a list", "status": "INVALID"}}],
            Kind.BAD_REQUEST,
            "inside a list",
        ),
        (500, "just text", Kind.SERVER_ERROR, "just text"),
        (500, {}, Kind.SERVER_ERROR, "HTTP 500 Internal Server Error"),
        (500, None, Kind.SERVER_ERROR, "HTTP 500 Internal Server Error"),
    ],
)
def test_json_errors_are_sorted(status, body, kind, message):
    """Each provider's JSON gives its kind and its own message."""
    failure = failed.read_failure(status, json.dumps(body).encode())
    assert (failure.kind, failure.message, failure.status) == (kind, message, status)


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (502, b"", "HTTP 502 Bad Gateway"),
        (599, b"", "HTTP 599"),
        (
            503,
            b"<html><head><title>503 Service\n Unavailable</title></head><body>x</body></html>",
            "503 Service Unavailable",
        ),
        (502, b"<h1>Bad</h1><p>gateway</p>", "Bad gateway"),
        (500, b"upstream\x00\x1b[31m died\r\n", "upstream [31m died"),
        (500, b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_other_bodies_give_a_line(status, body, message):
    """HTML, plain text, control characters and nothing at all become one line."""
    assert failed.read_failure(status, body).message == message


def test_a_long_message_is_cut():
    """A message of a megabyte is kept to its first few words."""
    assert len(failed.read_failure(500, b"word " * 200_000).message) <= failed.MESSAGE_LIMIT


@given(st.integers(0, 999), st.binary(max_size=200))
def test_no_bytes_raise(status, body):
    """An error reply of any bytes is one failure."""
    assert failed.read_failure(status, body).status == status


def test_an_unexpected_page_is_a_protocol_failure():
    """200 with HTML in reply to a streamed request names what came."""
    failure = failed.read_unexpected("text/html", b"<title>Log in</title>")
    assert (failure.kind, failure.message) == (Kind.PROTOCOL, "expected text/event-stream, got text/html: Log in")
    assert "no content type" in failed.read_unexpected("", b"").message


def test_an_unexpected_json_error_is_a_stream_error():
    """200 with an error object is what it says."""
    failure = failed.read_unexpected("application/json", json.dumps(OPENAI_429).encode())
    assert (failure.kind, failure.message) == (Kind.STREAM_ERROR, "rate_limit_exceeded: Rate limit reached")
