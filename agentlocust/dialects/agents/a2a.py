"""A2A (Agent2Agent) over JSON-RPC, versions 1.0 and 0.3: send, stream, and tasks that are polled.

Source: the A2A specification 1.0 (JSON form of its protobuf messages) and 0.3 (objects with a `kind`),
as a2a-sdk 1.3 serves both. The protocol carries no token usage: it is read where services put it, in
the `metadata` of a task, message, update or artifact under `usage`.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from agentlocust.dialects.agents import json_rpc
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
from agentlocust.dialects.agents.told_usage import read_usage
from agentlocust.dialects.base import decode_json, dict_of, dicts_of, json_text, merge_params, text_of
from agentlocust.dialects.failed import read_failure
from agentlocust.errors import ConfigError
from agentlocust.failures import FailureKind
from agentlocust.units import parse_duration

MODES = ("stream", "send", "poll")

_METHODS = {
    "1.0": {"stream": "SendStreamingMessage", "send": "SendMessage", "get": "GetTask"},
    "0.3": {"stream": "message/stream", "send": "message/send", "get": "tasks/get"},
}
# 0.3 writes states as `input-required`, 1.0 as `TASK_STATE_INPUT_REQUIRED`.
_DONE = frozenset({"completed", "input-required"})
_FAILED = {
    "failed": FailureKind.STREAM_ERROR,
    "rejected": FailureKind.STREAM_ERROR,
    "canceled": FailureKind.STREAM_ERROR,
    "auth-required": FailureKind.AUTH,
}
_USAGE_KEYS = ("usage", "token_usage", "tokenUsage", "usage_metadata")


class A2AAgent:
    """A protocol of its own version. Raises ConfigError for an unknown version or mode.

    `mode`: "stream" (server-sent events), "send" (one reply), "poll" (the task is asked after every
    `poll` until it ends; so is one that "send" returned unfinished).
    """

    name = "a2a"

    def __init__(
        self,
        *,
        path: str = "/",
        version: str = "1.0",
        mode: str = "stream",
        poll: str | float = "500ms",
        where: str = "",
    ) -> None:
        if version not in _METHODS:
            raise ConfigError(f"A2A {version!r} is not spoken here", where=where, hint="1.0 or 0.3")
        if mode not in MODES:
            raise ConfigError(f"{mode!r} is not a mode of A2A", where=where, hint="one of " + ", ".join(MODES))
        self.path = path
        self.version = version
        self.mode = mode
        self.poll_s = parse_duration(poll)
        self.methods = _METHODS[version]

    def turn(self, text: str, conversation: Conversation, params: Mapping[str, Any]) -> A2ATurn:
        """Begin a turn; `params` go into the message's sender's params (`metadata`, `configuration`, ...)."""
        return A2ATurn(self, text, conversation, params)

    read_failure = staticmethod(read_failure)


class A2ATurn:
    """A message sent, and its answer: a message, or a task until it ends."""

    generates = True

    def __init__(self, agent: A2AAgent, said: str, conversation: Conversation, params: Mapping[str, Any]) -> None:
        self._agent = agent
        self._conversation = conversation
        self._params = merge_params(self._first_params(said), params)
        self._sent = self._ended = self._told_text = False
        self._asks = 0
        self._task = ""

    def request(self) -> AgentRequest | None:
        """Give the message, then a question after its task for as long as that is under way."""
        agent = self._agent
        if self._ended:
            return None
        if not self._sent:
            self._sent = True
            method = "stream" if agent.mode == "stream" else "send"
            return self._request(method, self._params, Framing.SSE if method == "stream" else Framing.JSON)
        if not self._task:
            return None
        params = {"id": self._task}
        return self._request("get", params, Framing.JSON, after_s=agent.poll_s)

    def read(self, message: Message) -> list[AgentEvent]:
        """Read one JSON-RPC reply: the only one, or one of a stream."""
        stamp = message.stamp_ns
        try:
            reply = dict_of(decode_json(message.data))
        except ValueError as problem:
            return malformed(message, problem)
        if (failure := json_rpc.error_of(reply)) is not None:
            self._ended = True
            return [AgentEvent(EventKind.FAILED, stamp, failure.message, failure=failure)]
        return self._result(stamp, dict_of(reply.get("result")))

    def end(self, stamp_ns: int, *, complete: bool) -> list[AgentEvent]:
        """The reply ended; a task that is still under way is asked after, unless it was streamed."""
        if self._ended or (complete and self._task and self._agent.mode != "stream"):
            return []
        self._ended = True
        return [truncated(stamp_ns, complete=complete)]

    # -- writing -----------------------------------------------------------------------------------

    def _first_params(self, said: str) -> dict[str, Any]:
        conversation, poll = self._conversation, self._agent.mode == "poll"
        message: dict[str, Any] = {"messageId": uuid.uuid4().hex}
        if conversation.id:
            message["contextId"] = conversation.id
        if conversation.task:
            message["taskId"] = conversation.task
        if self._agent.version == "0.3":
            message |= {"kind": "message", "role": "user", "parts": [{"kind": "text", "text": said}]}
            return {"message": message, "configuration": {"blocking": not poll}}
        message |= {"role": "ROLE_USER", "parts": [{"text": said}]}
        return {"message": message, "configuration": {"returnImmediately": poll}}

    def _request(self, method: str, params: dict[str, Any], framing: Framing, after_s: float = 0.0) -> AgentRequest:
        self._asks += 1
        body = json_rpc.call(self._agent.methods[method], params, self._asks)
        headers = (("A2A-Version", self._agent.version),)
        return AgentRequest(self._agent.path, body, headers=headers, framing=framing, after_s=after_s)

    # -- reading -----------------------------------------------------------------------------------

    def _result(self, stamp: int, result: dict[str, Any]) -> list[AgentEvent]:
        kind = text_of(result.get("kind"))
        for field, old in (
            ("task", "task"),
            ("message", "message"),
            ("statusUpdate", "status-update"),
            ("artifactUpdate", "artifact-update"),
        ):
            inner = result if kind == old else dict_of(result.get(field)) if not kind else {}
            if inner:
                return self._about(stamp, inner) + self._read(stamp, old, inner)
        if "status" in result:  # 1.0's GetTask answers with the bare task
            return self._about(stamp, result) + self._read(stamp, "task", result)
        return [progress(stamp)]

    def _read(self, stamp: int, kind: str, told: dict[str, Any]) -> list[AgentEvent]:
        if kind == "message":
            self._ended = True
            self._conversation.task = ""
            return [*self._texts(stamp, told.get("parts")), done(stamp)]
        if kind == "artifact-update":
            return self._texts(stamp, dict_of(told.get("artifact")).get("parts")) or [progress(stamp)]
        events: list[AgentEvent] = []
        status = dict_of(told.get("status"))
        state = text_of(status.get("state")).removeprefix("TASK_STATE_").lower().replace("_", "-")
        if kind == "task":
            self._task = text_of(told.get("id"))
            if (state in _DONE or self._agent.mode == "stream") and not self._told_text:
                for artifact in dicts_of(told.get("artifacts")):
                    events += self._texts(stamp, artifact.get("parts"))
        return events + self._state(stamp, state, dict_of(status.get("message")))

    def _state(self, stamp: int, state: str, message: dict[str, Any]) -> list[AgentEvent]:
        words = _words(message.get("parts"))
        if state in _DONE:
            self._ended = True
            self._conversation.task = self._task if state == "input-required" else ""
            # The closing words are the answer when no artifact was; an agent that asks back asks with them.
            spoken = [text(stamp, words)] if words and (not self._told_text or state == "input-required") else []
            return [*spoken, done(stamp, state)]
        if state in _FAILED:
            self._ended = True
            self._conversation.task = ""
            return [failed(stamp, _FAILED[state], words[:300] or f"the task is {state}")]
        return [progress(stamp, words or state)]

    def _texts(self, stamp: int, parts: Any) -> list[AgentEvent]:
        words = _words(parts)
        if not words:
            return []
        self._told_text = True
        return [text(stamp, words)]

    def _about(self, stamp: int, told: dict[str, Any]) -> list[AgentEvent]:
        """The names of conversation and task, and usage."""
        events = []
        self._task = self._task or text_of(told.get("taskId"))
        context = text_of(told.get("contextId"))
        if context and context != self._conversation.id:
            self._conversation.id = context
            events.append(AgentEvent(EventKind.SESSION, stamp, context))
        artifacts = [*dicts_of(told.get("artifacts")), dict_of(told.get("artifact"))]
        for holder in (told, *artifacts, dict_of(dict_of(told.get("status")).get("message"))):
            metadata = dict_of(holder.get("metadata"))
            found = next((metadata[key] for key in _USAGE_KEYS if key in metadata), None)
            if (usage := read_usage(found)) is not None:
                model = text_of(metadata.get("model")) or text_of(dict_of(found).get("model"))
                events.append(AgentEvent(EventKind.USAGE, stamp, usage=usage, model=model))
        return events


def _words(parts: Any) -> str:
    """What parts say: their texts, and data as JSON."""
    words = []
    for part in dicts_of(parts):
        if isinstance(part.get("text"), str):
            words.append(part["text"])
        elif part.get("data") is not None:
            words.append(json_text(part["data"]))
    return "".join(words)
