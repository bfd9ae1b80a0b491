"""Tools as requests name them: what is offered, and what they answered."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from agentlocust.dialects.base import dict_of, dicts_of, text_of


def tools_of(request: dict[str, Any]) -> list[str]:
    """The names of the tools that a request offers."""
    found = []
    for tool in dicts_of(request.get("tools")):
        name = text_of(tool.get("name")) or text_of(dict_of(tool.get("function")).get("name"))
        if name:
            found.append(name)
    return found


def has_results(request: dict[str, Any]) -> bool:
    """True when the request brings results of tools that the model has not seen yet."""
    return any(True for _ in _results(request))


def with_results(change: Callable[[str], str]) -> Callable[[bytes], bytes]:
    """A change of a request's body: what its tools answered since the last reply becomes `change` of it."""

    def changed(body: bytes) -> bytes:
        try:
            request = json.loads(body)
        except (ValueError, RecursionError):
            return body
        if not isinstance(request, dict):
            return body
        for holder, key in _results(request):
            told = holder.get(key)
            holder[key] = change(told if isinstance(told, str) else json.dumps(told))
        return json.dumps(request, ensure_ascii=False).encode("utf-8", "replace")

    return changed


def _results(request: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Where the results stand: chat's `tool` messages, Responses' outputs, Anthropic's blocks; from the end back."""
    for item in reversed(dicts_of(request.get("messages")) or dicts_of(request.get("input"))):
        if item.get("role") == "tool":
            yield item, "content"
        elif item.get("type") == "function_call_output":
            yield item, "output"
        elif item.get("role") == "user" and isinstance(item.get("content"), list):
            blocks = [block for block in dicts_of(item["content"]) if block.get("type") == "tool_result"]
            for block in blocks:
                yield block, "content"
            if blocks:
                continue
            return
        else:
            return
