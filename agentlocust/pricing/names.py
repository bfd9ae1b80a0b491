"""The many spellings of one model's name."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_NAME = 200  # a longer one is no model's name; it may come from a server

_PREFIXES = {
    "anthropic": "anthropic",
    "azure": "azure",
    "bedrock": "aws",
    "cerebras": "cerebras",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "fireworks_ai": "fireworks",
    "gemini": "google",
    "google": "google",
    "groq": "groq",
    "mistral": "mistral",
    "mistralai": "mistral",
    "models": "google",
    "openai": "openai",
    "openrouter": "openrouter",
    "together": "together",
    "together_ai": "together",
    "vertex_ai": "google",
    "xai": "x-ai",
    "x-ai": "x-ai",
}
_BEDROCK = re.compile(r"(?:[a-z-]{2,7}\.)?(anthropic|deepseek|mistral)\.(.+?)(?:-v\d+(?::\d+)?)?", re.ASCII)
_SNAPSHOT = re.compile(r"(.+)-(?:20\d\d-[01]\d-[0-3]\d|20\d\d[01]\d[0-3]\d|latest)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Spelling:
    """A name to look up, and the provider that its form or the caller tells (None: not told)."""

    name: str
    provider: str | None = None


def spellings(model: str, provider: str | None = None) -> list[Spelling]:
    """The names to try for `model`, most literal first, in lower case.

    Knows `openai/gpt-4o`, `models/gemini-2.5-pro`, `claude-opus-4@20250514` (Vertex) and, as best it can,
    Bedrock's `us.anthropic.claude-3-haiku-20240307-v1:0`. Empty for what cannot be a model's name.
    """
    name = model.strip().lower()
    if not name or len(name) > MAX_NAME:
        return []
    told = provider.strip().lower() if provider else None
    found = [Spelling(name, _PREFIXES.get(told, told) if told else None)]
    for _ in range(2):  # openrouter/openai/gpt-4o
        prefix, slash, rest = name.partition("/")
        if not slash or prefix not in _PREFIXES or not rest:
            break
        name = rest
        found.append(Spelling(name, _PREFIXES[prefix]))
    if "@" in name[1:]:
        name = name[0] + name[1:].replace("@", "-")
        found.append(Spelling(name, found[-1].provider))
    if match := _BEDROCK.fullmatch(name):
        found.append(Spelling(name, "aws"))
        found.append(Spelling(match[2], match[1]))
    return found


def undated(name: str) -> str | None:
    """The model that a snapshot's name is of (`gpt-4o` for `gpt-4o-2024-08-06` and `gpt-4o-latest`), or None."""
    match = _SNAPSHOT.fullmatch(name)
    return match[1] if match else None
