"""Agents behind OpenAI's APIs: `openai-chat` and `openai-responses`, read by the dialects of those names.

A chat conversation is sent whole each turn; the Responses API is told the last response's id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentlocust.dialects import openai_chat, openai_responses
from agentlocust.dialects.agents.base import AgentRequest, Conversation, Framing, Message, done, progress, text
from agentlocust.dialects.agents.events import AgentEvent, EventKind
from agentlocust.dialects.base import Decoded
from agentlocust.dialects.draft import Draft
from agentlocust.failures import Failure, FailureKind

_DIALECTS = {dialect.name: dialect for dialect in (openai_chat.DIALECT, openai_responses.DIALECT)}


class OpenAIAgent:
    """A protocol on top of an OpenAI dialect; `model` and `system` as the User class has them."""

    def __init__(self, name: str, *, path: str = "", model: str = "", system: str = "", stream: bool = True) -> None:
        self.name = name
        self.dialect = _DIALECTS[name]
        self.path = path or self.dialect.path
        self.model = model
        self.system = system
        self.stream = stream

    def turn(self, text: str, conversation: Conversation, params: Mapping[str, Any]) -> OpenAITurn:
        """Begin a turn."""
        return OpenAITurn(self, text, conversation, params)

    def read_failure(self, status: int, body: bytes) -> Failure:
        """Read an HTTP error reply."""
        return self.dialect.read_failure(status, body)


class OpenAITurn:
    """One request, one reply."""

    generates = True

    def __init__(self, agent: OpenAIAgent, said: str, conversation: Conversation, params: Mapping[str, Any]) -> None:
        self._agent = agent
        self._dialect = agent.dialect
        self._conversation = conversation
        self._reader = self._dialect.stream_reader(strict=False)
        self._seen = _Seen(self._reader.draft)
        self._sent = False
        self._decoded: Decoded | None = None
        self._by_id = agent.name == "openai-responses"
        self._asked = self._dialect.user_message(said)
        messages = [self._asked] if self._by_id else [*conversation.messages, self._asked]
        extra = {"previous_response_id": conversation.id} if self._by_id and conversation.id else {}
        self._body = self._dialect.build(
            model=agent.model, messages=messages, system=agent.system, stream=agent.stream, params={**extra, **params}
        )

    def request(self) -> AgentRequest | None:
        """Give the one request."""
        if self._sent:
            return None
        self._sent = True
        return AgentRequest(self._agent.path, self._body, framing=Framing.SSE if self._agent.stream else Framing.JSON)

    def read(self, message: Message) -> list[AgentEvent]:
        """Read an event of the stream, or the whole reply."""
        if message.framing is Framing.JSON:
            self._decoded = decoded = self._dialect.read_body(message.data)
            return self._whole(message.stamp_ns, decoded) + self._finish(message.stamp_ns, decoded)
        self._reader.feed(message.stamp_ns, message.event, message.data)
        events = self._seen.news(message.stamp_ns)
        if self._reader.so_far.terminal or self._reader.draft.failure is not None:
            return events + self._end(message.stamp_ns, complete=True)
        return events or [progress(message.stamp_ns)]

    def end(self, stamp_ns: int, *, complete: bool) -> list[AgentEvent]:
        """The reply ended."""
        return [] if self._decoded is not None else self._end(stamp_ns, complete=complete)

    def _end(self, stamp_ns: int, *, complete: bool) -> list[AgentEvent]:
        self._decoded = self._reader.finish(complete)
        return self._seen.news(stamp_ns) + self._finish(stamp_ns, self._decoded)

    def _whole(self, stamp_ns: int, decoded: Decoded) -> list[AgentEvent]:
        events = []
        if decoded.reasoning:
            events.append(text(stamp_ns, decoded.reasoning, visible=False))
        if decoded.text or decoded.refusal:
            events.append(text(stamp_ns, decoded.text or decoded.refusal))
        for call in decoded.tool_calls:
            events.append(
                AgentEvent(
                    EventKind.TOOL_CALL, stamp_ns, id=call.id, name=call.name, arguments_json=call.arguments_json
                )
            )
        return events

    def _finish(self, stamp_ns: int, decoded: Decoded) -> list[AgentEvent]:
        events = []
        if decoded.usage is not None:
            events.append(AgentEvent(EventKind.USAGE, stamp_ns, usage=decoded.usage, model=decoded.model))
        if decoded.failure is not None and decoded.failure.kind is not FailureKind.EMPTY:
            failure = decoded.failure
            return [*events, AgentEvent(EventKind.FAILED, stamp_ns, failure.message, failure=failure)]
        if self._by_id:
            if decoded.id:
                self._conversation.id = decoded.id
                events.append(AgentEvent(EventKind.SESSION, stamp_ns, decoded.id))
        else:
            self._conversation.messages += [self._asked, *self._dialect.reply_messages(decoded)]
        return [*events, done(stamp_ns, decoded.finish_reason)]


class _Seen:
    """What of a draft was told already."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._text = self._reasoning = self._refusal = 0
        self._tools: dict[Any, tuple[str, int]] = {}  # place -> the id it was told under, pieces told

    def news(self, stamp_ns: int) -> list[AgentEvent]:
        """What is new since the last time."""
        draft = self._draft
        events = [text(stamp_ns, piece, visible=False) for piece in draft.reasoning[self._reasoning :]]
        events += [text(stamp_ns, piece) for piece in draft.text[self._text :]]
        events += [text(stamp_ns, piece) for piece in draft.refusal[self._refusal :]]
        self._text, self._reasoning, self._refusal = len(draft.text), len(draft.reasoning), len(draft.refusal)
        for number, (place, tool) in enumerate(draft.tools.items()):
            told_id, told = self._tools.get(place, ("", -1))
            pieces = tool.arguments[max(told, 0) :]
            if (told < 0 and (tool.name or tool.id)) or pieces:
                told_id = told_id or tool.id or f"call_{number}"
                call = AgentEvent(
                    EventKind.TOOL_CALL, stamp_ns, id=told_id, name=tool.name, arguments_json="".join(pieces)
                )
                events.append(call)
                self._tools[place] = (told_id, len(tool.arguments))
        return events
