"""What an error says, whatever its shape: a provider's JSON, Azure's, a proxy's HTML, plain text, nothing.

Shapes: OpenAI `{"error": {"message", "type", "code"}}`, Anthropic `{"type": "error", "error": {"type",
"message"}}`, Azure's `innererror`, vLLM's flat `{"object": "error", "message", "type"}`, FastAPI's
`{"detail": ...}`, and an array around any of them.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

from agentlocust.dialects.base import decode_json, dict_of, text_of
from agentlocust.failures import Failure, FailureKind, classify_status

MESSAGE_LIMIT = 300  # characters of a server's message that are kept

_READ_LIMIT = 65_536  # bytes of an error body that are looked at
_TITLE = re.compile(r"<title[^<>]*>([^<]*)", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")
_SPACE = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_TOO_LONG = ("maximum context length", "context window", "prompt is too long")
_FILTERED = "content management policy"  # Azure's words; gateways pass them on without the code


def read_failure(status: int, body: bytes) -> Failure:
    """Sort an HTTP error reply; the message is its own text, short and not yet scrubbed."""
    codes, message = _told(body)
    if status in (400, 413, 422) and any(words in message for words in _TOO_LONG):
        codes = (*codes, "context_length_exceeded")
    if status == 400 and _FILTERED in message:
        codes = (*codes, "content_filter")
    return Failure(classify_status(status, codes, message), _short(message) or _phrase(status), status)


def read_unexpected(content_type: str, body: bytes) -> Failure:
    """Judge a 2xx reply to a streamed request that is no event stream and no JSON reply either.

    A JSON error is `stream_error`; anything else is `protocol`.
    """
    try:
        value = decode_json(body[:_READ_LIMIT])
    except ValueError:
        value = None
    if isinstance(value, dict) and (value.get("error") or "error" in (value.get("object"), value.get("type"))):
        return Failure(FailureKind.STREAM_ERROR, error_message(body), 200)
    what = _short(content_type) or "no content type"
    text = _short(_plain(body))
    return Failure(FailureKind.PROTOCOL, f"expected text/event-stream, got {what}" + (f": {text}" if text else ""), 200)


def error_message(data: bytes) -> str:
    """One short line for an error inside a 200 reply: its code or type, then its message."""
    codes, message = _told(data)
    return _short(": ".join(part for part in (codes[0] if codes else "", message) if part)) or "an error without a word"


def _told(body: bytes) -> tuple[tuple[str, ...], str]:
    """The codes in an error body, the most telling first, and its message."""
    try:
        value = decode_json(body[:_READ_LIMIT])
    except ValueError:
        return (), _plain(body)
    while isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return (), text_of(value)
    outer = value
    for key in ("response", "error"):  # Responses wraps a failed response; an error may hold its like
        inner = outer.get(key)
        if isinstance(inner, dict):
            outer = inner
        elif isinstance(inner, str) and inner:
            return _codes(outer), inner
    message = text_of(outer.get("message")) or _detail(outer.get("detail")) or _detail(value.get("detail"))
    return _codes(outer), message


def _codes(error: dict[str, Any]) -> tuple[str, ...]:
    details = dict_of(error.get("details"))
    inner = dict_of(error.get("innererror"))
    found = (details.get("error_code"), error.get("code"), error.get("type"), inner.get("code"), error.get("status"))
    return tuple(code for code in found if isinstance(code, str) and code and code != "error")


def _detail(value: Any) -> str:
    """FastAPI's `detail`: a text, or a list of what was wrong with the request."""
    if isinstance(value, list) and value:
        value = value[0]
    return text_of(value) or text_of(dict_of(value).get("msg"))


def _plain(body: bytes) -> str:
    """The words of a body that is not JSON: an HTML page's title, else its text."""
    text = body[:_READ_LIMIT].decode("utf-8", "replace")
    title = _TITLE.search(text)
    if title is not None and title[1].strip():
        return title[1]
    return _TAG.sub(" ", text)


def _short(text: str) -> str:
    line = _SPACE.sub(" ", text[: 8 * MESSAGE_LIMIT]).strip()
    return line if len(line) <= MESSAGE_LIMIT else line[: MESSAGE_LIMIT - 1] + "…"


def _phrase(status: int) -> str:
    try:
        return f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP {status}"
