"""A figure over time in bounded memory: exact extremes and mean, percentiles, and a thinned-out course."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from operator import add
from typing import Any

from agentlocust.sketch import Sketch

MAX_POINTS = 1200
SHOWN_POINTS = 240  # of a series in a document


@dataclass(frozen=True, slots=True)
class Span:
    """One or more values in a row: their number, sums of times (seconds) and of values, and extremes."""

    n: int
    t: float
    total: int
    low: int
    high: int

    @property
    def at(self) -> float:
        """When they were read, on average."""
        return self.t / self.n

    @property
    def mean(self) -> float:
        """Their mean, exact."""
        return self.total / self.n


class Series:
    """Integers of 64 bits over time. Never holds more than `max_points` spans: a full one is halved, two become one.

    Halving keeps the sum, the number and the extremes of all values: no peak is lost, only its moment
    is told less sharply. Percentiles are over readings, within 1%.
    """

    __slots__ = ("_columns", "_max_points", "_sketch")

    def __init__(self, max_points: int = MAX_POINTS) -> None:
        self._max_points = max(max_points, 2)
        self._sketch = Sketch()
        self._columns = _Columns()

    def add(self, t: float, value: int) -> None:
        """One more value, read `t` seconds from the start; times only grow."""
        columns = self._columns
        if len(columns.n) >= self._max_points:
            columns = self._columns = columns.halved()
        self._sketch.add(value)
        columns.n.append(1)
        columns.t.append(t)
        columns.total.append(value)
        columns.low.append(value)
        columns.high.append(value)

    def halve(self) -> None:
        """Make one span of each two: about 0.2 ms for a full series."""
        self._columns = self._columns.halved()

    @property
    def nearly_full(self) -> bool:
        """True from seven eighths on: whoever holds many series can halve them one by one, not all at once."""
        return len(self._columns.n) * 8 >= self._max_points * 7

    @property
    def spans(self) -> Sequence[Span]:
        """The course, in order."""
        return self._columns.spans()

    @property
    def count(self) -> int:
        """How many values were added."""
        return self._sketch.count

    def __len__(self) -> int:
        """How many spans there are."""
        return len(self._columns.n)

    def points(self) -> list[tuple[float, float]]:
        """(seconds, mean) of each span: what a trend test reads."""
        return [(span.at, span.mean) for span in self.spans]

    def encode(self, most: int = SHOWN_POINTS) -> dict[str, Any]:
        """The series for a document, in ints (the mean rounded), {} when it is empty.

        `points` are at most `most` pairs of seconds and mean; when they stand for several values each,
        `low` and `high` hold their extremes in the same order.
        """
        if not self.count:
            return {}
        columns = self._columns
        while len(columns.n) > max(most, 2):
            columns = columns.halved()
        spans = columns.spans()
        told: dict[str, Any] = {
            "min": self._sketch.min,
            "max": self._sketch.max,
            "mean": round(self._sketch.mean),
            "p95": round(self._sketch.percentile(95)),
            "p99": round(self._sketch.percentile(99)),
            "points": [[round(span.at, 2), round(span.mean)] for span in spans],
        }
        if any(span.n > 1 for span in spans):
            told["low"] = [span.low for span in spans]
            told["high"] = [span.high for span in spans]
        return told


class _Columns:
    """Spans, a field a column.

    An object each would be seventy thousand for sixty series, and Python's garbage collector would
    hold the hub for 25 ms to look at them.
    """

    __slots__ = ("high", "low", "n", "t", "total")

    def __init__(self) -> None:
        self.n = array("q")
        self.t = array("d")
        self.total: list[int] = []  # a sum may need more than 64 bits
        self.low = array("q")
        self.high = array("q")

    def halved(self) -> _Columns:
        """Each two made one; the last of an odd number stays as it is."""
        even, made = len(self.n) // 2 * 2, _Columns()
        made.n.extend(map(add, self.n[:even:2], self.n[1:even:2]))
        made.t.extend(map(add, self.t[:even:2], self.t[1:even:2]))
        made.total.extend(map(add, self.total[:even:2], self.total[1:even:2]))
        made.low.extend(map(min, self.low[:even:2], self.low[1:even:2]))
        made.high.extend(map(max, self.high[:even:2], self.high[1:even:2]))
        made.n.extend(self.n[even:])
        made.t.extend(self.t[even:])
        made.total.extend(self.total[even:])
        made.low.extend(self.low[even:])
        made.high.extend(self.high[even:])
        return made

    def spans(self) -> list[Span]:
        """As values."""
        return list(map(Span, self.n, self.t, self.total, self.low, self.high))
