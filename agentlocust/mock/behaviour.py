"""How the mock behaves, as one line of text: `ttft=200ms,itl=20ms,tokens=64,errors=429:0.1`.

The same grammar is read from the option, from the request header `x-mock` and from a model name's
suffix (`gpt-4o-mini@ttft=1s;tokens=10`); a header wins over a name, a name over the option.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from agentlocust import units
from agentlocust.errors import ConfigError
from agentlocust.mock.distributions import Distribution, parse_distribution, seconds

MAX_TOKENS = 1_000_000
MAX_SECONDS = 3600.0
MAX_SPEC = 4096

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
_PART = re.compile(r"[,;](?![^(]*\))")  # a separator outside parentheses


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What the mock does with a request. Times in seconds, shares from 0 to 1, a context of 0 is endless.

    `tokens=0` is an empty reply; drawn from a distribution there is always one token at least.
    `errors` holds (failure name or status, share), `status` is one sent always; `cut` and
    `error_after` count tokens, -1 is never.
    """

    ttft: Distribution = Distribution("constant", 0.2)
    itl: Distribution = Distribution("constant", 0.02)
    tokens: Distribution = Distribution("constant", 64)
    reasoning_tokens: Distribution = Distribution("constant", 0)
    cached: float = 0.0
    cache_write: float = 0.0
    tools: str = "auto"
    tool_calls: int = 1
    bundle: int = 1
    usage: bool = True
    done: bool = True
    cut: int = -1
    error_after: int = -1
    echo: str = "no"
    errors: tuple[tuple[str, float], ...] = ()
    status: str = ""
    retry_after: float = 1.0
    context: int = 0
    auth: str = ""
    seed: int | None = None


def parse_spec(spec: str, base: Behaviour | None = None) -> Behaviour:
    """`base` (else the default behaviour) with what `spec` says changed. Raises ConfigError."""
    if len(spec) > MAX_SPEC:
        raise ConfigError(f"a mock spec of {len(spec)} characters", where="mock", hint=f"at most {MAX_SPEC}")
    changes: dict[str, Any] = {}
    for part in _PART.split(spec):
        if not part.strip():
            continue
        key, equals, value = (piece.strip() for piece in part.partition("="))
        reader = _READERS.get(key)
        if reader is None:
            raise ConfigError(f"the mock has no option {key[:40]!r}", where="mock", hint=_did_you_mean(key))
        if not equals or not value:
            raise ConfigError(f"{key} has no value", where=f"mock:{key}", hint=f"write {key}=VALUE")
        if key in changes:
            raise ConfigError(f"{key} is given twice", where=f"mock:{key}", hint="keep one of them")
        try:
            changes[key] = reader(value)
        except ConfigError as error:
            raise ConfigError(error.what, where=f"mock:{key}", hint=error.hint) from None
    found = dataclasses.replace(base or Behaviour(), **changes)
    if found.cached + found.cache_write > 1:
        raise ConfigError("cached and cache_write add up to more than 1", where="mock", hint="they share the input")
    return found


@lru_cache(maxsize=4096)
def overlaid(base: Behaviour, suffix: str, header: str) -> Behaviour:
    """`base` changed by a model name's suffix, then by a request's header. Raises ConfigError."""
    found = parse_spec(suffix, base) if suffix else base
    return parse_spec(header, found) if header else found


def split_model(name: str) -> tuple[str, str]:
    """A model's clean name and its spec: `mock@tokens=5` is ("mock", "tokens=5").

    A name like `claude-3-5-sonnet@20240620` has no `=` after its `@` and stays whole.
    """
    clean, at, spec = name.partition("@")
    return (clean, spec) if at and "=" in spec else (name, "")


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


def _errors(text: str) -> tuple[tuple[str, float], ...]:
    """`rate_limited:0.3` or `500:0.1|429:0.2`."""
    found = []
    for part in text.split("|"):
        name, colon, share = part.partition(":")
        if not colon:
            raise ConfigError(f"{part[:40]!r} has no share", hint="write 429:0.1 or rate_limited:10%")
        status_named(name)
        found.append((name.strip(), _share(share)))
    if sum(share for _, share in found) > 1 + 1e-9:
        raise ConfigError("the shares of errors add up to more than 1", hint="write 500:0.1|429:0.2")
    return tuple(found)


def _failure(text: str) -> str:
    status_named(text)
    return text


def _share(text: str) -> float:
    raw = text.strip()
    share = units.parse_percent(raw) if raw.endswith("%") else units.parse_number(raw)
    if not 0 <= share <= 1:
        raise ConfigError(f"{raw} is not a share", hint="write 0.5 or 50%")
    return share


def _time(text: str) -> Distribution:
    found = parse_distribution(text, seconds)
    if max(found.a, found.b if found.law != "lognormal" else 0) > MAX_SECONDS:
        raise ConfigError(f"{text} is over an hour", hint="write 200ms or 2s")
    return found


def _count(text: str) -> Distribution:
    found = parse_distribution(text, units.parse_number)
    if max(found.a, found.b if found.law != "lognormal" else 0) > MAX_TOKENS:
        raise ConfigError(f"{text} is over a million tokens", hint="write 64 or uniform(10,100)")
    return found


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        number = units.parse_number(text)
        if number != int(number) or not low <= number <= high:
            raise ConfigError(f"{text} is not a whole number from {low} to {high}")
        return int(number)

    return read


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            near = difflib.get_close_matches(text, words, n=1)
            hint = f"did you mean {near[0]}?" if near else f"write {', '.join(words)}"
            raise ConfigError(f"{text[:40]!r} is not a choice", hint=hint)
        return text

    return read


def _yes(text: str) -> bool:
    return _one_of("yes", "no")(text) == "yes"


def _did_you_mean(key: str) -> str:
    near = difflib.get_close_matches(key, _READERS, n=1)
    return f"did you mean {near[0]}?" if near else f"its options are {', '.join(_READERS)}"


_READERS: dict[str, Callable[[str], Any]] = {
    "ttft": _time,
    "itl": _time,
    "tokens": _count,
    "reasoning_tokens": _count,
    "cached": _share,
    "cache_write": _share,
    "tools": _one_of("auto", "always", "never"),
    "tool_calls": _whole(1, 32),
    "bundle": _whole(1, 10_000),
    "usage": _yes,
    "done": _yes,
    "cut": _whole(0, MAX_TOKENS),
    "error_after": _whole(0, MAX_TOKENS),
    "echo": _one_of("no", "prompt", "key"),
    "errors": _errors,
    "status": _failure,
    "retry_after": seconds,
    "context": _whole(0, 1_000_000_000),
    "auth": str,
    "seed": _whole(0, 2**63 - 1),
}
