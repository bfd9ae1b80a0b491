"""Writes Responses API requests and the conversation they carry (OpenAI's API reference, "Create a response")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentlocust.dialects.base import Decoded, ToolResult, merge_params
from agentlocust.dialects.tools import Choice, Tools, responses_choice, responses_tools


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
    """Build the body: `messages` are its input items, `system` its instructions."""
    body: dict[str, Any] = {"model": model, "input": list(messages)}
    if system:
        body["instructions"] = system
    if tools:
        body["tools"] = responses_tools(tools)
    if tool_choice is not None:
        body["tool_choice"] = responses_choice(tool_choice, tools)
    if max_tokens is not None:
        body["max_output_tokens"] = max_tokens
    if stream:
        body["stream"] = True
    return merge_params(body, params)


def user_message(text: str) -> dict[str, Any]:
    """Word what the user says."""
    return {"role": "user", "content": text}


def reply_messages(decoded: Decoded) -> list[dict[str, Any]]:
    """Word a reply as the items that carry it on, encrypted reasoning included."""
    if decoded.turn:
        return list(decoded.turn)
    text = decoded.text or decoded.refusal
    items: list[dict[str, Any]] = [{"role": "assistant", "content": text}] if text else []
    items += [
        {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments_json}
        for call in decoded.tool_calls
    ]
    return items


def add_tool_results(messages: list[dict[str, Any]], results: Sequence[ToolResult]) -> None:
    """Append one `function_call_output` item a result; the format has no mark for an error."""
    messages += [{"type": "function_call_output", "call_id": result.id, "output": result.content} for result in results]
