"""Agents that are services: one module a protocol, all read into one vocabulary of events.

Protocols are sans-io: they say what to send and read what came, for the wire's bytes of whatever source.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from agentlocust.config import did_you_mean
from agentlocust.dialects.agents.base import AgentProtocol, Framing
from agentlocust.errors import ConfigError

MAPPED = ("json", "sse", "ndjson", "websocket")
NAMES = (*MAPPED, "openai-chat", "openai-responses", "a2a", "ag-ui", "langgraph")


def by_name(
    name: str,
    *,
    mapping: Mapping[str, Any] | Callable[[Any], Any] | None = None,
    path: str = "",
    model: str = "",
    system: str = "",
    stream: bool = True,
    options: Mapping[str, Any] | None = None,
    where: str = "protocol",
) -> AgentProtocol:
    """Give the protocol of that name. Raises ConfigError for an unknown one, or for what it cannot do.

    `options` are the protocol's own: `version`, `mode` and `poll` of a2a, `assistant` of langgraph.
    """
    if name not in NAMES:
        hint = did_you_mean(name, NAMES) or "one of " + ", ".join(NAMES)
        raise ConfigError(f"no protocol is called {name!r}", where=where, hint=hint)
    if path and not path.startswith("/"):
        raise ConfigError(f"path {path!r} does not begin with a slash", where=where)
    if name in MAPPED:
        if mapping is None:
            raise ConfigError(
                f"protocol {name!r} needs a mapping", where=where, hint="mapping = {'text': 'answer'} or a function"
            )
        make: Callable[..., AgentProtocol] = _mapped(name, mapping, where)
        given: dict[str, Any] = {}
    elif mapping is not None:
        raise ConfigError(f"protocol {name!r} takes no mapping", where=where, hint="it is " + " or ".join(MAPPED))
    else:
        make, given = _ready(name, model, system, stream=stream)
    known = [key for key in inspect.signature(make).parameters if key not in {*given, "path", "where"}]
    for key in options or {}:
        if key not in known:
            hint = "one of " + ", ".join(known) if known else "it has none"
            raise ConfigError(f"protocol {name!r} has no option {key!r}", where=where, hint=hint)
    paths = {"path": path} if path else {}
    return make(**given, **paths, **(options or {}))


def _mapped(name: str, mapping: Any, where: str) -> Callable[..., AgentProtocol]:
    from agentlocust.dialects.agents.mapping import MappedAgent

    def make(*, path: str = "/") -> AgentProtocol:
        return MappedAgent(name, mapping, path=path, framing=Framing(name), where=f"{where}.mapping")

    return make


def _ready(name: str, model: str, system: str, *, stream: bool) -> tuple[Callable[..., AgentProtocol], dict[str, Any]]:
    if name == "a2a":
        from agentlocust.dialects.agents.a2a import A2AAgent

        return A2AAgent, {} if stream else {"mode": "send"}
    if name == "ag-ui":
        from agentlocust.dialects.agents.ag_ui import AgUiAgent

        return AgUiAgent, {}
    if name == "langgraph":
        from agentlocust.dialects.agents.langgraph import LangGraphAgent

        return LangGraphAgent, {}
    from agentlocust.dialects.agents.openai import OpenAIAgent

    return OpenAIAgent, {"name": name, "model": model, "system": system, "stream": stream}
