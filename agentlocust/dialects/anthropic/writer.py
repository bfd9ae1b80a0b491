"""What Anthropic's Messages API sends: bodies, stream events, errors and headers.

Formats: https://docs.anthropic.com/en/api/messages, .../messages-streaming and .../errors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from agentlocust.dialects.answers import Answer, Frames, Headers, Problem, quoted
from agentlocust.usage import Usage

_FINISH = {"stop": "end_turn", "length": "max_tokens", "tools": "tool_use", "filter": "refusal"}
_SIGNATURE = "bW9jayBzaWduYXR1cmU="
_PING = b'event: ping\ndata: {"type": "ping"}\n\n'
_TOKEN_LIMIT = 2_000_000

# kind: (type, message)
_ERRORS = {
    "bad_request": ("invalid_request_error", "The request is not valid."),
    "context_length": ("invalid_request_error", "prompt is too long"),
    "content_filter": ("invalid_request_error", "Output blocked by content filtering policy"),
    "auth": ("authentication_error", "invalid x-api-key"),
    "not_found": ("not_found_error", "Not found"),
    "timeout": ("timeout_error", "Request timed out"),
    "too_large": ("request_too_large", "Request exceeds the maximum size"),
    "rate_limited": ("rate_limit_error", "This request would exceed your organization's rate limit."),
    "quota": ("billing_error", "Your credit balance is too low to access the Anthropic API."),
    "overloaded": ("overloaded_error", "Overloaded"),
    "server_error": ("api_error", "Internal server error"),
}


def headers(request_id: str, input_tokens: int, now: datetime) -> Headers:
    """The headers of every Anthropic reply; limits are said to be full again at `now`."""
    found = [(b"request-id", b"req_" + request_id.encode()), (b"anthropic-organization-id", b"org-mock")]
    return found + _limits(_reset(now), 3999, _TOKEN_LIMIT - input_tokens)


def error_headers(problem: Problem, request_id: str, retry_after_s: float, now: datetime) -> Headers:
    """The headers of an error reply; a rate limit says when to come back."""
    found = [
        (b"request-id", b"req_" + request_id.encode()),
        (b"anthropic-organization-id", b"org-mock"),
        (b"x-should-retry", b"true" if problem.status in (408, 409, 429) or problem.status >= 500 else b"false"),
    ]
    if problem.kind != "rate_limited":
        return found
    wait = math.ceil(retry_after_s)
    found += _limits(_reset(now + timedelta(seconds=wait)), 0, 0)
    return [*found, (b"retry-after", b"%d" % wait)]


def error_body(problem: Problem, request_id: str) -> bytes:
    """The JSON body of an error reply."""
    return json.dumps({"type": "error", "error": _error(problem), "request_id": "req_" + request_id}).encode()


def count_body(input_tokens: int) -> bytes:
    """The reply to `POST /v1/messages/count_tokens`."""
    return b'{"input_tokens":%d}' % input_tokens


def usage_object(usage: Usage) -> dict[str, Any]:
    """`usage` as this API counts it: `input_tokens` is without what the cache read or wrote."""
    return {
        "input_tokens": usage.uncached_input,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_5m,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
        "output_tokens": usage.output,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
        "service_tier": "standard",
    }


def body(answer: Answer) -> bytes:
    """The whole of an unstreamed reply."""
    content: list[dict[str, Any]] = []
    if answer.reasoning:
        content.append({"type": "thinking", "thinking": "".join(answer.reasoning), "signature": _SIGNATURE})
    if answer.text:
        content.append({"type": "text", "text": "".join(answer.text)})
    for call in answer.calls:
        content.append(
            {"type": "tool_use", "id": "toolu_" + call.id, "name": call.name, "input": _input(call.arguments)}
        )
    message = _message(answer)
    message["content"] = content
    message["stop_reason"] = _FINISH[answer.finish]
    if answer.usage is not None:
        message["usage"] = usage_object(answer.usage)
    return json.dumps(message).encode("utf-8", "replace")


def frames(answer: Answer) -> Frames:
    """The stream of a reply, with a ping after its start as the API sends one."""
    message = _message(answer)
    if answer.usage is not None:
        message["usage"] = {**usage_object(answer.usage), "output_tokens": 1}
        del message["usage"]["output_tokens_details"]
    blocks = bool(answer.reasoning) + bool(answer.text) + len(answer.calls)

    def closing() -> bytes:
        last = _stop(blocks - 1, signed=not answer.text and not answer.calls) if blocks else b""
        delta: dict[str, Any] = {
            "type": "message_delta",
            "delta": {"stop_reason": _FINISH[answer.finish], "stop_sequence": None},
        }
        if answer.usage is not None:
            counts = usage_object(answer.usage)
            names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
            delta["usage"] = {name: counts[name] for name in (*names, "output_tokens_details")}
        return last + _event("message_delta", delta) + _event("message_stop", {"type": "message_stop"})

    return Frames(
        opening=_event("message_start", {"type": "message_start", "message": message}) + _PING,
        pieces=_pieces(answer),
        closing=closing,
        error=lambda problem: _event("error", {"type": "error", "error": _error(problem)}),
    )


def _pieces(answer: Answer) -> Iterator[bytes]:
    """One item a piece; a block's start, and the end of the one before, come with its first piece."""
    index = 0
    intro = b""
    if answer.reasoning:
        intro = _start(index, {"type": "thinking", "thinking": "", "signature": ""})
        yield from _deltas(index, b"thinking_delta", b"thinking", answer.reasoning, intro)
        intro = _stop(index, signed=True)
        index += 1
    if answer.text:
        intro += _start(index, {"type": "text", "text": ""})
        yield from _deltas(index, b"text_delta", b"text", answer.text, intro)
        intro = _stop(index, signed=False)
        index += 1
    for call in answer.calls:
        block = {"type": "tool_use", "id": "toolu_" + call.id, "name": call.name, "input": {}}
        yield from _deltas(index, b"input_json_delta", b"partial_json", call.pieces, intro + _start(index, block))
        intro = _stop(index, signed=False)
        index += 1


