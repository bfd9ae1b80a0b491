"""How well the generator itself did: each second's grade, and the test's.

The thresholds were measured, see `monitor/README.md`: what they call saturated is a generator
whose own delays would be taken for the target's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, field
from enum import StrEnum

from agentlocust.sketch import Sketch

STRAINED_LAG_NS = 15_000_000
SATURATED_LAG_NS = 50_000_000
STRAINED_CPU = 750  # thousandths of the one core a hub can use
SATURATED_CPU = 950
FULL_MACHINE = 970  # thousandths of the machine: nothing is left for a hub that is late
STEAL = 100  # thousandths of the machine that its host took
BAD_IN_A_ROW = 3
BAD_SHARE = 0.05
MAX_STEPS = 3600  # kept of the series; beyond it two become one


class Grade(StrEnum):
    """What a second, or a test, of the generator was like."""

    VALID = "valid"
    STRAINED = "strained"
    SATURATED = "saturated"


_ORDER = list(Grade)


@dataclass(frozen=True, slots=True)
class Second:
    """One process's second: nanoseconds of hub lag, thousandths of CPU, open sockets, bytes of memory.

    `cpu` is of one core, `machine_cpu` and `steal` of the whole machine. `fds` are file descriptors.
    """

    second: int
    lag_p99_ns: int
    lag_max_ns: int
    cpu: int
    machine_cpu: int
    steal: int
    sockets: int
    rss: int
    threads: int = 0
    fds: int = 0

    @property
    def grade(self) -> Grade:
        """The worse of what its lag and its CPU say."""
        starved = self.machine_cpu >= FULL_MACHINE and self.lag_p99_ns >= STRAINED_LAG_NS
        if self.lag_p99_ns >= SATURATED_LAG_NS or self.cpu >= SATURATED_CPU or starved:
            return Grade.SATURATED
        if self.lag_p99_ns >= STRAINED_LAG_NS or self.cpu >= STRAINED_CPU:
            return Grade.STRAINED
        return Grade.VALID

    def encode(self) -> list[int]:
        """The second as ints."""
        return list(astuple(self))


@dataclass(slots=True)
class Tally:
    """Counts of one process's seconds by grade, with its streaks of bad ones."""

    seconds: int = 0
    strained: int = 0
    saturated: int = 0
    stolen: int = 0
    worst: Second | None = None
    strained_streak: int = 0
    saturated_streak: int = 0
    cpu: int = 0  # summed, of each second
    in_a_row: bool = False
    strained_in_a_row: bool = False

    def add(self, second: Second) -> None:
        """Count one more second, in order."""
        grade = second.grade
        self.seconds += 1
        self.cpu += second.cpu
        self.stolen += second.steal >= STEAL
        self.strained += grade is not Grade.VALID
        self.saturated += grade is Grade.SATURATED
        self.strained_streak = self.strained_streak + 1 if grade is not Grade.VALID else 0
        self.saturated_streak = self.saturated_streak + 1 if grade is Grade.SATURATED else 0
        self.strained_in_a_row |= self.strained_streak >= BAD_IN_A_ROW
        self.in_a_row |= self.saturated_streak >= BAD_IN_A_ROW
        if self.worst is None or _badness(second) > _badness(self.worst):
            self.worst = second

    @property
    def bad(self) -> int:
        """How many seconds earned it its grade."""
        return self.saturated if self.grade is Grade.SATURATED else self.strained

    @property
    def grade(self) -> Grade:
        """Three bad seconds in a row, or a twentieth of all (and three at least), make a bad test."""
        if self.in_a_row or self._many(self.saturated):
            return Grade.SATURATED
        return Grade.STRAINED if self.strained_in_a_row or self._many(self.strained) else Grade.VALID

    def _many(self, bad: int) -> bool:
        return bad >= BAD_IN_A_ROW and bad >= BAD_SHARE * self.seconds


