"""A LangGraph server: a thread is made, then a run of an assistant is streamed on it.

Source: the LangGraph server's API (`POST /threads`, `POST /threads/{id}/runs/stream`), its stream modes
`messages-tuple` (pieces of messages) and `values`/`updates` (state), and LangChain's message JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from agentlocust.dialects.agents.base import (
    AgentRequest,
    Conversation,
    Framing,
    Message,
    done,
    failed,
    malformed,
    progress,
    text,
    truncated,
)
from agentlocust.dialects.agents.events import AgentEvent, EventKind
from agentlocust.dialects.agents.told_usage import add_usage, read_usage
from agentlocust.dialects.base import decode_json, dict_of, dicts_of, json_text, merge_params, text_of
from agentlocust.dialects.failed import error_message, read_failure
from agentlocust.failures import FailureKind
from agentlocust.usage import Usage

_AI = ("ai", "AIMessage", "AIMessageChunk")
_TOOL = ("tool", "ToolMessage", "ToolMessageChunk")


class LangGraphAgent:
    """The protocol for one assistant; `path` is what stands before `/threads`."""

    name = "langgraph"

    def __init__(self, *, path: str = "", assistant: str = "agent") -> None:
        self.path = path.rstrip("/")
        self.assistant = assistant

    def turn(self, text: str, conversation: Conversation, params: Mapping[str, Any]) -> LangGraphTurn:
        """Begin a turn; `params` are fields of the run's request (`config`, `context`, `stream_mode`, ...)."""
        return LangGraphTurn(self, text, conversation, params)

    read_failure = staticmethod(read_failure)


