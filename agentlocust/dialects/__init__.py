"""What each provider's bytes mean: read by the wire, written by the embedded LLM.

Each dialect is a folder: `reader.py` (replies), `request.py` (requests and conversations) and
`writer.py` (the server's side). Dialects are imported when first asked for.
"""

from __future__ import annotations

import re
from importlib import import_module

from agentlocust.dialects.base import Dialect
from agentlocust.errors import ConfigError

NAMES = ("openai-chat", "openai-responses", "openai-embeddings", "anthropic")

# Chat completions are told by their last two segments under any prefix. The others have common words
# for names, so a version, Azure's prefix or nothing at all must stand before them.
_PATH = re.compile(
    r"(?P<chat>(?:^|/)chat/completions)/?$"
    r"|(?:^|^.*/(?:v\d\w*|openai|deployments/[^/]+))/(?P<rest>responses|embeddings)/?$"
    r"|(?:^|/)v\d\w*/(?P<messages>messages)/?$"
)


def by_name(name: str) -> Dialect:
    """Give the dialect of that name; raises ConfigError for an unknown one."""
    if name not in NAMES:
        raise ConfigError(f"no dialect is called {name!r}", hint=f"one of {', '.join(NAMES)}")
    dialect: Dialect = import_module(f"agentlocust.dialects.{name.replace('-', '_')}").DIALECT
    return dialect


def for_path(path: str) -> Dialect | None:
    """Give the dialect a request's path speaks, whatever its prefix and query; None when it is no LLM's."""
    found = _PATH.search(re.split(r"[?#]", path, maxsplit=1)[0])
    if found is None:
        return None
    if found["chat"]:
        return by_name("openai-chat")
    return by_name(f"openai-{found['rest']}" if found["rest"] else "anthropic")
