"""Replies that no server gave, in the words of the provider that was asked."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import blake2b

from agentlocust.dialects.answers import Answer, Frames, FunctionCall, Headers, Problem
from agentlocust.dialects.anthropic import writer as anthropic
from agentlocust.dialects.openai_chat import writer as openai_chat
from agentlocust.dialects.openai_responses import writer as openai_responses
from agentlocust.faults.fault import Draft, Hit, generates
from agentlocust.faults.injection import Asked, MadeReply, Piece
from agentlocust.faults.tools import tools_of
from agentlocust.usage import Usage

_JSON = (b"content-type", b"application/json")
_SSE = ((b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"))
_BYTES_A_TOKEN = 4  # of a request, roughly


def refused(hit: Hit, problem: Problem, retry_after_s: float | None = None) -> MadeReply:
    """An error reply. Without `retry_after_s` it does not say when to come back."""
    asked, identity = hit.asked, _identity(hit)
    retry = retry_after_s or 0.0
    headers: Headers
    if asked.dialect == "anthropic":
        headers = anthropic.error_headers(problem, identity, retry, datetime.now(UTC))
        body = anthropic.error_body(problem, identity)
    elif generates(asked) or asked.dialect == "openai-embeddings":
        headers = openai_chat.error_headers(problem, identity, 0.0, retry)
        body = openai_chat.error_body(problem)
    else:
        headers = [(b"retry-after", b"%d" % math.ceil(retry))]
        body = json.dumps({"error": problem.message or problem.kind}).encode()
    said = {b"retry-after", b"retry-after-ms"}
    headers = [pair for pair in headers if pair[0] not in said or retry_after_s is not None]
    if retry_after_s is not None and not any(name == b"retry-after" for name, _ in headers):
        headers.append((b"retry-after", b"%d" % math.ceil(retry_after_s)))
    return _whole(problem.status, headers, body)


def answered(
    hit: Hit, finish: str = "stop", text: tuple[str, ...] = (), call: tuple[str, str] | None = None
) -> MadeReply:
    """A reply with these tokens, or one tool call (its name and the text of its arguments); streamed if so asked."""
    asked, identity = hit.asked, _identity(hit)
    pieces = _cut_up(call[1]) if call is not None else ()
    usage = Usage(uncached_input=max(len(hit.body) // _BYTES_A_TOKEN, 1), output=len(text) + len(pieces))
    calls = (FunctionCall(identity, call[0], pieces),) if call is not None else ()
    answer = Answer(identity, asked.model or "unknown", 0, usage, finish, text=text, calls=calls)
    headers = (
        anthropic.headers(identity, usage.input, datetime.now(UTC))
        if asked.dialect == "anthropic"
        else openai_chat.headers(identity, 0.0, usage.input)
    )
    if not asked.streamed:
        return _whole(200, headers, _body(asked, answer, call[1] if call is not None else ""))
    options = hit.request().get("stream_options")
    frames = frames_of(
        asked.dialect, answer, include_usage=isinstance(options, dict) and bool(options.get("include_usage"))
    )
    made = [frames.opening, *frames.pieces]
    return MadeReply(200, (*_SSE, *headers), tuple(Piece(data) for data in (*made, frames.closing())))


def error_frame(dialect: str) -> bytes:
    """The event by which a provider breaks a stream off."""
    answer = Answer("0", "", 0, None)
    kind = "overloaded" if dialect == "anthropic" else "server_error"
    return frames_of(dialect, answer, include_usage=False).error(Problem(200, kind))


def frames_of(dialect: str, answer: Answer, *, include_usage: bool) -> Frames:
    """The stream of an answer in a dialect."""
    if dialect == "anthropic":
        return anthropic.frames(answer)
    return (
        openai_responses.frames(answer)
        if dialect == "openai-responses"
        else openai_chat.frames(answer, include_usage=include_usage)
    )


def _body(asked: Asked, answer: Answer, arguments: str) -> bytes:
    if asked.dialect == "anthropic":
        body = anthropic.body(answer)
        try:
            json.loads(arguments or "{}")
        except ValueError:  # this API has objects only: what is no JSON stays text, as its streams would say it
            found = json.loads(body)
            for block in found["content"]:
                if block["type"] == "tool_use":
                    block["input"] = arguments
            return json.dumps(found).encode()
        return body
    return openai_responses.body(answer) if asked.dialect == "openai-responses" else openai_chat.body(answer)


def _whole(status: int, headers: Headers, body: bytes) -> MadeReply:
    return MadeReply(status, (_JSON, (b"content-length", b"%d" % len(body)), *headers), (Piece(body),))


def _cut_up(arguments: str) -> tuple[str, ...]:
    return tuple(arguments[at : at + 8] for at in range(0, len(arguments), 8))


def _identity(hit: Hit) -> str:
    asked = hit.asked
    key = f"{asked.user}/{asked.run}/{asked.call}/{asked.attempt}"
    return blake2b(key.encode(), digest_size=12).hexdigest()


def calls_tool_with(arguments: str) -> Callable[[Hit, Draft], bool]:
    """A strike that has the model call the first tool it was offered, with that text as arguments."""

    def strike(hit: Hit, draft: Draft) -> bool:
        offered = tools_of(hit.request()) if not draft.answered else []
        if not offered:
            return False
        draft.reply = answered(hit, "tools", call=(offered[0], arguments))
        return True

    return strike
