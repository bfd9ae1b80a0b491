"""The tools that a request offers, and whether a model's arguments fit them.

Read from the request's own bytes, whoever made it, and only when a reply asks for tools.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from agentlocust.steps import ToolAsk, digest, parsed

Schemas = Mapping[str, Mapping[str, Any] | None]
"""A tool's JSON schema by its name; None for one that takes anything."""

_TOOLS = re.compile(rb'"tools"\s*:\s*(?=\[)')
_MAX_BYTES = 1 << 20  # of tools in a request that are read
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


class ToolReader:
    """Reads the tools of one caller's requests; the same bytes again cost a comparison."""

    def __init__(self) -> None:
        self._read = b""
        self._schemas: Schemas = {}

    def schemas(self, body: bytes) -> Schemas:
        """The tools in a request's body; none when it has none, or none that can be read."""
        for found in _TOOLS.finditer(body):
            if self._read and body.startswith(self._read, found.end()):
                return self._schemas
            text = body[found.end() : found.end() + _MAX_BYTES].decode("utf-8", "replace")
            try:
                tools, end = json.JSONDecoder().raw_decode(text)
            except (ValueError, RecursionError):
                continue
            schemas = dict(filter(None, map(_schema, tools)))
            if schemas:
                self._read, self._schemas = text[:end].encode(), schemas
                return schemas
        return {}


def asks_of(asked: Sequence[tuple[str, str]], schemas: Schemas) -> tuple[ToolAsk, ...]:
    """What a reply asked for, from each tool's name and the text of its arguments."""
    return tuple(ToolAsk(name, digest(text), _problem(name, text, schemas), text) for name, text in asked)


def _schema(tool: object) -> tuple[str, Mapping[str, Any] | None] | None:
    """A tool's name and schema, from OpenAI's nested or flat form or Anthropic's."""
    if not isinstance(tool, dict):
        return None
    kind = tool.get("type", "function")
    inner = tool.get("function") or tool.get("custom") or tool
    if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
        return None
    schema = inner.get("parameters", inner.get("input_schema"))
    takes_json = kind in ("function", "custom") and "custom" not in tool and isinstance(schema, dict)
    return inner["name"], schema if takes_json else None


def _problem(name: str, text: str, schemas: Schemas) -> str:
    """What is wrong with the arguments of one tool call; "" when nothing is."""
    if schemas and name not in schemas:
        return "there is no such tool"
    schema = schemas.get(name)
    if schemas and schema is None:
        return ""  # it takes whatever it is given
    try:
        arguments = parsed(text) if text.strip() else {}
    except ValueError:
        return "they are not JSON"
    if not isinstance(arguments, dict):
        return "they are not a JSON object"
    return _misfit(arguments, schema) if schema else ""


def _misfit(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """What the schema's `required` and its properties' `type` and `enum` find wrong; deeper is not looked."""
    required, properties = schema.get("required"), schema.get("properties")
    for key in required if isinstance(required, list) else ():
        if key not in arguments:
            return f"{key} is missing"
    for key, wanted in properties.items() if isinstance(properties, dict) else ():
        if key not in arguments or not isinstance(wanted, dict):
            continue
        kinds = wanted.get("type")
        kinds = [kinds] if isinstance(kinds, str) else kinds
        if isinstance(kinds, list) and not any(_is(arguments[key], kind) for kind in kinds):
            return f"{key} is not {' or '.join(map(str, kinds))}"
        allowed = wanted.get("enum")
        if isinstance(allowed, list) and arguments[key] not in allowed:
            return f"{key} is none of its values"
    return ""


def _is(value: object, kind: object) -> bool:
    types = _TYPES.get(kind) if isinstance(kind, str) else None
    if types is None:
        return True  # a type we do not know
    if isinstance(value, bool):
        return bool in types
    return isinstance(value, types) or (kind == "integer" and isinstance(value, float) and value.is_integer())