def _deltas(index: int, kind: bytes, field: bytes, pieces: tuple[str, ...], intro: bytes) -> Iterator[bytes]:
    head = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%s","%s":'
    head %= (index, kind, field)
    for piece in pieces:
        yield intro + head + quoted(piece) + b"}}\n\n"
        intro = b""


def _start(index: int, block: dict[str, Any]) -> bytes:
    return _event("content_block_start", {"type": "content_block_start", "index": index, "content_block": block})


def _stop(index: int, *, signed: bool) -> bytes:
    """The end of a block; a thinking block is signed first."""
    found = _event("content_block_stop", {"type": "content_block_stop", "index": index})
    if not signed:
        return found
    delta = {"type": "signature_delta", "signature": _SIGNATURE}
    return _event("content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta}) + found


def _message(answer: Answer) -> dict[str, Any]:
    return {
        "id": "msg_" + answer.id,
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _input(arguments: str) -> object:
    """A tool's input; arguments cut short by the token limit are an empty one."""
    try:
        return json.loads(arguments)
    except ValueError:
        return {}


def _error(problem: Problem) -> dict[str, Any]:
    kind, message = _ERRORS.get(problem.kind, _ERRORS["server_error"])
    return {"type": kind, "message": problem.message or message}


def _limits(reset: bytes, requests: int, tokens: int) -> Headers:
    return [
        (b"anthropic-ratelimit-requests-limit", b"4000"),
        (b"anthropic-ratelimit-requests-remaining", b"%d" % requests),
        (b"anthropic-ratelimit-requests-reset", reset),
        (b"anthropic-ratelimit-tokens-limit", b"%d" % _TOKEN_LIMIT),
        (b"anthropic-ratelimit-tokens-remaining", b"%d" % max(0, tokens)),
        (b"anthropic-ratelimit-tokens-reset", reset),
    ]


def _reset(at: datetime) -> bytes:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()


def _event(name: str, data: dict[str, Any]) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"
