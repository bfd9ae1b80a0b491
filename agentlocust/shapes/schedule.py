"""When the tasks of one User class are to start on one worker, whatever has become of the ones before."""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from itertools import islice, zip_longest

from agentlocust.shapes.arrivals import Law

NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Start:
    """An intended start of a task: a monotonic instant, and what a trace says about it."""

    intended_ns: int
    payload: object | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A total rate per second that goes straight from `start` to `end` in `seconds`, and stays there."""

    seconds: float
    start: float
    end: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(number) and number >= 0 for number in (self.seconds, self.start, self.end)):
            raise ValueError(f"{self} holds a number that is negative or endless")

    @classmethod
    def hold(cls, rate: float) -> Segment:
        """One rate from now on."""
        return cls(0.0, rate, rate)

    def arrivals(self, seconds: float) -> float:
        """How many arrivals are expected in its first `seconds`: the integral of the rate."""
        ramp = min(seconds, self.seconds)
        slope = (self.end - self.start) / self.seconds if self.seconds else 0.0
        return ramp * (self.start + slope * ramp / 2) + self.end * (seconds - ramp)

    def when(self, arrivals: float) -> float | None:
        """After how many seconds so many are expected; None is never."""
        if arrivals <= 0:
            return 0.0
        ramp = self.arrivals(self.seconds)
        if arrivals > ramp:
            return self.seconds + (arrivals - ramp) / self.end if self.end else None
        # The root of slope/2 x² + start x = arrivals, in the form that loses no digits when the slope is small.
        slope = (self.end - self.start) / self.seconds if self.seconds else 0.0
        root = math.sqrt(max(0.0, self.start**2 + 2 * slope * arrivals))
        return min(2 * arrivals / (self.start + root), self.seconds)


class Source(ABC):
    """Starts in the order of time. `taken` is how many were taken."""

    def __init__(self) -> None:
        self.taken = 0
        self._settled: deque[Start] = deque()  # what lies in the past and no change of the load can move

    def next_ns(self) -> int | None:
        """The monotonic instant of the next start; None when none is in sight."""
        return self._settled[0].intended_ns if self._settled else self._peek()

    def take(self) -> Start:
        """The next start, which is then gone. Raises LookupError when there is none."""
        start = self._settled.popleft() if self._settled else self._pop()
        self.taken += 1
        return start

    def offered(self, until_ns: int) -> int:
        """How many starts were intended until an instant of the past, taken or not."""
        self._settle(until_ns)
        return self.taken + bisect_right(self._settled, until_ns, key=lambda start: start.intended_ns)

    @abstractmethod
    def reshare(self, at_ns: int, index: int, count: int) -> None:
        """From this instant on be worker `index` of `count`. All workers are told at the same time."""

    def _settle(self, until_ns: int) -> None:
        while (due := self._peek()) is not None and due <= until_ns:
            self._settled.append(self._pop())

    @abstractmethod
    def _peek(self) -> int | None: ...

    @abstractmethod
    def _pop(self) -> Start: ...


@dataclass(frozen=True, slots=True)
class _Leg:
    """A segment that is followed from an instant on, and how many arrivals were expected before."""

    at_ns: int
    before: float
    segment: Segment

    def expected(self, at_ns: int) -> float:
        return self.before + self.segment.arrivals(max(0, at_ns - self.at_ns) / NS)


class Schedule(Source):
    """One worker's share of arrivals whose gaps follow a law, at a rate that changes.

    The arrivals of all workers are one sequence: each draws all of it and takes every `count`-th from
    its `index` on. So they follow the law, and are the same, however many workers there are. For that
    every worker must be given an `rng` of the same seed (and each User class another).

    The unit-mean gaps are laid on the integral of the total rate (time-rescaling: Brown et al., Neural
    Computation 14, 2002), so a gap that a change of the rate falls into is stretched or shrunk from
    there on, exactly, and nothing drifts.
    """

    def __init__(self, law: Law, rng: random.Random, *, share: tuple[int, int] = (0, 1)) -> None:
        super().__init__()
        self._law = law
        self._seed = rng.getrandbits(64)
        self._legs: deque[_Leg] = deque()
        self._last_ns = 0
        self._next: int | None = None
        self._known = False
        self._deal(0.0, *share)

    def follow(self, at_ns: int, segment: Segment) -> None:
        """From this instant on the total rate is the segment's. Instants come in order."""
        if self._legs:
            at_ns = max(at_ns, self._legs[-1].at_ns)
        self._legs.append(_Leg(at_ns, self._expected(at_ns), segment))
        self._forget(at_ns)
        self._known = False

    def reshare(self, at_ns: int, index: int, count: int) -> None:
        """From this instant on be worker `index` of `count`: a new sequence, the same on all of them.

        A worker that comes then is made with this share and follows the rate from the same instant.
        """
        self._settle(at_ns)
        self._deal(self._expected(at_ns), index, count)

    def _deal(self, origin: float, index: int, count: int) -> None:
        if not 0 <= index < count:
            raise ValueError(f"there is no worker {index} of {count}")
        self._count = count
        self._rng = random.Random(f"{self._seed}/{count}")  # what one who comes knows as well
        self._origin = origin
        self._ahead = self._law.first(self._rng) + self._gaps(index)
        self._known = False

    def _gaps(self, number: int) -> float:
        return sum(self._law.gap(self._rng) for _ in range(number))

    def _expected(self, at_ns: int) -> float:
        """The integral of the total rate until an instant."""
        for leg in reversed(self._legs):
            if leg.at_ns <= at_ns:
                return leg.expected(at_ns)
        return self._legs[0].before if self._legs else 0.0

    def _peek(self) -> int | None:
        if not self._known:
            self._next, self._known = self._find(), True
        return self._next

    def _pop(self) -> Start:
        due = self._peek()
        if due is None:
            raise LookupError("no start is in sight")
        self._last_ns = due
        self._ahead += self._gaps(self._count)
        self._known = False
        self._forget(due)
        return Start(due)

    def _find(self) -> int | None:
        target = self._origin + self._ahead
        for leg, later in zip_longest(self._legs, islice(self._legs, 1, None)):
            if later is not None and target > later.before:
                continue
            seconds = leg.segment.when(target - leg.before)
            if seconds is None:
                if later is None:
                    return None
                seconds = leg.segment.seconds  # a rounding error carried it over the leg's end
            return max(leg.at_ns + round(seconds * NS), self._last_ns)
        return None

    def _forget(self, now_ns: int) -> None:
        """Drop the legs that hold neither this instant nor the next start."""
        legs, target = self._legs, self._origin + self._ahead
        while len(legs) > 1 and legs[1].at_ns <= now_ns and legs[1].before < target:
            legs.popleft()
