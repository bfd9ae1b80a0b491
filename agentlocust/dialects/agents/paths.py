"""Dotted paths into a JSON value: `choices.0.delta.content`, `content.*.text`, and conditions on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentlocust.errors import ConfigError

_MAX_FOUND = 10_000


class Path:
    """A path: names into objects, numbers into arrays, `*` for every item or value.

    Raises ConfigError for a path that is none.
    """

    __slots__ = ("_parts", "text")

    def __init__(self, text: object, where: str = "") -> None:
        if not isinstance(text, str) or not text or any(not part for part in text.split(".")):
            raise ConfigError(
                f"{text!r} is not a path", where=where, hint="write it as 'delta.content' or 'items.0.text'"
            )
        self.text = text
        self._parts = text.split(".")

    def all(self, value: Any) -> list[Any]:
        """All that is found, nulls left out."""
        found = [value]
        for part in self._parts:
            found = [inner for outer in found for inner in _step(outer, part)][:_MAX_FOUND]
        return [item for item in found if item is not None]

    def first(self, value: Any) -> Any:
        """The first that is found, or None."""
        found = self.all(value)
        return found[0] if found else None


def _step(value: Any, part: str) -> list[Any]:
    if isinstance(value, Mapping):
        return list(value.values()) if part == "*" else [value[part]] if part in value else []
    if isinstance(value, list):
        if part == "*":
            return value
        if part.lstrip("-").isdecimal() and part.isascii() and len(part) < 8:
            index = int(part)
            return [value[index]] if -len(value) <= index < len(value) else []
    return []


class When:
    """A condition: each path holds one of its values (`True`: anything that is there).

    Raises ConfigError for a condition that is none.
    """

    __slots__ = ("_terms",)

    def __init__(self, terms: object, where: str = "") -> None:
        if not isinstance(terms, Mapping) or not terms:
            raise ConfigError(f"{terms!r} is not a condition", where=where, hint="such as {'type': 'done'}")
        self._terms = [(Path(path, where), _wanted(value)) for path, value in terms.items()]

    def holds(self, value: Any) -> bool:
        """True when every term does."""
        return all(_matches(path.all(value), wanted) for path, wanted in self._terms)


def _wanted(value: Any) -> list[Any]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return list(value)
    return [value]


def _matches(found: list[Any], wanted: list[Any]) -> bool:
    for value in wanted:
        if value is True and any(item is not False for item in found):
            return True
        if any(type(item) is type(value) and item == value for item in found):
            return True
    return False
