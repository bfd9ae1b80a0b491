"""AG-UI: a RunAgentInput is posted, events come back until RUN_FINISHED or RUN_ERROR.

Source: the AG-UI protocol 1.0 (`ag-ui-protocol` 1.0); the THINKING_* events of before are read too.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

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
from agentlocust.dialects.failed import read_failure
from agentlocust.failures import FailureKind
from agentlocust.usage import Usage

_TEXT = ("TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_CHUNK")
_REASONING = ("REASONING_MESSAGE_CONTENT", "REASONING_MESSAGE_CHUNK", "THINKING_TEXT_MESSAGE_CONTENT")
_TOOL = ("TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_CHUNK")


class AgUiAgent:
    """The protocol, at a path of the host's."""

    name = "ag-ui"

    def __init__(self, *, path: str = "/") -> None:
        self.path = path

    def turn(self, text: str, conversation: Conversation, params: Mapping[str, Any]) -> AgUiTurn:
        """Begin a turn; `params` are fields of RunAgentInput (`tools`, `state`, `forwardedProps`, ...)."""
        return AgUiTurn(self.path, text, conversation, params)

    read_failure = staticmethod(read_failure)


class AgUiTurn:
    """One run of the agent. The conversation is sent whole: that is how AG-UI remembers."""

    generates = True

    def __init__(self, path: str, said: str, conversation: Conversation, params: Mapping[str, Any]) -> None:
        conversation.id = conversation.id or uuid.uuid4().hex
        self._conversation = conversation
        self._path = path
        self._asked = {"id": uuid.uuid4().hex, "role": "user", "content": said}
        body = {
            "threadId": conversation.id,
            "runId": uuid.uuid4().hex,
            "state": {},
            "messages": [*conversation.messages, self._asked],
            "tools": [],
            "context": [],
            "forwardedProps": {},
        }
        self._body = merge_params(body, params)
        self._sent = self._ended = False
        self._said: list[str] = []
        self._tool = ""  # the call that chunks without an id continue

    def request(self) -> AgentRequest | None:
        """Give the one request."""
        if self._sent:
            return None
        self._sent = True
        return AgentRequest(self._path, self._body, framing=Framing.SSE)

    def read(self, message: Message) -> list[AgentEvent]:
        """Read one event."""
        stamp = message.stamp_ns
        try:
            told = dict_of(decode_json(message.data))
        except ValueError as problem:
            return malformed(message, problem)
        kind = text_of(told.get("type"))
        if kind in _TEXT:
            piece = text_of(told.get("delta"))
            self._said.append(piece)
            return [text(stamp, piece)]
        if kind in _REASONING:
            return [text(stamp, text_of(told.get("delta")), visible=False)]
        if kind in _TOOL:
            return self._call(stamp, told)
        if kind == "TOOL_CALL_RESULT":
            content = json_text(told.get("content"))
            wrong = bool(told.get("error") or told.get("isError"))
            return [
                AgentEvent(EventKind.TOOL_RESULT, stamp, content, id=text_of(told.get("toolCallId")), is_error=wrong)
            ]
        if kind == "RUN_STARTED":
            return [AgentEvent(EventKind.SESSION, stamp, text_of(told.get("threadId")) or self._conversation.id)]
        if kind in ("RUN_FINISHED", "RUN_ERROR"):
            return [*_usage(stamp, told), *self._end(stamp, kind, told)]
        return [progress(stamp, kind)]

    def end(self, stamp_ns: int, *, complete: bool) -> list[AgentEvent]:
        """The stream ended: too early unless a terminal event came."""
        return [] if self._ended else [truncated(stamp_ns, complete=complete)]

    def _call(self, stamp: int, told: dict[str, Any]) -> list[AgentEvent]:
        self._tool = text_of(told.get("toolCallId")) or self._tool
        name, arguments = text_of(told.get("toolCallName")), text_of(told.get("delta"))
        return [AgentEvent(EventKind.TOOL_CALL, stamp, id=self._tool, name=name, arguments_json=arguments)]

    def _end(self, stamp: int, kind: str, told: dict[str, Any]) -> list[AgentEvent]:
        self._ended = True
        if kind == "RUN_ERROR":
            what = ": ".join(part for part in (text_of(told.get("code")), text_of(told.get("message"))) if part)
            return [failed(stamp, FailureKind.STREAM_ERROR, what[:300] or "RUN_ERROR")]
        outcome = text_of(dict_of(told.get("outcome")).get("type"))
        if outcome == "cancelled":
            return [failed(stamp, FailureKind.STREAM_ERROR, "the run was cancelled by whoever ran it")]
        said = "".join(self._said)
        events: list[AgentEvent] = []
        if not said and told.get("result") is not None:
            said = json_text(told["result"])
            events.append(text(stamp, said))
        answer = {"id": uuid.uuid4().hex, "role": "assistant", "content": said}
        self._conversation.messages += [self._asked, answer]
        return [*events, done(stamp, outcome)]


def _usage(stamp: int, told: dict[str, Any]) -> list[AgentEvent]:
    """The usage of a run, an entry per provider and model."""
    models: dict[str, Usage] = {}
    for entry in dicts_of(told.get("usage")):
        if (usage := read_usage(entry)) is not None:
            model = text_of(entry.get("model"))
            models[model] = add_usage(models[model], usage) if model in models else usage
    return [AgentEvent(EventKind.USAGE, stamp, usage=usage, model=model) for model, usage in models.items()]
