"""A mergeable percentile sketch: logarithmic buckets within 1% of the exact value, exact sums.

The idea is DDSketch's (Masson, Rim, Lee, VLDB 2019): bucket i holds the values in
(gamma^(i-1), gamma^i], so its middle is within `RELATIVE_ERROR` of each of them. Values are
integers (nanoseconds, pico-dollars, tokens), so count, sum, min and max are exact and merging
is exactly associative and commutative.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, log

RELATIVE_ERROR = 0.005  # 1% is promised; half of it keeps a difference of two percentiles within that too
GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_PER_LOG = 1 / log(GAMMA)
_ZERO = -1  # the bucket of 0; below it, mirrored, those of negative values


def bucket_of(value: int) -> int:
    """The index of the bucket that holds `value`; the order of indexes is that of values."""
    if value > 0:
        return ceil(log(value) * _PER_LOG)
    if value == 0:
        return _ZERO
    return _ZERO - 1 - ceil(log(-value) * _PER_LOG)


def middle_of(bucket: int) -> float:
    """The value that stands for a bucket."""
    if bucket > _ZERO:
        return float(2 * GAMMA**bucket / (GAMMA + 1))
    if bucket == _ZERO:
        return 0.0
    return -float(2 * GAMMA ** (_ZERO - 1 - bucket) / (GAMMA + 1))


class Sketch:
    """Counts of integer values by bucket, with exact count, sum, min and max."""

    __slots__ = ("buckets", "count", "max", "min", "sum")

    def __init__(self) -> None:
        self.count = 0
        self.sum = 0
        self.min = 0
        self.max = 0
        self.buckets: dict[int, int] = {}

    def add(self, value: int, _ceil=ceil, _log=log) -> None:  # type: ignore[no-untyped-def]  # bound for speed
        """Record one value."""
        bucket = _ceil(_log(value) * _PER_LOG) if value > 0 else bucket_of(value)
        buckets = self.buckets
        buckets[bucket] = buckets.get(bucket, 0) + 1
        if self.count:
            if value < self.min:
                self.min = value
            elif value > self.max:
                self.max = value
        else:
            self.min = self.max = value
        self.count += 1
        self.sum += value

    def extend(self, values: Iterable[int]) -> None:
        """Record many values: at once they cost half."""
        values = list(values)
        if not values:
            return
        buckets = self.buckets
        for value in values:
            bucket = ceil(log(value) * _PER_LOG) if value > 0 else bucket_of(value)
            buckets[bucket] = buckets.get(bucket, 0) + 1
        low, high = min(values), max(values)
        if self.count:
            low, high = min(low, self.min), max(high, self.max)
        self.min, self.max = low, high
        self.count += len(values)
        self.sum += sum(values)

    def merge(self, other: Sketch) -> None:
        """Add all that `other` holds; equal to having recorded its values here."""
        if not other.count:
            return
        if self.count:
            self.min = min(self.min, other.min)
            self.max = max(self.max, other.max)
        else:
            self.min, self.max = other.min, other.max
        self.count += other.count
        self.sum += other.sum
        buckets = self.buckets
        for bucket, count in other.buckets.items():
            buckets[bucket] = buckets.get(bucket, 0) + count

    def percentile(self, p: float) -> float:
        """The nearest-rank percentile (0 < p <= 100), within 1% of the exact one; nan when empty."""
        if not self.count:
            return float("nan")
        rank = min(max(ceil(round(p / 100 * self.count, 9)), 1), self.count)
        if rank == 1:
            return float(self.min)
        if rank == self.count:
            return float(self.max)
        seen = 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= rank:
                return min(max(middle_of(bucket), float(self.min)), float(self.max))
        return float(self.max)

    @property
    def mean(self) -> float:
        """The exact mean; nan when empty."""
        return self.sum / self.count if self.count else float("nan")

    def count_at_most(self, value: int) -> int:
        """How many recorded values lie in buckets up to that of `value`."""
        last = bucket_of(value)
        return sum(count for bucket, count in self.buckets.items() if bucket <= last)

    def encode(self) -> list[int]:
        """The sketch as a flat list of ints: count, sum, min, max, then bucket and count in order."""
        flat = [self.count, self.sum, self.min, self.max]
        for bucket in sorted(self.buckets):
            flat += (bucket, self.buckets[bucket])
        return flat

    @classmethod
    def decode(cls, flat: Sequence[int]) -> Sketch:
        """The sketch that `encode` wrote."""
        sketch = cls()
        sketch.count, sketch.sum, sketch.min, sketch.max = flat[:4]
        sketch.buckets = dict(zip(flat[4::2], flat[5::2], strict=True))
        return sketch

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sketch) and self.encode() == other.encode()

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"<Sketch of {self.count} values>"
