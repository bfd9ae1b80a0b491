"""Where an agent's messages hold its text, tools, usage, session and end: a mapping, looked through and ready to read.

What a mapping may say is told in `mapping.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agentlocust.config import did_you_mean
from agentlocust.dialects.agents.paths import Path, When
from agentlocust.dialects.agents.told_usage import read_usage
from agentlocust.errors import ConfigError
from agentlocust.usage import Usage

_KEYS = ("request", "text", "reasoning", "tool_call", "tool_result", "usage", "usage_adds", "model", "session")
_ENDS = ("done", "error")
_PARTS = {
    "text": ("path", "when"),
    "reasoning": ("path", "when"),
    "tool_call": ("when", "id", "name", "arguments"),
    "tool_result": ("when", "id", "name", "text", "error"),
}


class Map:
    """The paths and conditions of a mapping. Raises ConfigError for one that makes no sense."""

    def __init__(self, mapping: Mapping[str, Any], where: str) -> None:
        for key in mapping:
            if key not in (*_KEYS, *_ENDS):
                hint = did_you_mean(str(key), [*_KEYS, *_ENDS]) or "one of " + ", ".join((*_KEYS, *_ENDS))
                raise ConfigError(f"a mapping has no {key!r}", where=where, hint=hint)
        self.text = Part.list_of(mapping, "text", where)
        self.reasoning = Part.list_of(mapping, "reasoning", where)
        self.tool_call = Part.list_of(mapping, "tool_call", where)
        self.tool_result = Part.list_of(mapping, "tool_result", where)
        self.usage = mapping.get("usage") and _usage_reader(mapping["usage"], f"{where}.usage")
        self.usage_adds = bool(mapping.get("usage_adds", False))
        self.model = Path(mapping["model"], f"{where}.model") if "model" in mapping else None
        self.session = Path(mapping["session"], f"{where}.session") if "session" in mapping else None
        self.done_text: bytes | None = None
        self.done: When | None = None
        told = mapping.get("done")
        if isinstance(told, str):
            self.done_text = told.encode()
        elif told is not None:
            self.done = When(told, f"{where}.done")
        error = mapping.get("error")
        self.error = Path(error, f"{where}.error") if isinstance(error, str) else None
        self.error_when = When(error, f"{where}.error") if error is not None and self.error is None else None

    @property
    def has_end(self) -> bool:
        """True when the mapping says what the last message is; else it is the last one that comes."""
        return self.done is not None or self.done_text is not None


class Part:
    """Where one thing is: the paths of its fields, and when to look."""

    def __init__(self, told: Any, key: str, where: str) -> None:
        fields = {"path": told} if isinstance(told, str) else told
        if not isinstance(fields, Mapping):
            raise ConfigError(f"{told!r} says nowhere to look", where=where, hint="give a path, or a dict of paths")
        known = _PARTS[key]
        for name in fields:
            if name not in known:
                raise ConfigError(f"{key} has no {name!r}", where=where, hint="one of " + ", ".join(known))
        self.when = When(fields["when"], f"{where}.when") if "when" in fields else None
        self.paths = {name: Path(path, f"{where}.{name}") for name, path in fields.items() if name != "when"}
        if not self.paths:
            raise ConfigError(f"{key} names no path", where=where, hint="one of " + ", ".join(known))

    @classmethod
    def list_of(cls, mapping: Mapping[str, Any], key: str, where: str) -> list[Part]:
        """One or several places of a mapping."""
        told = mapping.get(key)
        if told is None:
            return []
        return [cls(part, key, f"{where}.{key}") for part in (told if isinstance(told, list) else [told])]

    def applies(self, value: Any) -> bool:
        """True when this message is one to look at."""
        return self.when is None or self.when.holds(value)

    def first(self, value: Any, name: str) -> Any:
        """What the path called so leads to; None for nothing, or no such path."""
        path = self.paths.get(name)
        return path.first(value) if path is not None else None


def _usage_reader(told: Any, where: str) -> Callable[[Any], Usage | None]:
    if isinstance(told, str):
        path = Path(told, where)
        return lambda value: read_usage(path.first(value))
    if not isinstance(told, Mapping):
        raise ConfigError(f"{told!r} says nowhere to look", where=where, hint="give a path, or a dict of paths")
    paths = {}
    for name, at in told.items():
        if name not in ("input", "output", "cached", "reasoning"):
            raise ConfigError(f"usage has no {name!r}", where=where, hint="one of input, output, cached, reasoning")
        paths[name] = Path(at, f"{where}.{name}")
    return lambda value: read_usage({name: path.first(value) for name, path in paths.items()})
