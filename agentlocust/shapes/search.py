"""The search for capacity: its trials, their verdicts and what they add up to."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from math import sqrt
from typing import Any

from agentlocust.shapes.breaks import Cause, cause_of
from agentlocust.shapes.levels import MIN_RATE, level_name, rounded, shown
from agentlocust.shapes.reading import (
    FEWEST,
    Calm,
    achieved,
    beyond,
    failed_by_target,
    figures_of,
    mean_s,
    percentile_s,
    samples_needed,
)
from agentlocust.shapes.stage import Finding, Load, Program, Seen, Stage
from agentlocust.units import show_count, show_percent

CONFIRMATIONS = 2
MAX_TRIALS = 60  # a target that changes as it is measured must not be searched for ever
LATE_SHARE = 0.05  # of arrivals that found no free user
KEPT_UP = 0.95  # of the level: what must be achieved in the open loop
EDGE_S = 1.0  # of a trial's time lie in seconds that it has only in part
HOPELESS = 0.2  # of the level: a trial that lacks so much need not go on
CALLS_LONG = 5  # a trial lasts as long as so many calls one after the other
_FEWEST = 64  # the search goes down to this part of the first level, then gives up
_NEARLY = 0.15
_DRAINED = 0.5  # above the good trial's p95: the backlog is gone

Step = Generator[Stage, Seen, bool]


@dataclass(frozen=True, slots=True)
class Terms:
    """Where to search, how finely, and how long a trial takes: levels and seconds."""

    load: Load
    first: float
    last: float
    precision: float
    hold: float
    max_hold: float
    settle: float


def why_not(seen: Seen, load: Load, per_task: float = 1.0) -> str:
    """Why a trial fails, in a few words; "" when it passes. A task makes `per_task` calls."""
    if seen.target_gone:
        return f"the target died: {seen.target_gone}"
    if not seen.calls:
        return "no call completed"
    failed = [beyond(check) for check in seen.checks if not check.ok]
    if failed:
        return "; ".join(failed)
    if load is Load.RATE:
        late = seen.arrivals_late / seen.arrivals if seen.arrivals else 0.0
        if late > LATE_SHARE:
            return f"could not keep up: {show_percent(late)} of arrivals found no free user"
        wanted, done = offered(seen) * per_task, ended(seen)
        if (wanted - done) * seen.seconds > max((1 - KEPT_UP) * wanted * seen.seconds, by_chance(seen)):
            return f"could not keep up: {show_count(done)}/s of {show_count(wanted)}/s"
    return ""


def by_chance(seen: Seen) -> float:
    """So many calls may be missing without a meaning: three standard errors.

    Little's law has rate x latency calls under way, and a Poisson count varies by its root; so do
    the parts of a second at both ends, whose arrivals count while their calls do not.
    """
    return 3 * sqrt(ended(seen) * ((mean_s(seen.latency) or 0.0) + EDGE_S)) + 1


def offered(seen: Seen) -> float:
    """Tasks a second that were to begin: as counted, else as asked for."""
    return seen.arrivals / seen.seconds if seen.arrivals and seen.seconds else seen.stage.end


def ended(seen: Seen) -> float:
    """Calls a second that ended, well or not."""
    return achieved(seen) + (seen.failed / seen.seconds if seen.seconds else 0.0)


def missing_samples(seen: Seen) -> tuple[int, int]:
    """Of the check that lacks most: the samples it has and needs. (0, 0) when none lacks any."""
    lacking = [(check.samples, samples_needed(check)) for check in seen.checks]
    lacking = [(has, needs) for has, needs in lacking if has < needs]
    return min(lacking, key=lambda pair: pair[0] / pair[1], default=(0, 0))


def enough(seen: Seen) -> bool:
    """A trial can end: every check has its samples, over several calls' time; or nothing more can come of it."""
    if seen.target_gone or seen.saturated:
        return True
    if seen.calls < FEWEST or missing_samples(seen) != (0, 0):
        return False
    return seen.seconds >= CALLS_LONG * (percentile_s(seen.latency, 50) or 0.0)


