"""What a fault can be told: how the text of each key is read, and within which bounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agentlocust import units
from agentlocust.errors import ConfigError
from agentlocust.sizes import parse_size

MAX_SECONDS = 86_400.0
MAX_TOKENS = 1_000_000


@dataclass(frozen=True, slots=True)
class Key:
    """One key: how its text is read, its default as people write it ("" when it must be given), what it means."""

    name: str
    read: Callable[[str], Any]
    default: str
    meaning: str


def seconds(text: str) -> float:
    """A duration from 0 to a day. Raises ConfigError."""
    found = 0.0 if text == "0" else units.parse_duration(text)
    if found > MAX_SECONDS:
        raise ConfigError(f"{text!r} is longer than a day", hint="write 500ms, 4s or 2m")
    return found


def jump(text: str) -> float:
    """A duration with a sign: how far a clock jumps. Raises ConfigError."""
    return -seconds(text[1:].strip()) if text.startswith("-") else seconds(text.removeprefix("+"))


def tokens(text: str) -> int:
    """How many tokens, from 0 on. Raises ConfigError."""
    return whole(text, 0, MAX_TOKENS)


def positive(text: str) -> float:
    """A number above 0. Raises ConfigError."""
    number = units.parse_number(text)
    if not 0 < number <= 1e9 or not math.isfinite(number):
        raise ConfigError(f"{text!r} is not above 0", hint="write 5 or 0.5")
    return number


def size(text: str) -> float:
    """Bytes, above 0. Raises ConfigError."""
    found = parse_size(text)
    if not 1 <= found <= 1e12:
        raise ConfigError(f"{text!r} is not a size from 1 B to 1 TB", hint="write 64KB or 512MB")
    return found


def share(text: str) -> float:
    """A share above 0%, at most 100%. Raises ConfigError."""
    found = units.parse_percent(text)
    if not 0 < found <= 1:
        raise ConfigError(f"{text!r} is not a share", hint="above 0%, at most 100%")
    return found


def name(text: str) -> str:
    """A short printable text. Raises ConfigError."""
    if not text or len(text) > 200 or not text.isprintable():
        raise ConfigError(f"{text[:40]!r} is not a name", hint="one line, at most 200 characters")
    return text


def one_of(*known: int) -> Callable[[str], int]:
    """Reads one of a few whole numbers. Raises ConfigError for any other."""

    def read(text: str) -> int:
        if text not in map(str, known):
            raise ConfigError(f"{text!r} is not one of them", hint="one of " + ", ".join(map(str, known)))
        return int(text)

    return read


def whole(text: str, least: int, most: int) -> int:
    """A whole number within bounds. Raises ConfigError."""
    if not text.isascii() or not text.isdigit() or len(text) > 12 or not least <= int(text) <= most:
        raise ConfigError(f"{text!r} is not a whole number from {least} to {most:,}", hint="write 10")
    return int(text)


def cores(text: str) -> int:
    """How many processes, from 1 to 64. Raises ConfigError."""
    return whole(text, 1, 64)
