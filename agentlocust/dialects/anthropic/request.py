"""Writes message requests and the conversation they carry (Anthropic's API reference, "Create a message")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentlocust.dialects.base import Decoded, ToolResult, checked_key, merge_params
from agentlocust.dialects.tools import Choice, Tools, anthropic_choice, anthropic_tools

VERSION = "2026-10-21"  # what the official SDK 2.11 sends
DEFAULT_MAX_TOKENS = 4096  # the API wants a limit; every current model allows this much


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
    """Build the body; without `max_tokens` the limit is 4096."""
    limit = DEFAULT_MAX_TOKENS if max_tokens is None else max_tokens
    body: dict[str, Any] = {"model": model, "max_tokens": limit, "messages": list(messages)}
    if system:
        body["system"] = system
    if tools:
        body["tools"] = anthropic_tools(tools)
    if tool_choice is not None:
        body["tool_choice"] = anthropic_choice(tool_choice, tools)
    if stream:
        body["stream"] = True
    return merge_params(body, params)


def headers(key: str) -> dict[str, str]:
    """Name the caller and the version; raises ConfigError as `base.checked_key` does."""
    key = checked_key(key)
    return {"anthropic-version": VERSION} | ({"x-api-key": key} if key else {})


def user_message(text: str) -> dict[str, Any]:
    """Word what the user says."""
    return {"role": "user", "content": text}


def reply_messages(decoded: Decoded) -> list[dict[str, Any]]:
    """Word a reply as one assistant message, signed thinking included; none when it held nothing."""
    content: list[dict[str, Any]] = list(decoded.turn)
    if not content:
        content = [{"type": "text", "text": decoded.text}] if decoded.text else []
        content += [
            {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments}
            for call in decoded.tool_calls
        ]
    return [{"role": "assistant", "content": content}] if content else []


def add_tool_results(messages: list[dict[str, Any]], results: Sequence[ToolResult]) -> None:
    """Append the results as one user message, or to the one that already ends the conversation.

    The API wants all results of a turn in the message right after it.
    """
    blocks: list[dict[str, Any]] = []
    for result in results:
        block: dict[str, Any] = {"type": "tool_result", "tool_use_id": result.id, "content": result.content}
        blocks.append({**block, "is_error": True} if result.is_error else block)
    if not blocks:
        return
    last = messages[-1] if messages else {}
    content = last.get("content")
    if last.get("role") == "user" and isinstance(content, list) and _all_results(content):
        messages[-1] = {"role": "user", "content": [*content, *blocks]}
    else:
        messages.append({"role": "user", "content": blocks})


def _all_results(content: list[Any]) -> bool:
    return all(isinstance(block, dict) and block.get("type") == "tool_result" for block in content)
