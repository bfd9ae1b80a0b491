"""A JSON value that satisfies a JSON Schema, drawn from a seed: what a tool call's arguments are.

Understood: type, enum, const, properties, required, additionalProperties, items, prefixItems,
min/max of items, numbers and lengths, uniqueItems, multipleOf, format, pattern, anyOf, oneOf, allOf
and $ref within the document. Other keywords are not looked at.
"""

from __future__ import annotations

import math
import random
from typing import Any

from agentlocust.mock.patterns import text_matching
from agentlocust.mock.words import WORDS

_DEEP = 6  # below this only what is required is made
_TOO_DEEP = 40
_MAX_ITEMS = 1000
_MAX_LENGTH = 10_000
_FORMATS = {
    "date-time": "2026-01-0{d}T10:00:00Z",
    "date": "2026-01-0{d}",
    "time": "10:0{d}:00Z",
    "duration": "P{d}D",
    "email": "{w}@example.com",
    "hostname": "{w}.example.com",
    "ipv4": "192.0.2.{d}",
    "ipv6": "2001:db8::{d}",
    "uri": "https://example.com/{w}",
    "uuid": "00000000-0000-4000-8000-00000000000{d}",
}


def value_for(schema: object, rng: random.Random) -> Any:
    """A value that satisfies `schema`; an empty, unknown or endless schema gives a word or null."""
    return _value(schema, schema, rng, 0)


def _value(schema: object, root: object, rng: random.Random, depth: int) -> Any:
    if depth > _TOO_DEEP or schema is False:
        return None
    if not isinstance(schema, dict):
        return rng.choice(WORDS)
    schema = _flattened(schema, root, rng, depth)
    if "const" in schema:
        return schema["const"]
    options = schema.get("enum")
    if isinstance(options, list) and options:
        return rng.choice(options)
    match _type_of(schema, rng, depth):
        case "object":
            return _object(schema, root, rng, depth)
        case "array":
            return _array(schema, root, rng, depth)
        case "integer":
            return _integer(schema, rng)
        case "number":
            return _number(schema, rng)
        case "boolean":
            return rng.random() < 0.5
        case "null":
            return None
    return _string(schema, rng)


def _flattened(schema: dict[str, Any], root: object, rng: random.Random, depth: int) -> dict[str, Any]:
    """`schema` with its references followed, its allOf merged and one branch of its anyOf or oneOf chosen."""
    for _ in range(_TOO_DEEP):
        rest = dict(schema)
        if isinstance(rest.get("$ref"), str):
            target = _target(rest.pop("$ref"), root)
            schema = _merged(target, rest) if isinstance(target, dict) else rest
            continue
        parts = rest.pop("allOf", None)
        if isinstance(parts, list):
            for part in parts:
                rest = _merged(part, rest) if isinstance(part, dict) else rest
            schema = rest
            continue
        for word in ("anyOf", "oneOf"):
            branches = [branch for branch in _list(rest.pop(word, None)) if isinstance(branch, dict)]
            if branches:
                # Deep down the shortest branch is taken, which is the one that ends a recursive schema.
                chosen = min(branches, key=lambda b: len(str(b))) if depth > _DEEP else rng.choice(branches)
                schema = _merged(chosen, rest)
                break
        else:
            return rest
    return {}


def _merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """What satisfies both, as far as keywords can be put together."""
    found = {**first, **second}
    if isinstance(first.get("properties"), dict) and isinstance(second.get("properties"), dict):
        found["properties"] = {**first["properties"], **second["properties"]}
    if isinstance(first.get("required"), list) and isinstance(second.get("required"), list):
        found["required"] = [*first["required"], *second["required"]]
    return found


def _target(reference: str, root: object) -> object:
    """What a JSON pointer like `#/$defs/Name` points at; None when there is nothing."""
    if not reference.startswith("#"):
        return None
    found = root
    for step in reference[1:].split("/")[1:]:
        if not isinstance(found, dict):
            return None
        found = found.get(step.replace("~1", "/").replace("~0", "~"))
    return found


def _type_of(schema: dict[str, Any], rng: random.Random, depth: int) -> str:
    named = schema.get("type")
    if isinstance(named, list) and named:
        if depth > _DEEP and "null" in named:
            return "null"
        return str(rng.choice([name for name in named if name != "null"] or named))
    if isinstance(named, str):
        return named
    for word, kind in (("properties", "object"), ("required", "object"), ("items", "array"), ("prefixItems", "array")):
        if word in schema:
            return kind
    return "number" if {"minimum", "maximum", "multipleOf"} & schema.keys() else "string"


