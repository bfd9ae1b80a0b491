"""How the mock behaves, as one line of text: `ttft=200ms,itl=20ms,tokens=64,errors=429:0.1`.

The same grammar is read from the option, from the request header `x-mock` and from a model name's
suffix (`gpt-4o-mini@ttft=1s;tokens=10`); a header wins over a name, a name over the option. What
belongs to the mock as a whole (`slots`, `rate`, `freeze`, ...: see `Pressure`) is read from the option only.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from agentlocust.errors import ConfigError
from agentlocust.mock import pressure, readers
from agentlocust.mock.distributions import Distribution, seconds
from agentlocust.mock.pressure import Pressure

MAX_SPEC = 4096
_PART = re.compile(r"[,;](?![^(]*\))")  # a separator outside parentheses


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What the mock does with a request. Times in seconds, shares from 0 to 1, a context of 0 is endless.

    `tokens=0` is an empty reply; drawn from a distribution there is always one token at least.
    `fill` makes a reply's text as long as the request's limit asks, else `tokens` long.
    `errors` holds (failure name or status, share), `status` is one sent always; `cut` and
    `error_after` count tokens, -1 is never.
    """

    ttft: Distribution = Distribution("constant", 0.2)
    itl: Distribution = Distribution("constant", 0.02)
    tokens: Distribution = Distribution("constant", 64)
    reasoning_tokens: Distribution = Distribution("constant", 0)
    fill: bool = False
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
    pressure: Pressure = field(default=Pressure(), hash=False)  # the same in all that are looked up by hash


def parse_spec(spec: str, base: Behaviour | None = None) -> Behaviour:
    """`base` (else the default behaviour) with what `spec` says changed. Raises ConfigError.

    With a `base` the spec is a request's, which cannot change what belongs to the mock as a whole.
    """
    if len(spec) > MAX_SPEC:
        raise ConfigError(f"a mock spec of {len(spec)} characters", where="mock", hint=f"at most {MAX_SPEC}")
    changes: dict[str, Any] = {}
    common: dict[str, Any] = {}
    for part in _PART.split(spec):
        if not part.strip():
            continue
        key, equals, value = (piece.strip() for piece in part.partition("="))
        reader = _READERS.get(key) or pressure.READERS.get(key)
        if reader is None:
            raise ConfigError(f"the mock has no option {key[:40]!r}", where="mock", hint=_did_you_mean(key))
        if not equals or not value:
            raise ConfigError(f"{key} has no value", where=f"mock:{key}", hint=f"write {key}=VALUE")
        if key in pressure.READERS and base is not None:
            hint = "say it when the mock is started"
            raise ConfigError(f"{key} belongs to the mock as a whole, not to a request", where=f"mock:{key}", hint=hint)
        into = common if key in pressure.READERS else changes
        if key in into:
            raise ConfigError(f"{key} is given twice", where=f"mock:{key}", hint="keep one of them")
        try:
            into[key] = reader(value)
        except ConfigError as error:
            raise ConfigError(error.what, where=f"mock:{key}", hint=error.hint) from None
    if common:
        changes["pressure"] = Pressure(**common)
        changes["pressure"].check()
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


def _did_you_mean(key: str) -> str:
    known = [*_READERS, *pressure.READERS]
    near = difflib.get_close_matches(key, known, n=1)
    return f"did you mean {near[0]}?" if near else f"its options are {', '.join(known)}"


_READERS: dict[str, Callable[[str], Any]] = {
    "ttft": readers.time_law,
    "itl": readers.time_law,
    "tokens": readers.token_law,
    "reasoning_tokens": readers.token_law,
    "fill": readers.yes,
    "cached": readers.share,
    "cache_write": readers.share,
    "tools": readers.one_of("auto", "always", "never"),
    "tool_calls": readers.whole(1, 32),
    "bundle": readers.whole(1, 10_000),
    "usage": readers.yes,
    "done": readers.yes,
    "cut": readers.whole(0, readers.MAX_TOKENS),
    "error_after": readers.whole(0, readers.MAX_TOKENS),
    "echo": readers.one_of("no", "prompt", "key"),
    "errors": readers.errors,
    "status": readers.failure,
    "retry_after": seconds,
    "context": readers.whole(0, 1_000_000_000),
    "auth": str,
    "seed": readers.whole(0, 2**63 - 1),
}
