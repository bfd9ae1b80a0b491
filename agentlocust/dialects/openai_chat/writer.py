"""What OpenAI's Chat Completions API sends: bodies, stream chunks, errors and headers.

Formats: https://platform.openai.com/docs/api-reference/chat and .../chat-streaming. Reasoning is
written as `reasoning_content`, the field that DeepSeek, vLLM and others added to this API.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from agentlocust.dialects.answers import Answer, Frames, Headers, Problem, quoted
from agentlocust.usage import Usage

_FINISH = {"stop": "stop", "length": "length", "tools": "tool_calls", "filter": "content_filter"}
_TOKEN_LIMIT = 2_000_000
_SERVER_ERROR = "The server had an error while processing your request. Sorry about that!"

# kind: (type, code, message)
_ERRORS = {
    "bad_request": ("invalid_request_error", None, "The request is not valid."),
    "context_length": (
        "invalid_request_error",
        "context_length_exceeded",
        "This model's maximum context length was exceeded. Please reduce the length of the messages.",
    ),
    "content_filter": (
        "invalid_request_error",
        "content_filter",
        "The response was filtered due to the prompt triggering the content management policy.",
    ),
    "auth": ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    "not_found": ("invalid_request_error", None, "Invalid URL"),
    "timeout": ("server_error", None, "Request timed out."),
    "too_large": ("invalid_request_error", None, "The request body is too large."),
    "rate_limited": (
        "tokens",
        "rate_limit_exceeded",
        "Rate limit reached for this model on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000.",
    ),
    "quota": (
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    "overloaded": ("server_error", None, "The engine is currently overloaded, please try again later"),
    "server_error": ("server_error", None, _SERVER_ERROR),
}


def headers(request_id: str, elapsed_s: float, input_tokens: int = 0) -> Headers:
    """The headers of every OpenAI reply; `elapsed_s` is the time spent on the request so far."""
    return [
        (b"x-request-id", b"req_" + request_id.encode()),
        (b"openai-organization", b"org-mock"),
        (b"openai-processing-ms", b"%d" % (elapsed_s * 1000)),
        (b"openai-version", b"2020-10-01"),
        (b"x-ratelimit-limit-requests", b"10000"),
        (b"x-ratelimit-limit-tokens", b"%d" % _TOKEN_LIMIT),
        (b"x-ratelimit-remaining-requests", b"9999"),
        (b"x-ratelimit-remaining-tokens", b"%d" % max(0, _TOKEN_LIMIT - input_tokens)),
        (b"x-ratelimit-reset-requests", b"6ms"),
        (b"x-ratelimit-reset-tokens", b"0s"),
    ]


def error_headers(problem: Problem, request_id: str, elapsed_s: float, retry_after_s: float) -> Headers:
    """The headers of an error reply; a rate limit says when to come back."""
    found = headers(request_id, elapsed_s)
    if problem.kind != "rate_limited":
        return found
    wait = math.ceil(retry_after_s)
    changed = {
        b"x-ratelimit-remaining-requests": b"0",
        b"x-ratelimit-remaining-tokens": b"0",
        b"x-ratelimit-reset-requests": b"%ds" % wait,
        b"x-ratelimit-reset-tokens": b"%ds" % wait,
    }
    found = [(name, changed.get(name, value)) for name, value in found]
    return [*found, (b"retry-after", b"%d" % wait), (b"retry-after-ms", b"%d" % (retry_after_s * 1000))]


def error_body(problem: Problem) -> bytes:
    """The JSON body of an error reply, also the object in a stream's error chunk."""
    kind, code, message = _ERRORS.get(problem.kind, _ERRORS["server_error"])
    error = {
        "message": problem.message or message,
        "type": kind,
        "param": problem.param,
        "code": problem.code or code,
    }
    return json.dumps({"error": error}).encode()


def usage_object(usage: Usage) -> dict[str, Any]:
    """`usage` as this API counts it: the details are parts of the totals."""
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.total,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def body(answer: Answer) -> bytes:
    """The whole of an unstreamed reply."""
    text = "".join(answer.text)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": text or (None if answer.calls else ""),
        "refusal": None,
        "annotations": [],
    }
    if answer.reasoning:
        message["reasoning_content"] = "".join(answer.reasoning)
    if answer.calls:
        message["tool_calls"] = [
            {"id": "call_" + call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in answer.calls
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _FINISH[answer.finish]}
    found: dict[str, Any] = {
        "id": "chatcmpl-" + answer.id,
        "object": "chat.completion",
        "created": answer.created,
        "model": answer.model,
        "choices": [choice],
        "service_tier": "default",
        "system_fingerprint": "fp_mock",
    }
    if answer.usage is not None:
        found["usage"] = usage_object(answer.usage)
    return json.dumps(found).encode("utf-8", "replace")


def frames(answer: Answer, include_usage: bool = False) -> Frames:
    """The stream of a reply; `include_usage` as asked for in `stream_options`."""
    told = include_usage and answer.usage is not None
    start = b'data: {"id":"chatcmpl-%s","object":"chat.completion.chunk","created":%d,"model":%s,' % (
        answer.id.encode(),
        answer.created,
        quoted(answer.model),
    )
    start += b'"service_tier":"default","system_fingerprint":"fp_mock","choices":['
    head = start + b'{"index":0,"delta":'
    none = b',"usage":null' if told else b""
    tail = b',"logprobs":null,"finish_reason":null}]' + none + b"}\n\n"

    def closing() -> bytes:
        finish = _FINISH[answer.finish].encode()
        found = head + b'{},"logprobs":null,"finish_reason":"' + finish + b'"}]' + none + b"}\n\n"
        if told and answer.usage is not None:
            found += start + b'],"usage":' + json.dumps(usage_object(answer.usage)).encode() + b"}\n\n"
        return found + b"data: [DONE]\n\n"

    return Frames(
        opening=head + b'{"role":"assistant","content":"","refusal":null}' + tail,
        pieces=_pieces(answer, head, tail),
        closing=closing,
        error=lambda problem: b"data: " + error_body(problem) + b"\n\n",
    )


def _pieces(answer: Answer, head: bytes, tail: bytes) -> Iterator[bytes]:
    before, after = head + b'{"reasoning_content":', b"}" + tail
    for piece in answer.reasoning:
        yield before + quoted(piece) + after
    before = head + b'{"content":'
    for piece in answer.text:
        yield before + quoted(piece) + after
    for index, call in enumerate(answer.calls):
        # The name comes with the first piece of the arguments, in a chunk of its own before it.
        named = b'{"tool_calls":[{"index":%d,"id":"call_%s","type":"function","function":{"name":%s,"arguments":""}}]}'
        intro = head + named % (index, call.id.encode(), quoted(call.name)) + tail
        before = head + b'{"tool_calls":[{"index":%d,"function":{"arguments":' % index
        for piece in call.pieces:
            yield intro + before + quoted(piece) + b"}}]}" + tail
            intro = b""


def models_body(names: tuple[str, ...], created: int) -> bytes:
    """The reply to `GET /v1/models`."""
    return json.dumps({"object": "list", "data": [_model(name, created) for name in names]}).encode()


def model_body(name: str, created: int) -> bytes:
    """The reply to `GET /v1/models/{name}`."""
    return json.dumps(_model(name, created)).encode()


def _model(name: str, created: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": "mock"}
