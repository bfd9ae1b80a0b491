"""The tool APIs that a proxy stands before, by name."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agentlocust.errors import ConfigError
from agentlocust.wire.target import Target

_NAME = re.compile(r"[A-Za-z0-9_-]{1,60}\Z")


def read_tools(texts: Sequence[str], where: str = "--tool") -> dict[str, Target]:
    """The tool APIs of `NAME=URL`. Raises ConfigError."""
    found: dict[str, Target] = {}
    for text in texts:
        name, equals, url = text.partition("=")
        name = name.strip()
        if not equals or not _NAME.match(name):
            hint = "write it as search=http://127.0.0.1:9000"
            raise ConfigError(f"{text[:80]!r} names no tool", where=where, hint=hint)
        if name in found:
            raise ConfigError(f"a second tool called {name!r}", where=where)
        found[name] = Target.parse(url, where=where)
    return found
