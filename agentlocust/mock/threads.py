"""Conversations the server holds: a Messages request that continues one sends only what is new.

Source: the `thread` field of `messages.create` in Anthropic's Python SDK (beta `message-threads-2026-08-12`);
its tool runner uses them by default. `system` and `tools` are the thread's own.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any

from agentlocust.dialects.answers import Answer
from agentlocust.mock.asks import BadAsk

MAX_HELD = 10_000  # replies that can be continued from; the oldest goes first
_OF_THREAD = ("system", "tools")


class Threads:
    """What each reply of a thread can be continued with."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def whole(self, body: dict[str, Any]) -> dict[str, Any]:
        """The body with the conversation it continues, itself when it continues none. Raises BadAsk."""
        thread = body.get("thread")
        if not isinstance(thread, dict) or thread.get("type") != "continue":
            return body
        held = self._held.get(str(thread.get("previous_message_id", "")))
        if held is None:
            raise BadAsk("thread: no message with that id is held here", status=404, kind="not_found")
        new = body.get("messages")
        return {**body, **held, "messages": [*held["messages"], *(new if isinstance(new, list) else [])]}

    def hold(self, body: dict[str, Any], answer: Answer) -> None:
        """Keep a whole body and its answer, if the request asked for it."""
        if not isinstance(body.get("thread"), dict) or not isinstance(body.get("messages"), list):
            return
        said: list[dict[str, Any]] = [{"type": "text", "text": "".join(answer.text)}] if answer.text else []
        said += [
            {"type": "tool_use", "id": f"toolu_{call.id}", "name": call.name, "input": _arguments(call.arguments)}
            for call in answer.calls
        ]
        messages = [*body["messages"], {"role": "assistant", "content": said}]
        self._held[f"msg_{answer.id}"] = {"messages": messages, **{key: body[key] for key in _OF_THREAD if key in body}}
        if len(self._held) > MAX_HELD:
            self._held.popitem(last=False)


def _arguments(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:  # cut by the token limit
        return {}