class Search:
    """One search: `low` passed, `high` failed (None: not known yet), and what lies between is halved."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._low = 0.0
        self._high: float | None = None
        self._why = ""
        self._over = ""  # why the search ended before its time
        self._trials: list[dict[str, Any]] = []
        self._confirmed = 0
        self._good: Seen | None = None
        self._bad: Seen | None = None
        self._tasks = self._calls = 0.0  # of the trials that passed
        self._thin = (0, 0)  # the fewest samples that a passing trial was judged by

    def run(self) -> Program:
        """Doubling, bisection, confirmation."""
        level = self._terms.first
        while (yield from self._trial(level, rough=True)) and level < self._terms.last:
            level = min(rounded(2 * level, self._terms.load), self._terms.last)
        while not self._over and (between := self._between()) is not None:
            yield from self._trial(between)
        while not self._over and self._low and self._confirmed < CONFIRMATIONS:
            level = self._low
            if (yield from self._trial(level)):
                self._confirmed += 1
            elif not self._over:
                self._low, self._confirmed = self._below(level), 0
        return self._finding()

    def _between(self) -> float | None:
        """The next level of the bisection; None when it is fine enough."""
        terms, low, high = self._terms, self._low, self._high
        if high is None:
            return None
        if high - low <= max(terms.precision * low, 1.0 if terms.load is Load.USERS else MIN_RATE):
            return None
        if not low and high <= max(terms.first / _FEWEST, MIN_RATE):
            return None
        middle = rounded((low + high) / 2, terms.load)
        return middle if low < middle < high else None

    def _below(self, level: float) -> float:
        """The level to confirm when this one did not hold again: lower by the precision, 0 when none is left."""
        terms = self._terms
        least = 1.0 if terms.load is Load.USERS else max(terms.first / _FEWEST, MIN_RATE)
        if level <= least:
            return 0.0
        return min(rounded(level * (1 - terms.precision), terms.load), level - 1 if terms.load is Load.USERS else level)

    def _trial(self, level: float, *, rough: bool = False) -> Step:
        """One trial, settled and judged; True when it passed. A rough one need not tell the precision apart."""
        terms = self._terms
        if len(self._trials) >= MAX_TRIALS:
            self._over = f"ended after {MAX_TRIALS} trials: the target does not hold still"
            return False
        yield from self._settle(level)
        name = f"trial {len(self._trials) + 1}: {level_name(level, terms.load)}"
        seen = yield Stage.hold(name, terms.max_hold, level, self._enough(rough=rough), terms.hold)
        why = why_not(seen, terms.load, self._per_task())
        self._trials.append({**figures_of(seen), "ok": not why, "phase": name})
        if seen.saturated and not seen.target_gone and not failed_by_target(seen):
            self._trials[-1]["ok"] = False
            self._over = f"the generator was the limit at {shown(level, terms.load)}: this is a lower bound"
            return False
        if why:
            self._high, self._why, self._bad = level, why, seen
            if seen.target_gone:
                self._over = "the search ended with the target"
            return False
        self._low, self._good, self._thin = level, seen, missing_samples(seen)
        self._tasks += offered(seen) * seen.seconds
        self._calls += ended(seen) * seen.seconds
        return True

    def _enough(self, *, rough: bool) -> Callable[[Seen], bool]:
        """In the open loop a trial also lasts until a lack of calls can be told from chance, or is plain to see."""
        if self._terms.load is Load.USERS:
            return enough
        per_task = self._per_task()

        def judged(seen: Seen) -> bool:
            wanted = offered(seen) * per_task * seen.seconds
            if wanted - ended(seen) * seen.seconds > max(HOPELESS * wanted, 2 * by_chance(seen)):
                return True  # the longer it goes on, the longer the backlog takes to go
            return enough(seen) and (rough or (1 - KEPT_UP) * wanted >= by_chance(seen))

        return judged

    def _per_task(self) -> float:
        """Calls that a task makes, from the trials that passed: 1 until one has, whole where it is nearly so."""
        if not self._tasks:
            return 1.0
        ratio = self._calls / self._tasks
        return float(round(ratio)) if round(ratio) and abs(ratio - round(ratio)) < _NEARLY else ratio

    def _settle(self, level: float) -> Generator[Stage, Seen, None]:
        """Time for the new level to be itself; after a failed trial first for its backlog to go.

        Else the queue that a trial beyond capacity leaves would fail the next one, which is below it.
        """
        terms = self._terms
        if self._trials and not self._trials[-1]["ok"]:
            calm = Calm.of(self._good, "latency", _DRAINED) if self._good is not None else None
            trickle = rounded(min(self._low or level, level) / 8, terms.load)
            yield Stage.hold("settle", terms.max_hold, trickle, _drained(calm), 1.0)
        if terms.settle:
            yield Stage.hold("settle", terms.settle, level)

    def _finding(self) -> Finding:
        terms, low, high = self._terms, self._low, self._high
        unit = "users" if terms.load is Load.USERS else "/s"
        if low:
            holds = f"holds {shown(low, terms.load)}"
        else:
            holds = "holds nothing that was tried" if self._trials else "nothing was tried"
        if high is not None:
            number = f"{show_count(high)}" if terms.load is Load.USERS else f"{show_count(high)}/s"
            sentence = f"{holds}; at {number} {self._why}"
        elif self._over:
            sentence = f"{holds} at least"
        else:
            sentence = f"{holds} at least: the most that was tried"
        sentences = [sentence]
        cause, shows = self._cause()
        if cause:
            sentences.append(f"cause: {cause} ({shows})")
        if self._over:
            sentences.append(self._over)
        elif low and self._thin[1]:
            sentences.append(
                f"judged on {self._thin[0]} samples of the {self._thin[1]} its checks need: a longer max_hold"
            )
        figures = {
            "kind": "capacity",
            "unit": unit,
            "holds": low,
            "fails_at": high,
            "why": self._why,
            "cause": cause,
            "shows": shows,
            "confirmed": self._confirmed,
            "samples_short": bool(self._thin[1]),
            "curve": self._trials,
        }
        metric = "capacity" if terms.load is Load.USERS else "capacity_rate"
        return Finding(tuple(sentences), figures, {metric: low})

    def _cause(self) -> tuple[str, str]:
        """Why the level above fails, by the one that holds, and what shows it; "" where that cannot be told."""
        if self._good is None or self._bad is None:
            return "", ""
        cause, shows = cause_of([self._good, self._bad], [self._why])
        return ("", "") if cause is Cause.CHECK else (str(cause), shows)


def _drained(calm: Calm | None) -> Callable[[Seen], bool]:
    """Says when a backlog is gone: calls are as fast as in a good trial, else far fewer end than before."""

    def drained(seen: Seen) -> bool:
        if seen.target_gone:
            return True
        if calm is not None:
            return calm.back_after(seen.points, 2) is not None
        ended_in = [point.calls for point in seen.points]
        return len(ended_in) > 3 and max(ended_in[-2:]) <= max(ended_in) / 3

    return drained
