"""Tool calls as the model's own messages tell of them: asked for in a reply, answered in a later request.

Where the answers stand: OpenAI chat `{"role": "tool", "tool_call_id"}`, Responses `{"type":
"function_call_output", "call_id"}`, Anthropic `{"type": "tool_result", "tool_use_id", "is_error"}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agentlocust.dialects.base import ToolRequest, dict_of, dicts_of, text_of

MAX_OPEN = 1000  # of one run, whose model asks and asks for tools that nobody runs
_ERROR = re.compile(r"\s*(?:error\b|an error occurred\b|traceback \(most recent)", re.IGNORECASE)
_ERROR_LIMIT = 300


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request tells of a tool that was run; `id` is that of the model's request for it."""

    id: str
    result: object
    error: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A tool that the model asked for, and when its reply ended (monotonic ns)."""

    request: ToolRequest
    at_ns: int


class OpenTools:
    """The tools that a run's model asked for and of which nothing was heard yet."""

    def __init__(self) -> None:
        self._open: dict[str, Asked] = {}

    def __bool__(self) -> bool:
        return bool(self._open)

    def ask(self, requests: Iterable[ToolRequest], at_ns: int) -> None:
        """A reply ended that asks for these tools."""
        for request in requests:
            if len(self._open) < MAX_OPEN:
                self._open[request.id or f"{at_ns}/{len(self._open)}"] = Asked(request, at_ns)

    def answered(self, id: str) -> Asked | None:
        """What was asked for under that id, if it is open; then no more."""
        return self._open.pop(id, None)

    def mentioned(self, body: bytes) -> list[str]:
        """The ids of those that a later request names: smolagents tells of tools and answers in plain text."""
        return [key for key in self._open if key.encode() in body]

    def told(self, name: str, id: str = "") -> ToolRequest | None:
        """The same for a tool that somebody else times: the oldest of that name, unless its id is known."""
        for key, asked in self._open.items():
            if asked.request.name == name and id in ("", asked.request.id):
                del self._open[key]
                return asked.request
        return None


def answers_in(asked: Mapping[str, object]) -> list[Answer]:
    """The answers of tools in a request, of any of the dialects, also those told in requests before it."""
    found = []
    for message in dicts_of(asked.get("messages")) or dicts_of(asked.get("input")):
        if message.get("role") == "tool":
            found.append(_answer(message.get("tool_call_id"), message.get("content")))
        elif message.get("type") == "function_call_output":
            found.append(_answer(message.get("call_id"), message.get("output")))
        elif isinstance(message.get("content"), list):
            for block in message["content"]:
                if dict_of(block).get("type") == "tool_result":
                    failed = block.get("is_error") is True
                    found.append(_answer(block.get("tool_use_id"), block.get("content"), failed=failed))
    return found


def _answer(id: object, content: object, *, failed: bool = False) -> Answer:
    text = "\n".join(text_of(part.get("text")) for part in dicts_of(content)) if isinstance(content, list) else content
    said = text if isinstance(text, str) else ""
    failed = failed or _ERROR.match(said) is not None
    return Answer(text_of(id), text, (said.strip()[:_ERROR_LIMIT] or "failed") if failed else "")
