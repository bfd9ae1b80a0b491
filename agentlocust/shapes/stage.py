"""The words between a shape and whoever drives the load: stages out, what was seen back, a finding at the end.

A shape is a generator of stages. The driver holds each one's load, tells what it saw, and gets the
next; what the generator returns is what the test found out. So a shape knows neither Locust nor
clocks, and can be tried against a formula.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agentlocust.sketch import Sketch
from agentlocust.summary.model import CheckResult, Point


class Load(StrEnum):
    """What a level counts."""

    USERS = "users"  # closed loop: who are there
    RATE = "/s"  # open loop: tasks that begin each second


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of load: the level goes straight from `start` to `end` in `seconds`.

    What starts in it is labelled `phase`; stages in a row may share one. With `enough` the stage
    may end before its time: it is asked each second from `at_least` seconds on.
    """

    phase: str
    seconds: float
    start: float
    end: float
    enough: Callable[[Seen], bool] | None = None
    at_least: float = 0.0

    @classmethod
    def hold(
        cls,
        phase: str,
        seconds: float,
        level: float,
        enough: Callable[[Seen], bool] | None = None,
        at_least: float = 0.0,
    ) -> Stage:
        """A stage of one level."""
        return cls(phase, seconds, level, level, enough, at_least)


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of a stage, or of its part until now: of the calls labelled with its phase.

    `points` are the test's series from the stage's start on, `t` counted from there. `checks` are the
    test's SLA on this phase alone. Sketches hold nanoseconds. `target_gone` says why the target is
    believed dead ("" when it is not); `saturated` that the generator could not keep up. `leaks` says
    what of the watched target leaks ("" for nothing), told from its readings at this level alone.
    """

    stage: Stage
    seconds: float
    calls: int = 0
    failed: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    latency: Sketch = field(default_factory=Sketch)
    ttft: Sketch = field(default_factory=Sketch)
    itl: Sketch = field(default_factory=Sketch)
    output_tokens: int = 0
    checks: Sequence[CheckResult] = ()
    points: Sequence[Point] = ()
    target_gone: str = ""
    saturated: bool = False
    leaks: str = ""
    arrivals_late: int = 0  # open loop: arrivals that found no free user
    arrivals: int = 0
    begun: int = 0  # tasks that arrivals have begun since the test's start, in whatever phase

    @property
    def throughput(self) -> float:
        """Successful calls a second."""
        return (self.calls - self.failed) / self.seconds if self.seconds else 0.0

    @property
    def error_rate(self) -> float:
        """The share of calls that failed; 0 without any."""
        return self.failed / self.calls if self.calls else 0.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What a shape found out: sentences for people, figures for `summary.json`, metrics for checks.

    `metrics` maps a name of the metric catalogue (shape FINDING) to its number in base units, None
    when it was looked for and not found ("not recovered"), which fails a check on it.
    """

    sentences: tuple[str, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float | None] = field(default_factory=dict)


Program = Generator[Stage, Seen, Finding]


@dataclass(frozen=True, slots=True)
class Shape:
    """A load over time that was asked for and understood.

    `most` is its highest level and `seconds` its longest duration, as far as known before (None: it
    depends on what is seen). `think_s` is the users' pause between tasks, None for their own.
    `searches` when it drives the target beyond its limits on purpose, so that the SLA's checks are its
    conditions and no verdict on the test. `run()` starts it anew.
    """

    name: str
    load: Load
    settings: Mapping[str, Any]
    most: float
    seconds: float | None
    run: Callable[[], Program]
    think_s: float | None = None
    searches: bool = False
