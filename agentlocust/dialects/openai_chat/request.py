"""Writes chat completion requests and their conversation (OpenAI's API reference, "Create chat completion")."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from agentlocust.dialects.base import Decoded, ToolResult, merge_params
from agentlocust.dialects.tools import Choice, Tools, chat_choice, chat_tools

# These refuse `max_tokens`; many compatible servers know nothing else.
_NEW_LIMIT = re.compile(r"(?:.*/)?(?:o\d|gpt-(?:[5-9]|\d\d))")


def build(
    *,
    model: str,
    messages: Sequence[Any],
    system: str = "",
    tools: Tools = None,
    tool_choice: Choice = None,
    max_tokens: int | None = None,
    stream: bool = True,
    params: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Build the body. A stream is asked to end with its usage; `stream_options` in `params` adds to that."""
    params = dict(params or {})
    first = [{"role": "system", "content": system}] if system else []
    body: dict[str, Any] = {"model": model, "messages": [*first, *messages]}
    if tools:
        body["tools"] = chat_tools(tools)
    if tool_choice is not None:
        body["tool_choice"] = chat_choice(tool_choice, tools)
    if max_tokens is not None and not {"max_tokens", "max_completion_tokens"} & params.keys():
        body["max_completion_tokens" if _NEW_LIMIT.match(model) else "max_tokens"] = max_tokens
    if stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
        if isinstance(params.get("stream_options"), Mapping):
            body["stream_options"].update(params.pop("stream_options"))
    return merge_params(body, params)


def user_message(text: str) -> dict[str, Any]:
    """Word what the user says."""
    return {"role": "user", "content": text}


def reply_messages(decoded: Decoded) -> list[dict[str, Any]]:
    """Word a reply as the one assistant message that carries it on."""
    message: dict[str, Any] = {"role": "assistant", "content": decoded.text}
    if decoded.refusal:
        message["refusal"] = decoded.refusal
    if decoded.tool_calls:
        message["content"] = decoded.text or None
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments_json}}
            for call in decoded.tool_calls
        ]
    return [message]


def add_tool_results(messages: list[dict[str, Any]], results: Sequence[ToolResult]) -> None:
    """Append one `tool` message a result; the format has no mark for an error."""
    messages += [{"role": "tool", "tool_call_id": result.id, "content": result.content} for result in results]
