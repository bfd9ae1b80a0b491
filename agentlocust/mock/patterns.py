"""A text that a regular expression matches: best effort, for `pattern` in JSON Schemas."""

from __future__ import annotations

import random
import re
from re import _parser  # type: ignore[attr-defined]  # the stdlib's own parser: there is no public one
from typing import Any

_MAX_REPEATS = 8  # of an open-ended repeat
_MAX_LENGTH = 10_000
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ _-.,:/"
_CLASSES = {"CATEGORY_DIGIT": r"\d", "CATEGORY_SPACE": r"\s", "CATEGORY_WORD": r"\w"}


def text_matching(pattern: str, rng: random.Random) -> str | None:
    """A text in which `pattern` is found, or None when none could be made."""
    try:
        made = _sequence(_parser.parse(pattern), rng)
        return made if re.search(pattern, made) else None
    except (re.error, RecursionError, OverflowError, ValueError):
        return None


def _sequence(nodes: Any, rng: random.Random) -> str:
    made = ""
    for node in nodes:
        made += _node(node, rng)
        if len(made) > _MAX_LENGTH:
            raise ValueError("too long")
    return made


def _node(node: Any, rng: random.Random) -> str:
    kind, value = str(node[0]), node[1]
    match kind:
        case "LITERAL":
            return chr(value)
        case "NOT_LITERAL":
            return rng.choice([char for char in _ALPHABET if ord(char) != value])
        case "ANY":
            return rng.choice(_ALPHABET[:36])
        case "IN":
            return _one_in(value, rng)
        case "BRANCH":
            return _sequence(rng.choice(value[1]), rng)
        case "SUBPATTERN":
            return _sequence(value[3], rng)
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            low, high, inner = value
            if low > _MAX_LENGTH:
                raise ValueError("too long")
            times = rng.randint(low, max(low, min(int(high), low + _MAX_REPEATS)))
            return "".join(_sequence(inner, rng) for _ in range(times))
        case "AT":
            return ""
    raise ValueError(f"cannot make a text for {kind}")


def _one_in(members: Any, rng: random.Random) -> str:
    """One character of a set like `[a-z0-9_]` or `[^/]`."""
    if str(members[0][0]) == "NEGATE":
        return rng.choice([char for char in _ALPHABET if not any(_holds(member, char) for member in members[1:])])
    member = rng.choice(members)
    if str(member[0]) == "LITERAL":
        return chr(member[1])
    if str(member[0]) == "RANGE":
        return chr(rng.randint(*member[1]))
    return rng.choice([char for char in _ALPHABET if _holds(member, char)])


def _holds(member: Any, char: str) -> bool:
    kind, value = str(member[0]), member[1]
    if kind == "LITERAL":
        return ord(char) == int(value)
    if kind == "RANGE":
        return int(value[0]) <= ord(char) <= int(value[1])
    name = str(value)
    negated = "_NOT_" in name
    found = re.match(_CLASSES[name.replace("_NOT_", "_")], char) is not None
    return found is not negated
