"""Tools and the choice of one, from any of the three providers' formats into a dialect's own.

Read: OpenAI chat `{"type": "function", "function": {"name", "description", "parameters"}}`, Responses
`{"type": "function", "name", "description", "parameters"}`, Anthropic `{"name", "description",
"input_schema"}`. Anything else with a `type` (a web search, say) is the provider's own and stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentlocust.errors import ConfigError

Tools = Sequence[Mapping[str, Any]] | None
Choice = str | Mapping[str, Any] | None

_ANY_OBJECT: dict[str, Any] = {"type": "object", "properties": {}}
_WORDS = {"auto": "auto", "none": "none", "required": "required", "any": "required"}


def chat_tools(tools: Tools) -> list[dict[str, Any]]:
    """Tools as chat completions want them."""
    return [
        dict(tool) if spec is None or "function" in tool else {"type": "function", "function": _openai(spec)}
        for tool, spec in _read(tools)
    ]


def responses_tools(tools: Tools) -> list[dict[str, Any]]:
    """Tools as the Responses API wants them."""
    return [
        dict(tool) if spec is None or _is_flat(tool) else {"type": "function", **_openai(spec)}
        for tool, spec in _read(tools)
    ]


def anthropic_tools(tools: Tools) -> list[dict[str, Any]]:
    """Tools as Anthropic wants them; a schema is required there, so a missing one takes any object."""
    return [dict(tool) if spec is None or "input_schema" in tool else _anthropic(spec) for tool, spec in _read(tools)]


def chat_choice(choice: Choice, tools: Tools) -> Any:
    """The choice of tool as chat completions want it."""
    word, name = _read_choice(choice, tools)
    return {"type": "function", "function": {"name": name}} if name else word


def responses_choice(choice: Choice, tools: Tools) -> Any:
    """The choice of tool as the Responses API wants it."""
    word, name = _read_choice(choice, tools)
    return {"type": "function", "name": name} if name else word


def anthropic_choice(choice: Choice, tools: Tools) -> Any:
    """The choice of tool as Anthropic wants it; a dict of its own keeps its other keys."""
    if isinstance(choice, Mapping) and choice.get("type") in ("auto", "any", "none", "tool"):
        return dict(choice)
    word, name = _read_choice(choice, tools)
    if name:
        return {"type": "tool", "name": name}
    return {"type": "any" if word == "required" else word} if isinstance(word, str) else word


def _is_flat(tool: Mapping[str, Any]) -> bool:
    return tool.get("type") == "function" and "function" not in tool


def _read(tools: Tools) -> list[tuple[Mapping[str, Any], dict[str, Any] | None]]:
    """Each tool beside its name, description, schema and strictness; None for a provider's own tool."""
    return [(tool, _spec(number, tool)) for number, tool in enumerate(tools or (), 1)]


def _spec(number: int, tool: Any) -> dict[str, Any] | None:
    if not isinstance(tool, Mapping):
        raise ConfigError(
            f"tool {number} is {type(tool).__name__}, not a dict", hint="describe a tool as a JSON schema"
        )
    nested = tool.get("function")
    if isinstance(nested, Mapping):
        source, schema = nested, nested.get("parameters")
    elif _is_flat(tool):
        source, schema = tool, tool.get("parameters")
    elif "input_schema" in tool:
        source, schema = tool, tool["input_schema"]
    elif isinstance(tool.get("type"), str) and tool["type"] not in ("function", "custom"):
        return None
    else:
        raise ConfigError(
            f"tool {number} is in no provider's format",
            hint="give OpenAI's {'type': 'function', 'function': {...}} or Anthropic's {'name', 'input_schema'}",
        )
    name = source.get("name")
    if not (isinstance(name, str) and name):
        raise ConfigError(f"tool {number} has no name", hint="every tool needs a 'name'")
    spec = {"name": name, "schema": schema}
    return spec | {key: source[key] for key in ("description", "strict") if source.get(key) is not None}


def _openai(spec: dict[str, Any]) -> dict[str, Any]:
    tool = {key: value for key, value in spec.items() if key != "schema"}
    return tool if spec["schema"] is None else {**tool, "parameters": spec["schema"]}


def _anthropic(spec: dict[str, Any]) -> dict[str, Any]:
    tool = {key: value for key, value in spec.items() if key != "schema"}
    return {**tool, "input_schema": spec["schema"] or _ANY_OBJECT}


def _read_choice(choice: Choice, tools: Tools) -> tuple[Any, str]:
    """A choice as (a common word or a provider's own dict, "") or ("", the name of the one tool to call)."""
    if isinstance(choice, str):
        return (_WORDS[choice], "") if choice in _WORDS else ("", _known(choice, tools))
    if choice is None:
        return "auto", ""
    kind = choice.get("type")
    nested = choice.get("function")
    name = nested.get("name") if isinstance(nested, Mapping) else choice.get("name")
    if kind in ("function", "tool") and isinstance(name, str) and name:
        return "", _known(name, tools)
    return (_WORDS[kind], "") if isinstance(kind, str) and kind in _WORDS else (dict(choice), "")


def _known(name: str, tools: Tools) -> str:
    """`name` when it is one of the tools given; raises ConfigError when it is not."""
    names = [spec["name"] if spec else str(tool.get("name") or "") for tool, spec in _read(tools)]
    if name not in names:
        known = ", ".join(sorted(filter(None, names))) or "no tool is given"
        raise ConfigError(f"tool_choice {name!r} is no tool of this call", hint=f"auto, none, required or: {known}")
    return name
