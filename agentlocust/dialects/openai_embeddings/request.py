"""Writes embedding requests (OpenAI's API reference, "Create embeddings")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentlocust.dialects.base import Decoded, ToolResult, merge_params
from agentlocust.dialects.tools import Choice, Tools
from agentlocust.errors import ConfigError


def build(
    *,
    model: str,
    messages: Sequence[Any],
    system: str = "",
    tools: Tools = None,
    tool_choice: Choice = None,
    max_tokens: int | None = None,
    stream: bool = False,
    params: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Build the body: each message, a text or a user message, is one input.

    Raises ConfigError for a system prompt or tools: embeddings have none.
    """
    if system or tools or tool_choice is not None:
        raise ConfigError("embeddings take no system prompt and no tools", hint="leave them out, or use a chat model")
    texts = [message.get("content") if isinstance(message, Mapping) else message for message in messages]
    return merge_params({"model": model, "input": texts[0] if len(texts) == 1 else texts}, params)


def user_message(text: str) -> dict[str, Any]:
    """Word one input."""
    return {"role": "user", "content": text}


def reply_messages(decoded: Decoded) -> list[dict[str, Any]]:
    """Word nothing: embeddings carry no conversation on."""
    return []


def add_tool_results(messages: list[dict[str, Any]], results: Sequence[ToolResult]) -> None:
    """Append nothing: embeddings call no tools."""
