"""Agents that bear the same storm of 429s in different manners: what the report says, and what the wire saw."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import MockServer, run
from outages import AGENT, began, relay

SPEC = "ttft=40ms,itl=1ms,tokens=3"
BEGINS_S, ENDS_S = 3.0, 8.0
STORM = f"rate_limit(rps=4,burst=4,retry_after=2s)@{BEGINS_S:g}s-{ENDS_S:g}s"
WINDOW = f"storm@{BEGINS_S:g}s-{ENDS_S:g}s"
USERS = 16
EDGE_S = 0.2
# What the report has to call each manner; `sdk` is the official SDK, which waits as it is told.
BEHAVIOURS = {
    "naive": "naive",
    "jitter": "exponential with jitter",
    "step": "fixed",
    "sdk": "honours Retry-After",
}


@dataclass(frozen=True, slots=True)
class Storm:
    """One agent's storm: the report's window, and the most requests a second that the wire saw.

    At either edge of the storm many may come at once: `least_rate` is without a fifth of a second there, `most_rate`
    with one more.
    """

    manner: str
    window: dict[str, Any]
    attempts: int
    arrived: int
    wire_rate: float
    least_rate: float
    most_rate: float

    @property
    def behaviour(self) -> str:
        """What the report calls it."""
        named: str = self.window["retries"]["behaviour"]
        return named

    @property
    def amplification(self) -> float:
        """Tries per intended call."""
        return float(self.window["retries"]["amplification"])

    @property
    def peak_rate(self) -> float:
        """The most requests a second, as reported."""
        return float(self.window["peak_rate"])

    def problems(self) -> list[str]:
        """What the report has wrong, in words."""
        found = []
        if self.behaviour != BEHAVIOURS[self.manner]:
            found.append(f"{self.manner} is named {self.behaviour}: {self.window['sentence']}")
        if self.attempts != self.arrived:
            found.append(f"{self.attempts} attempts, and the wire saw {self.arrived}")
        if not 0.9 * self.least_rate <= self.peak_rate <= 1.1 * self.most_rate:
            seen = f"{self.least_rate:.0f} to {self.most_rate:.0f}"
            found.append(f"{self.peak_rate:.0f} requests a second, and the wire saw {seen}")
        if self.manner == "step" and self.window["wave"] is None:
            found.append("no wave of those who try again in step")
        if self.manner in ("naive", "jitter") and self.window["wave"] is not None:
            found.append(f"a wave of the {self.manner} ones: {self.window['wave']}")
        return found


def storm(directory: Path, manner: str) -> Storm:
    """A test of twelve seconds against a mock that lets four requests a second pass for five of them."""
    with MockServer(directory, SPEC, faults=STORM) as mock, relay(mock.url) as seen:
        environment = {"MANNER": manner, "OPENAI_API_KEY": "sk-none"}
        args = ("--host", seen.url, "--resilience-windows", WINDOW, "--sla", "availability > 0%")
        result = run(directory, AGENT, *args, users=USERS, run_time="12s", env=environment).expect(0)
    (window,) = result.summary["resilience"]["windows"]
    zero = began(result.stdout)
    recovery_s = window["recovery_s"]  # None: as much as there is belongs to the storm
    start, end = zero + BEGINS_S, (zero + ENDS_S + recovery_s if recovery_s is not None else math.inf)
    rates = (seen.peak_rate(start + more, end - more) for more in (0.0, EDGE_S, -EDGE_S))
    return Storm(manner, window, result.summary["totals"]["attempts"], len(seen.arrived), *rates)


def unlike(naive: Storm, good: Storm) -> list[str]:
    """Where the naive agent did not make the storm worse than the good one, in words."""
    found = []
    if naive.amplification < 10 * good.amplification:
        found.append(f"{naive.amplification:.1f} tries a call when naive, {good.amplification:.1f} when good")
    if naive.wire_rate < 5 * good.wire_rate:
        found.append(f"{naive.wire_rate:.0f} requests a second when naive, {good.wire_rate:.0f} when good")
    return found
