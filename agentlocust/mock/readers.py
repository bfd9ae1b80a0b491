"""How the values of a mock's spec are read: each reader takes the text after `=` or raises ConfigError."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable

from agentlocust import units
from agentlocust.errors import ConfigError
from agentlocust.mock.distributions import Distribution, parse_distribution, seconds

MAX_TOKENS = 1_000_000
MAX_SECONDS = 3600.0
MAX_BYTES = 10**12
MAX_RATE = 1e6

# The names of failures that can be asked for, with the status OpenAI gives them (Anthropic's
# overload is 529: its writer's business).
STATUS_OF = {
    "bad_request": 400,
    "context_length": 400,
    "content_filter": 400,
    "auth": 401,
    "not_found": 404,
    "timeout": 408,
    "rate_limited": 429,
    "quota": 429,
    "server_error": 500,
    "overloaded": 503,
}
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*(B|kB|KB|MB|GB|KiB|MiB|GiB)\Z")
_BYTES_IN = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def status_named(name: str) -> int:
    """The HTTP status of a failure name or of a status in digits. Raises ConfigError."""
    raw = name.strip()
    if raw.isascii() and raw.isdigit() and len(raw) == 3 and 400 <= int(raw) <= 599:
        return int(raw)
    if raw not in STATUS_OF:
        near = difflib.get_close_matches(raw, STATUS_OF, n=1)
        hint = f"did you mean {near[0]}?" if near else f"a status of 400 to 599, or {', '.join(STATUS_OF)}"
        raise ConfigError(f"{raw[:40]!r} is not a failure", hint=hint)
    return STATUS_OF[raw]


def failure(text: str) -> str:
    """A failure's name or status, as it is written."""
    status_named(text)
    return text


def errors(text: str) -> tuple[tuple[str, float], ...]:
    """`rate_limited:0.3` or `500:0.1|429:0.2`."""
    found = []
    for part in text.split("|"):
        name, colon, wanted = part.partition(":")
        if not colon:
            raise ConfigError(f"{part[:40]!r} has no share", hint="write 429:0.1 or rate_limited:10%")
        status_named(name)
        found.append((name.strip(), share(wanted)))
    if sum(wanted for _, wanted in found) > 1 + 1e-9:
        raise ConfigError("the shares of errors add up to more than 1", hint="write 500:0.1|429:0.2")
    return tuple(found)


def share(text: str) -> float:
    """A number from 0 to 1: `0.5` or `50%`."""
    raw = text.strip()
    found = units.parse_percent(raw) if raw.endswith("%") else units.parse_number(raw)
    if not 0 <= found <= 1:
        raise ConfigError(f"{raw} is not a share", hint="write 0.5 or 50%")
    return found


def time_law(text: str) -> Distribution:
    """A time or a distribution of times, in seconds."""
    found = parse_distribution(text, seconds)
    if max(found.a, found.b if found.law != "lognormal" else 0) > MAX_SECONDS:
        raise ConfigError(f"{text} is over an hour", hint="write 200ms or 2s")
    return found


def token_law(text: str) -> Distribution:
    """A number of tokens or a distribution of them."""
    found = parse_distribution(text, units.parse_number)
    if max(found.a, found.b if found.law != "lognormal" else 0) > MAX_TOKENS:
        raise ConfigError(f"{text} is over a million tokens", hint="write 64 or uniform(10,100)")
    return found


def whole(low: int, high: int) -> Callable[[str], int]:
    """A reader of whole numbers from `low` to `high`."""

    def read(text: str) -> int:
        number = units.parse_number(text)
        if number != int(number) or not low <= number <= high:
            raise ConfigError(f"{text} is not a whole number from {low} to {high}")
        return int(number)

    return read


def one_of(*words: str) -> Callable[[str], str]:
    """A reader of one of some words."""

    def read(text: str) -> str:
        if text not in words:
            near = difflib.get_close_matches(text, words, n=1)
            hint = f"did you mean {near[0]}?" if near else f"write {', '.join(words)}"
            raise ConfigError(f"{text[:40]!r} is not a choice", hint=hint)
        return text

    return read


def yes(text: str) -> bool:
    """`yes` or `no`."""
    return one_of("yes", "no")(text) == "yes"


def moment(text: str) -> float:
    """Seconds, an hour at most."""
    found = seconds(text)
    if found > MAX_SECONDS:
        raise ConfigError(f"{text} is over an hour", hint="write 200ms or 2s")
    return found


def stretch(text: str) -> tuple[float, float]:
    """`3s+6s`: from when, and for how long, in seconds."""
    start, plus, length = text.partition("+")
    if not plus:
        raise ConfigError(f"{text[:40]!r} does not say for how long", hint="write AT+FOR: 3s+6s")
    return moment(start), moment(length)


def rate(text: str) -> float:
    """Times a second, more than none: `20/s` or `100/min`."""
    found = units.parse_rate(text)
    if not 0 < found <= MAX_RATE:
        raise ConfigError(f"{text} is not a rate to work with", hint="more than 0, at most a million a second")
    return found


def size(text: str) -> int:
    """Bytes: `1MB` is a million, `1MiB` is 2**20."""
    found = _SIZE.match(text.strip())
    if found is None:
        raise ConfigError(f"{text[:40]!r} is not a size", hint="write 1MB, 512kB or 1MiB")
    number = round(float(found[1]) * _BYTES_IN[found[2]])
    if not 0 < number <= MAX_BYTES:
        raise ConfigError(f"{text[:40]} is not a size to work with", hint="more than 0, at most 1000GB")
    return number


def size_rate(text: str) -> float:
    """Bytes a second: `1MB/s` or `60MB/min`."""
    amount, slash, _ = text.partition("/")
    if not slash:
        raise ConfigError(f"{text[:40]!r} is not a size per time", hint="write 1MB/s")
    return size(amount) * units.parse_rate("1" + text[len(amount) :])
