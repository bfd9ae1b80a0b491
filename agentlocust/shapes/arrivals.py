"""How arrivals are asked for: a rate and a law of the gaps, `--rate 20/s --arrivals poisson`."""

from __future__ import annotations

import difflib
import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from agentlocust import units
from agentlocust.errors import ConfigError

MAX_RATE = 100_000.0  # a second; far beyond what one test can begin
LAWS = "poisson, constant, uniform or gamma(0.5)"
_FORM = re.compile(r"([a-z]+)\s*(?:\(([^()]*)\))?\Z")
_NAMES = ("poisson", "constant", "gamma", "uniform")
_LEAST_K, _MOST_K = 0.01, 1000.0


@dataclass(frozen=True, slots=True)
class Law:
    """How the gaps between arrivals are spread about their mean, which is 1.

    `poisson` gaps are exponential, `constant` ones all alike, `uniform` ones between 0 and 2;
    `gamma(k)` with k < 1 comes in bursts, with k > 1 it is steadier than `poisson`, which is k = 1.
    """

    name: str = "poisson"
    k: float = 1.0

    @classmethod
    def parse(cls, text: object, where: str = "--arrivals") -> Law:
        """The law that `text` names, e.g. `gamma(0.5)`. Raises ConfigError."""
        raw = str(text).strip()
        found = _FORM.match(raw) if len(raw) <= 80 else None
        if found is None or found[1] not in _NAMES:
            near = difflib.get_close_matches(found[1] if found else raw[:20], _NAMES, n=1)
            hint = f"did you mean {near[0]}?" if near else f"write {LAWS}"
            raise ConfigError(f"there are no {raw[:40]!r} arrivals", where=where, hint=hint)
        name, k = found[1], found[2]
        if (k is not None) != (name == "gamma"):
            what = "gamma needs its shape" if name == "gamma" else f"{name} takes no number"
            raise ConfigError(what, where=where, hint="write gamma(0.5)" if name == "gamma" else f"write {name}")
        if k is None:
            return cls(name)
        try:
            shape = units.parse_number(k)
        except ConfigError as error:
            raise ConfigError(error.what, where=where, hint="write gamma(0.5)") from None
        return cls(name, _sane_k(shape, where))

    def gap(self, rng: random.Random) -> float:
        """One gap from an arrival to the next, 1 on average."""
        match self.name:
            case "constant":
                return 1.0
            case "gamma":
                return rng.gammavariate(self.k, 1 / self.k)
            case "uniform":
                return 2 * rng.random()
        return rng.expovariate(1.0)

    def first(self, rng: random.Random) -> float:
        """The wait for the first arrival of one who comes at any moment.

        It is the renewal process's stationary start (density 1 - F; Cox, Renewal Theory, 1962): with
        it the expected count is the rate times the time from the first second on, without a burst.
        """
        match self.name:
            case "constant":
                return 0.5  # the mean of what is uniform on (0, 1): a count is then rounded, not cut off
            case "gamma":
                return rng.gammavariate(self.k + 1, 1 / self.k) * rng.random()
            case "uniform":
                return 2 * (1 - math.sqrt(rng.random()))
        return rng.expovariate(1.0)

    def __str__(self) -> str:
        return f"gamma({self.k:g})" if self.name == "gamma" else self.name


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Tasks of one User class that begin at a rate, over all workers."""

    rate_per_s: float
    law: Law

    def __str__(self) -> str:
        return f"{self.law} {self.rate_per_s:g}/s"


def poisson(rate: str) -> Arrivals:
    """Independent arrivals, as of many people, e.g. at `"20/s"`. Raises ConfigError."""
    return Arrivals(parse_rate(rate, "arrivals"), Law("poisson"))


def constant(rate: str) -> Arrivals:
    """Evenly spaced arrivals, as of a clock. Raises ConfigError."""
    return Arrivals(parse_rate(rate, "arrivals"), Law("constant"))


def gamma(rate: str, k: float) -> Arrivals:
    """Arrivals in bursts (k < 1) or steadier than Poisson's (k > 1). Raises ConfigError."""
    return Arrivals(parse_rate(rate, "arrivals"), Law("gamma", _sane_k(k, "arrivals")))


def uniform(rate: str) -> Arrivals:
    """Arrivals whose gaps are anything from nothing to twice the mean. Raises ConfigError."""
    return Arrivals(parse_rate(rate, "arrivals"), Law("uniform"))


def parse_rate(text: object, where: str) -> float:
    """A rate per second above 0 and at most 100,000. Raises ConfigError."""
    try:
        rate = units.parse_rate(text)
    except ConfigError as error:
        raise ConfigError(error.what, where=where, hint=error.hint) from None
    if not 0 < rate <= MAX_RATE:
        what = "a rate of 0 starts nothing" if rate <= 0 else f"{text} is more than {MAX_RATE:,.0f}/s"
        raise ConfigError(what, where=where, hint="write 20/s or 100/min")
    return rate


def parse_rates(texts: Sequence[str], where: str = "--rate") -> dict[str, float]:
    """Rates per second by User class: `20/s` is that of `""`, `Support=20/s` of `Support`. Raises ConfigError."""
    rates: dict[str, float] = {}
    for text in texts:
        name, equals, rate = str(text).rpartition("=")
        name = name.strip()
        if equals and not name.isidentifier():
            raise ConfigError(f"{name[:40]!r} is not a User class", where=where, hint="write Support=20/s")
        if name in rates:
            what = f"the rate of {name} is given twice" if name else "the rate is given twice"
            raise ConfigError(what, where=where, hint="keep one of them, or write CLASS=20/s")
        rates[name] = parse_rate(rate, where)
    return rates


def _sane_k(k: object, where: str) -> float:
    if isinstance(k, bool) or not isinstance(k, (int, float)) or not _LEAST_K <= k <= _MOST_K:
        what = f"{str(k)[:20]} is no shape of a gamma law"
        raise ConfigError(what, where=where, hint=f"write a number from {_LEAST_K:g} to {_MOST_K:g}")
    return float(k)
