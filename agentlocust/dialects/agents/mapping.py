"""Any agent that answers in JSON: a mapping says where its text, tools, usage, session and end are.

    mapping = {
        "request": {"message": "{text}", "session_id": "{session}"},
        "text": {"path": "delta", "when": {"type": "text"}},
        "reasoning": {"path": "delta", "when": {"type": "thinking"}},
        "tool_call": {"when": {"type": "tool"}, "id": "id", "name": "name", "arguments": "input"},
        "tool_result": {"when": {"type": "tool_result"}, "id": "id", "text": "output", "error": "failed"},
        "usage": "usage",
        "model": "model",
        "session": "session_id",
        "done": {"type": "end"},
        "error": "error.message",
    }

Paths are dotted (`paths.py`); the name of a server-sent event is `$event`. Or `mapping` is a
function: it is given each message, decoded, and returns the AgentEvents (or texts) that it stands for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
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
from agentlocust.dialects.agents.places import Map
from agentlocust.dialects.agents.told_usage import add_usage
from agentlocust.dialects.base import decode_json, json_text, merge_params, text_of
from agentlocust.dialects.failed import read_failure
from agentlocust.errors import ConfigError
from agentlocust.failures import FailureKind
from agentlocust.usage import Usage

Reading = Callable[[Any], Any]

_BLANK = re.compile(r"\{(text|session)\}")
_DEFAULT_REQUEST = {"message": "{text}", "session_id": "{session}"}


class MappedAgent:
    """A protocol made of a mapping, or of a function. Raises ConfigError for a mapping that is none."""

    def __init__(
        self,
        name: str,
        mapping: Mapping[str, Any] | Reading,
        *,
        path: str,
        framing: Framing,
        where: str = "mapping",
    ) -> None:
        self.name = name
        self.path = path
        self.framing = framing
        self.request: Any = _DEFAULT_REQUEST
        self.reading: Reading | None = None
        self.map = Map({}, where)
        if isinstance(mapping, Mapping):
            self.map = Map(mapping, where)
            self.request = mapping.get("request", _DEFAULT_REQUEST)
        elif callable(mapping):
            self.reading = mapping
        else:
            raise ConfigError(f"{mapping!r} is not a mapping", where=where, hint="give a dict of paths, or a function")

    def turn(self, text: str, conversation: Conversation, params: Mapping[str, Any]) -> MappedTurn:
        """Begin a turn."""
        return MappedTurn(self, text, conversation, params)

    read_failure = staticmethod(read_failure)


class MappedTurn:
    """One request, one reply; over a WebSocket, one message and those that answer it."""

    def __init__(self, agent: MappedAgent, said: str, conversation: Conversation, params: Mapping[str, Any]) -> None:
        self._agent = agent
        self._map = agent.map
        self._conversation = conversation
        self._body = _filled(agent.request, said, conversation.id)
        if isinstance(self._body, dict):
            merge_params(self._body, params)
        self._sent = self._ended = False
        self._told: dict[str, Usage] = {}
        self.generates = bool(self._map.text) or agent.reading is not None

    def request(self) -> AgentRequest | None:
        """Give the one request."""
        if self._sent:
            return None
        self._sent = True
        return AgentRequest(self._agent.path, self._body, framing=self._agent.framing)

    def read(self, message: Message) -> list[AgentEvent]:
        """Read one message."""
        stamp, data = message.stamp_ns, message.data.strip()
        if self._map.done_text is not None and data == self._map.done_text:
            return self._done(stamp)
        try:
            value = decode_json(data)
        except ValueError as problem:
            if data == b"[DONE]":
                return self._done(stamp)
            return malformed(message, problem)
        if message.event and isinstance(value, dict):
            value = {"$event": message.event.decode("utf-8", "replace"), **value}
        if self._agent.reading is not None:
            return self._ask_reading(stamp, value)
        return self._read(stamp, value)

    def end(self, stamp_ns: int, *, complete: bool) -> list[AgentEvent]:
        """The reply ended: if nothing else marks it, that is the answer's end."""
        if self._ended:
            return []
        if complete and (not self._map.has_end or self._agent.framing is Framing.JSON):
            return self._done(stamp_ns)
        return [truncated(stamp_ns, complete=complete)]

    def _done(self, stamp_ns: int) -> list[AgentEvent]:
        self._ended = True
        return [done(stamp_ns)]

    def _read(self, stamp: int, value: Any) -> list[AgentEvent]:
        events: list[AgentEvent] = []
        mapped = self._map
        for parts, visible in ((mapped.reasoning, False), (mapped.text, True)):
            for part in parts:
                if part.applies(value):
                    found = (item for path in part.paths.values() for item in path.all(value))
                    events += [text(stamp, item, visible=visible) for item in found if isinstance(item, str) and item]
        for part in mapped.tool_call:
            name = part.first(value, "name")
            if part.applies(value) and (name or "name" not in part.paths):
                tool_id, arguments = text_of(part.first(value, "id")), json_text(part.first(value, "arguments"))
                call = AgentEvent(EventKind.TOOL_CALL, stamp, id=tool_id, name=text_of(name), arguments_json=arguments)
                events.append(call)
        for part in mapped.tool_result:
            if part.applies(value):
                told, wrong = part.first(value, "text"), bool(part.first(value, "error"))
                tool_id, name = text_of(part.first(value, "id")), text_of(part.first(value, "name"))
                result = AgentEvent(
                    EventKind.TOOL_RESULT, stamp, json_text(told), id=tool_id, name=name, is_error=wrong
                )
                events.append(result)
        events += self._about(stamp, value)
        return [*(events or [progress(stamp)]), *self._ending(stamp, value)]

    def _about(self, stamp: int, value: Any) -> list[AgentEvent]:
        """Usage and session."""
        events = []
        mapped = self._map
        if mapped.usage and (usage := mapped.usage(value)) is not None:
            model = text_of(mapped.model.first(value)) if mapped.model is not None else ""
            if mapped.usage_adds and model in self._told:
                usage = add_usage(self._told[model], usage)
            self._told[model] = usage
            events.append(AgentEvent(EventKind.USAGE, stamp, usage=usage, model=model))
        session = mapped.session.first(value) if mapped.session is not None else None
        if isinstance(session, (str, int)) and str(session) != self._conversation.id:
            self._conversation.id = str(session)
            events.append(AgentEvent(EventKind.SESSION, stamp, str(session)))
        return events

    def _ending(self, stamp: int, value: Any) -> list[AgentEvent]:
        mapped = self._map
        wrong = mapped.error.first(value) if mapped.error is not None else None
        if wrong or (mapped.error_when is not None and mapped.error_when.holds(value)):
            self._ended = True
            return [failed(stamp, FailureKind.STREAM_ERROR, json_text(wrong)[:300] or "the agent told of an error")]
        if mapped.done is not None and mapped.done.holds(value):
            return self._done(stamp)
        return []

    def _ask_reading(self, stamp: int, value: Any) -> list[AgentEvent]:
        assert self._agent.reading is not None
        try:
            found = self._agent.reading(value)
        except Exception as error:  # the user's own code
            self._ended = True
            return [failed(stamp, FailureKind.CLIENT, f"mapping raised {type(error).__name__}: {error}")]
        if found is None:
            return [progress(stamp)]
        events = []
        for item in [found] if isinstance(found, (str, AgentEvent)) or not isinstance(found, Iterable) else found:
            event = text(stamp, item) if isinstance(item, str) else item
            if not isinstance(event, AgentEvent):
                return [failed(stamp, FailureKind.CLIENT, f"mapping returned {type(item).__name__}, not an AgentEvent")]
            if event.kind is EventKind.SESSION:
                self._conversation.id = event.text
            self._ended = self._ended or event.kind in (EventKind.DONE, EventKind.FAILED)
            events.append(replace(event, stamp_ns=stamp))
        return events or [progress(stamp)]


def _filled(template: Any, said: str, session: str) -> Any:
    """The request's body: `{text}` and `{session}` filled in; a field that is only an unknown session is left out."""
    if callable(template):
        return template(said, session)
    if isinstance(template, str):
        return _BLANK.sub(lambda blank: said if blank[1] == "text" else session, template)
    if isinstance(template, Mapping):
        return {
            key: _filled(value, said, session) for key, value in template.items() if session or value != "{session}"
        }
    if isinstance(template, list):
        return [_filled(value, said, session) for value in template]
    return json.loads(json.dumps(template))
