"""The provider APIs the mock speaks: how each reads a request, writes a reply and says no."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from agentlocust.dialects.answers import Answer, Frames, Headers, Problem
from agentlocust.dialects.anthropic import writer as anthropic
from agentlocust.dialects.openai_chat import writer as openai_chat
from agentlocust.dialects.openai_responses import writer as openai_responses
from agentlocust.mock.asks import Ask, BadAsk, read_chat, read_messages, read_responses
from agentlocust.mock.readers import STATUS_OF, status_named

_KINDS = {
    401: "auth",
    402: "quota",
    403: "auth",
    404: "not_found",
    408: "timeout",
    413: "too_large",
    429: "rate_limited",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}
_ANTHROPIC_STATUS = {"overloaded": 529, "quota": 402, "timeout": 504}


@dataclass(frozen=True, slots=True)
class Api:
    """One way of asking for a reply: its reader and its two writers."""

    read: Callable[[dict[str, Any]], Ask]
    body: Callable[[Answer], bytes]
    frames: Callable[[Answer, bool], Frames]


APIS = {
    "/v1/chat/completions": Api(read_chat, openai_chat.body, openai_chat.frames),
    "/v1/responses": Api(read_responses, openai_responses.body, lambda answer, _: openai_responses.frames(answer)),
    "/v1/messages": Api(read_messages, anthropic.body, lambda answer, _: anthropic.frames(answer)),
}


def problem_named(name: str, is_anthropic: bool) -> Problem:
    """The error reply for a failure name or a status in digits."""
    name = name.strip()
    status = status_named(name)
    if name in STATUS_OF:
        return Problem(_ANTHROPIC_STATUS.get(name, status) if is_anthropic else status, name)
    return Problem(status, _KINDS.get(status, "bad_request" if status < 500 else "server_error"))


def check_context(ask: Ask, context: int, is_anthropic: bool) -> None:
    """Raises BadAsk when the prompt is longer than the context window; 0 is an endless one."""
    if not context or ask.input_tokens <= context:
        return
    if is_anthropic:
        message = f"prompt is too long: {ask.input_tokens} tokens > {context} maximum"
    else:
        message = (
            f"This model's maximum context length is {context} tokens. However, your messages resulted in "
            f"{ask.input_tokens} tokens. Please reduce the length of the messages."
        )
    raise BadAsk(message, param="messages", kind="context_length")


def model_of(body: dict[str, Any], is_anthropic: bool) -> str:
    """The model named in a body. Raises BadAsk when there is none."""
    name = body.get("model")
    if isinstance(name, str) and name:
        return name
    raise BadAsk("model: Field required" if is_anthropic else "you must provide a model parameter", param="model")


def check_model(name: str, is_anthropic: bool) -> None:
    """Raises BadAsk for a model that does not exist: one whose name starts with `missing`."""
    if not name.startswith("missing"):
        return
    if is_anthropic:
        raise BadAsk(f"model: {name}", status=404, kind="not_found")
    message = f"The model `{name}` does not exist or you do not have access to it."
    raise BadAsk(message, status=404, kind="not_found", code="model_not_found")


def reply_headers(is_anthropic: bool, request_id: str, received: float, input_tokens: int = 0) -> Headers:
    """The provider's headers of a good reply; `received` is monotonic."""
    if is_anthropic:
        return anthropic.headers(request_id, input_tokens, datetime.now(UTC))
    return openai_chat.headers(request_id, time.monotonic() - received, input_tokens)


def refusal(
    problem: Problem, is_anthropic: bool, request_id: str, received: float, retry_after_s: float
) -> tuple[Headers, bytes]:
    """The provider's headers and body of an error reply."""
    if is_anthropic:
        headers = anthropic.error_headers(problem, request_id, retry_after_s, datetime.now(UTC))
        return headers, anthropic.error_body(problem, request_id)
    headers = openai_chat.error_headers(problem, request_id, time.monotonic() - received, retry_after_s)
    return headers, openai_chat.error_body(problem)
