"""Values as people write them in a mock's spec: a constant, or a distribution to draw from."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from agentlocust import units
from agentlocust.errors import ConfigError

_CALL = re.compile(r"([a-z]+)\(([^()]*)\)\Z")
_ARGUMENTS = {
    "constant": 1,  # value
    "uniform": 2,  # low, high
    "normal": 2,  # mean, standard deviation
    "lognormal": 2,  # median, sigma (of the logarithm, without a unit)
    "exponential": 1,  # mean
}
FORMS = "20ms, lognormal(200ms,0.3), normal(20ms,5ms), uniform(10ms,30ms) or exponential(20ms)"


@dataclass(frozen=True, slots=True)
class Distribution:
    """A law to draw values from; what is drawn is never negative."""

    law: str
    a: float
    b: float = 0.0

    @property
    def constant(self) -> bool:
        """True when every draw is the same value, `a`."""
        return self.law == "constant"

    def draw(self, rng: random.Random) -> float:
        """One value, at least 0."""
        match self.law:
            case "uniform":
                return rng.uniform(self.a, self.b)
            case "normal":
                return max(0.0, rng.normalvariate(self.a, self.b))
            case "lognormal":
                return self.a * rng.lognormvariate(0.0, self.b)
            case "exponential":
                return rng.expovariate(1 / self.a) if self.a else 0.0
        return self.a

    def draw_int(self, rng: random.Random) -> int:
        """One value, rounded to a whole number."""
        return round(self.draw(rng))


def seconds(text: str) -> float:
    """Seconds from a duration; a bare `0` needs no unit. Raises ConfigError."""
    return 0.0 if text.strip() == "0" else units.parse_duration(text)


def parse_distribution(text: str, number: Callable[[str], float]) -> Distribution:
    """The distribution that `text` names, its numbers read by `number`. Raises ConfigError."""
    raw = text.strip()
    found = _CALL.match(raw)
    if found is None:
        if "(" in raw or ")" in raw:
            raise ConfigError(f"{raw[:60]!r} is not a distribution", hint=f"write {FORMS}")
        return _sane(Distribution("constant", number(raw)), raw)
    law, arguments = found[1], found[2].split(",")
    wanted = _ARGUMENTS.get(law)
    if wanted is None:
        raise ConfigError(f"there is no distribution {law[:30]!r}", hint=f"write {FORMS}")
    if len(arguments) != wanted:
        raise ConfigError(f"{law} takes {wanted} numbers, not {len(arguments)}", hint=f"write {FORMS}")
    if law == "lognormal":
        return _sane(Distribution(law, number(arguments[0]), units.parse_number(arguments[1])), raw)
    numbers = [number(argument) for argument in arguments]
    return _sane(Distribution(law, *numbers), raw)


def _sane(found: Distribution, raw: str) -> Distribution:
    """`found`, when its numbers make sense."""
    if not (math.isfinite(found.a) and math.isfinite(found.b)) or found.a < 0 or found.b < 0:
        raise ConfigError(f"{raw!r} holds a negative number", hint=f"write {FORMS}")
    if found.law == "uniform" and found.a > found.b:
        raise ConfigError(f"{raw!r} has its ends the wrong way round", hint="write uniform(low,high)")
    if found.law == "lognormal" and found.b > 5:
        raise ConfigError(f"{raw!r} has a sigma over 5", hint="0.3 is usual; it has no unit")
    return found