def _object(schema: dict[str, Any], root: object, rng: random.Random, depth: int) -> dict[str, Any]:
    properties = schema.get("properties") if isinstance(schema.get("properties"), dict) else {}
    assert isinstance(properties, dict)
    required = [name for name in _list(schema.get("required")) if isinstance(name, str)]
    wanted = [name for name in properties if name in required or (depth < _DEEP and rng.random() < 0.5)]
    found = {name: _value(properties[name], root, rng, depth + 1) for name in wanted}
    more = schema.get("additionalProperties", True)
    for name in required:
        if name not in found:
            found[name] = _value(more, root, rng, depth + 1)
    for number in range(min(_count(schema, "minProperties", 0) - len(found), _MAX_ITEMS)):
        spare = next((name for name in properties if name not in found), f"extra_{number}")
        found[spare] = _value(properties.get(spare, more), root, rng, depth + 1)
    return found


def _array(schema: dict[str, Any], root: object, rng: random.Random, depth: int) -> list[Any]:
    first = _list(schema.get("prefixItems"))
    low = min(_count(schema, "minItems", 0), _MAX_ITEMS)
    high = max(low, min(_count(schema, "maxItems", low + 2), low + 2))
    size = low if depth > _DEEP else max(low, min(high, max(len(first), rng.randint(low, high))))
    items = schema.get("items", True)
    if items is False:
        size = min(size, len(first))
    made: list[Any] = []
    for index in range(size):
        made.append(_value(first[index] if index < len(first) else items, root, rng, depth + 1))
        tries = 0
        while schema.get("uniqueItems") is True and made[-1] in made[:-1] and tries < 50:
            made[-1] = _value(items, root, rng, depth + 1)
            tries += 1
    if schema.get("uniqueItems") is True:
        made = [item for index, item in enumerate(made) if item not in made[:index]]
    return made


def _bounds(schema: dict[str, Any], step: float) -> tuple[float, float]:
    low = max(_real(schema, "minimum", -math.inf), _real(schema, "exclusiveMinimum", -math.inf) + step)
    high = min(_real(schema, "maximum", math.inf), _real(schema, "exclusiveMaximum", math.inf) - step)
    if low == -math.inf:
        low = min(0.0, high) if high < math.inf else 0.0
    return low, max(low, min(high, low + 100))


def _integer(schema: dict[str, Any], rng: random.Random) -> int:
    low, high = _bounds(schema, 1)
    step = int(_real(schema, "multipleOf", 1)) or 1
    first, last = math.ceil(low / step), max(math.ceil(low / step), math.floor(high / step))
    return step * rng.randint(first, last)


def _number(schema: dict[str, Any], rng: random.Random) -> float:
    if "multipleOf" in schema:
        step = _real(schema, "multipleOf", 1.0)
        low, high = _bounds(schema, step)
        return step * rng.randint(math.ceil(low / step), max(math.ceil(low / step), math.floor(high / step)))
    low, high = _bounds(schema, 0.0)
    value = round(rng.uniform(low, high), 3)
    outside = not low <= value <= high
    edge = value in (schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum"))
    return (low + high) / 2 if outside or edge else value


def _string(schema: dict[str, Any], rng: random.Random) -> str:
    made: str | None = None
    if isinstance(schema.get("pattern"), str):
        made = text_matching(schema["pattern"], rng)
    if made is None and schema.get("format") in _FORMATS:
        made = _FORMATS[schema["format"]].format(d=rng.randint(1, 9), w=rng.choice(WORDS))
    low = min(_count(schema, "minLength", 0), _MAX_LENGTH)
    high = _count(schema, "maxLength", _MAX_LENGTH)
    if made is not None and low <= len(made) <= high:
        return made
    word = rng.choice(WORDS)
    while len(word) < low:
        word += " " + rng.choice(WORDS)
    return word[: max(low, high)] if len(word) > high else word


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _real(schema: dict[str, Any], key: str, otherwise: float) -> float:
    value = schema.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > 1e15 or value != value:
        return otherwise
    return float(value)


def _count(schema: dict[str, Any], key: str, otherwise: int) -> int:
    return max(0, int(_real(schema, key, otherwise)))