@dataclass(slots=True)
class Health:
    """The health of every process that made load in one test.

    `by_second` holds the worst of each step of `width` seconds, by its number.
    """

    tallies: dict[str, Tally] = field(default_factory=dict)
    lag: Sketch = field(default_factory=Sketch)
    by_second: dict[int, Second] = field(default_factory=dict)
    stamps: dict[str, int] = field(default_factory=dict)
    width: int = 1

    def add(self, process: str, seconds: Iterable[Sequence[int]], lag: Sketch, stamps: dict[str, int]) -> None:
        """Take what a process tells: its new seconds in order, its lags, how its bytes were stamped."""
        tally = self.tallies.setdefault(process, Tally())
        for encoded in seconds:
            second = Second(*encoded)
            tally.add(second)
            self._keep(second)
        self.lag.merge(lag)
        for clock, n in stamps.items():
            self.stamps[clock] = self.stamps.get(clock, 0) + n

    def _keep(self, second: Second) -> None:
        step = second.second // self.width
        known = self.by_second.get(step)
        if known is None:
            self.by_second[step] = second
        elif known.second == second.second:
            self.by_second[step] = _together(known, second)
        else:
            self.by_second[step] = max(known, second, key=_badness)
        if len(self.by_second) > MAX_STEPS:
            seconds, self.by_second = list(self.by_second.values()), {}
            self.width *= 2
            for kept in seconds:
                self._keep(kept)

    def clear(self) -> None:
        """Forget everything."""
        self.tallies.clear()
        self.width = 1
        self.lag = Sketch()
        self.by_second.clear()
        self.stamps.clear()

    @property
    def cpu_mean(self) -> float:
        """Thousandths of one core that a process used in a second, on average."""
        seconds = sum(tally.seconds for tally in self.tallies.values())
        return sum(tally.cpu for tally in self.tallies.values()) / seconds if seconds else 0.0

    @property
    def grade(self) -> Grade:
        """The worst process's grade: one that lies is enough."""
        return max((tally.grade for tally in self.tallies.values()), key=_ORDER.index, default=Grade.VALID)

    @property
    def worst(self) -> Second | None:
        """The worst second of all processes."""
        found = [tally.worst for tally in self.tallies.values() if tally.worst is not None]
        return max(found, key=_badness, default=None)

    def reason(self) -> str:
        """Why the grade is not `valid`, and what to do; "" when it is."""
        grade = self.grade
        if grade is Grade.VALID:
            return ""
        guilty = [tally for tally in self.tallies.values() if tally.grade is grade]
        worst = max(guilty, key=lambda tally: (tally.bad, tally.seconds, tally.worst and _badness(tally.worst)))
        where = f" in {len(guilty)} of {len(self.tallies)} processes" if len(self.tallies) > 1 else ""
        peak = ""
        if worst.worst is not None:
            peak = f", worst lag {worst.worst.lag_max_ns / 1e6:.0f} ms at {worst.worst.cpu / 10:.0f}% CPU"
        # All share the machine or stand alone on theirs: the sum over processes would count a second often.
        stolen = max(tally.stolen for tally in guilty)
        host = f"; the machine's host stole CPU in {stolen} s" if stolen else ""
        advice = "use --processes, more machines or fewer users"
        return f"the generator was {grade} for {worst.bad} of {worst.seconds} s{where}{peak}{host}: {advice}"


def _badness(second: Second) -> tuple[int, int, int, list[int]]:
    """Total, so that the order of reports is of no matter."""
    return second.lag_max_ns, second.cpu, -second.second, second.encode()


def _together(one: Second, other: Second) -> Second:
    """The same second of two processes: the worse lag and CPU, the sum of what they hold."""
    return Second(
        one.second,
        max(one.lag_p99_ns, other.lag_p99_ns),
        max(one.lag_max_ns, other.lag_max_ns),
        max(one.cpu, other.cpu),
        max(one.machine_cpu, other.machine_cpu),
        max(one.steal, other.steal),
        one.sockets + other.sockets,
        one.rss + other.rss,
        one.threads + other.threads,
        one.fds + other.fds,
    )