class LangGraphTurn:
    """A thread, unless the session has one, and a run on it."""

    generates = True

    def __init__(self, agent: LangGraphAgent, said: str, conversation: Conversation, params: Mapping[str, Any]) -> None:
        self._agent = agent
        self._conversation = conversation
        body = {
            "assistant_id": agent.assistant,
            "input": {"messages": [{"role": "user", "content": said}]},
            "stream_mode": ["messages-tuple"],
        }
        self._body = merge_params(body, params)
        self._making_thread = self._running = self._ended = False
        self._usages: dict[tuple[str, str], Usage] = {}  # by message and model
        self._whole: set[str] = set()  # messages whose text came in pieces
        self._calls: dict[Any, str] = {}  # index of a piece -> the id of its call

    def request(self) -> AgentRequest | None:
        """Give the request for a thread, then the one for the run."""
        if self._ended or self._running:
            return None
        if not self._conversation.id:
            self._making_thread = True
            return AgentRequest(f"{self._agent.path}/threads", {}, framing=Framing.JSON)
        self._running = True
        thread = quote(self._conversation.id, safe="")
        return AgentRequest(f"{self._agent.path}/threads/{thread}/runs/stream", self._body, framing=Framing.SSE)

    def read(self, message: Message) -> list[AgentEvent]:
        """Read the thread's name, or one event of the run."""
        stamp = message.stamp_ns
        kind, _, _ = message.event.decode("utf-8", "replace").partition("|")  # events of subgraphs: `messages|name:id`
        if kind == "error":
            self._ended = True
            return [failed(stamp, FailureKind.STREAM_ERROR, _error(message.data))]
        if kind == "end":
            self._ended = True
            return [done(stamp)]
        try:
            told = decode_json(message.data)
        except ValueError as problem:
            return malformed(message, problem)
        if self._making_thread:
            return self._thread(stamp, dict_of(told))
        if kind in ("messages", "messages/partial", "messages/complete"):
            found = [item for item in dicts_of(told) if "type" in item] or [dict_of(told)]
            events = [event for item in found for event in self._message(stamp, item, kind)]
            return events or [progress(stamp, kind)]
        return [progress(stamp, kind)]

    def end(self, stamp_ns: int, *, complete: bool) -> list[AgentEvent]:
        """A run's stream ends when the run does, with or without an `end` event."""
        if self._ended:
            return []
        if self._making_thread:
            self._making_thread = False
            if complete and self._conversation.id:
                return []
        elif complete:
            self._ended = True
            return [done(stamp_ns)]
        self._ended = True
        return [truncated(stamp_ns, complete=complete)]

    def _thread(self, stamp: int, told: dict[str, Any]) -> list[AgentEvent]:
        thread = text_of(told.get("thread_id"))
        if not thread:
            self._ended = True
            return [failed(stamp, FailureKind.PROTOCOL, "the reply names no thread_id")]
        self._conversation.id = thread
        return [AgentEvent(EventKind.SESSION, stamp, thread)]

    def _message(self, stamp: int, told: dict[str, Any], kind: str) -> list[AgentEvent]:
        role, message_id = text_of(told.get("type")), text_of(told.get("id"))
        if role in _TOOL:
            wrong = told.get("status") == "error"
            tool_id, name = text_of(told.get("tool_call_id")), text_of(told.get("name"))
            content = _text(told.get("content"))
            return [AgentEvent(EventKind.TOOL_RESULT, stamp, content, id=tool_id, name=name, is_error=wrong)]
        if role not in _AI:
            return []
        events = self._usage(stamp, told, message_id)
        if kind == "messages/partial":  # the message so far: pieces come with `messages`
            return [*events, progress(stamp, kind)]
        whole = not role.endswith("Chunk")
        if whole and message_id in self._whole:
            return events
        if not whole:
            self._whole.add(message_id)
        thought = _reasoning(told.get("content"))
        if thought:
            events.append(text(stamp, thought, visible=False))
        if words := _text(told.get("content")):
            events.append(text(stamp, words))
        return [*events, *self._tools(stamp, told, message_id)]

    def _tools(self, stamp: int, told: dict[str, Any], message_id: str) -> list[AgentEvent]:
        pieces = dicts_of(told.get("tool_call_chunks")) or dicts_of(told.get("tool_calls"))
        events = []
        for number, piece in enumerate(pieces):
            place = (message_id, piece.get("index") if isinstance(piece.get("index"), int) else number)
            tool_id = text_of(piece.get("id")) or self._calls.get(place, "")
            self._calls[place] = tool_id
            name, arguments = text_of(piece.get("name")), json_text(piece.get("args"))
            if tool_id or name or arguments:
                events.append(AgentEvent(EventKind.TOOL_CALL, stamp, id=tool_id, name=name, arguments_json=arguments))
        return events

    def _usage(self, stamp: int, told: dict[str, Any], message_id: str) -> list[AgentEvent]:
        """A message's own usage; the turn's is that of all its messages."""
        usage = read_usage(told.get("usage_metadata"))
        if usage is None:
            return []
        about = dict_of(told.get("response_metadata"))
        model = text_of(about.get("model_name")) or text_of(about.get("model"))
        self._usages[message_id, model] = usage
        total = Usage()
        for (_, name), used in self._usages.items():
            if name == model:
                total = add_usage(total, used)
        return [AgentEvent(EventKind.USAGE, stamp, usage=total, model=model)]


def _error(data: bytes) -> str:
    """An `error` event's words: `{"error": "ValueError", "message": "…"}`."""
    try:
        told = dict_of(decode_json(data))
    except ValueError:
        return error_message(data)
    words = [part for part in (text_of(told.get("error")), text_of(told.get("message"))) if part]
    return ": ".join(words)[:300] or error_message(data)


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(
        part if isinstance(part, str) else text_of(part.get("text"))
        for part in parts
        if isinstance(part, str) or (isinstance(part, dict) and part.get("type", "text") in ("text", "output_text"))
    )


def _reasoning(content: Any) -> str:
    return "".join(
        text_of(part.get("thinking")) or text_of(part.get("reasoning"))
        for part in dicts_of(content)
        if part.get("type") in ("thinking", "reasoning")
    )
