"""What a scenario is: a market, a venue that misbehaves, an environment that does, and rules with limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from agentlocust.sla.expression import OPERATORS

Says = tuple[tuple[float, tuple[str, ...]], ...]
ANY: Says = ((0.0, ("buy", "sell", "hold")),)


@dataclass(frozen=True, slots=True)
class Rule:
    """A limit on one measurement, as a check of the SLA and as a sentence for when it is broken."""

    metric: str
    operator: str
    limit: float
    broken: str  # with {value}

    @property
    def check(self) -> str:
        """The rule in the grammar of checks; the aggregate is the one that forgives nothing."""
        limit = f"{self.limit:.6f}".rstrip("0").rstrip(".")
        return f"{'min' if self.operator.startswith('>') else 'max'}({self.metric}) {self.operator} {limit}"

    def verdict(self, value: float) -> str:
        """What is wrong, "" when nothing is."""
        return "" if OPERATORS[self.operator](value, self.limit) else self.broken.format(value=value)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens to the agent's own machine: `clock_jump`, `disk_full`, `dns_down`, `dns_up`."""

    at_s: float
    what: str
    amount: float = 0.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What a scenario left behind: the exchange's truth, and what was seen of the agent. Times as in the truth."""

    truth: Mapping[str, Any]
    lasted_s: float
    crash: str = ""
    alerts: tuple[tuple[float, str], ...] = ()
    asked: tuple[tuple[float, str], ...] = ()
    slowest_tick_s: float = 0.0
    cash: Decimal | None = None


Measure = Callable[[Seen], dict[str, float]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One trial. `speed` 0 is stepped time: it passes a tick at a time, as fast as the agent can.

    `says` is what the model may answer from a time on; None is what it said in the recorded session.
    """

    name: str
    promise: str
    rules: tuple[Rule, ...]
    measure: Measure
    session: str = "normal"
    duration_s: float = 60.0
    tick_s: float = 1.0
    speed: float = 0.0
    says: Says | None = ANY
    faults: tuple[Mapping[str, Any], ...] = ()
    events: tuple[Event, ...] = ()
    cash: str = "100000"
    position: str = "0"
    seed: int = field(default=1)

    def may_say(self, elapsed_s: float) -> tuple[str, ...]:
        """The answers the model has to choose from at a time."""
        return [choices for from_s, choices in self.says or ANY if from_s <= elapsed_s][-1]
