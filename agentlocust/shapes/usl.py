"""Gunther's Universal Scalability Law, fitted to measurements.

X(N) = lam N / (1 + sigma (N-1) + kappa N (N-1)): sigma is the share of work that waits in line,
kappa the price of keeping N in step with each other (N. J. Gunther, Guerrilla Capacity Planning, 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

Row = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Law:
    """The law with its coefficients: `lam` is the throughput of one, `error` the mean relative misfit."""

    lam: float
    sigma: float
    kappa: float
    error: float = 0.0

    def throughput(self, n: float) -> float:
        """What `n` together achieve."""
        return self.lam * n / (1 + self.sigma * (n - 1) + self.kappa * n * (n - 1))

    @property
    def peak(self) -> float | None:
        """The N of the highest throughput, sqrt((1-sigma)/kappa), at least 1; None when more always do more."""
        if not self.kappa:
            return None if self.sigma < 1 else 1.0
        return max(sqrt(max(1 - self.sigma, 0.0) / self.kappa), 1.0)

    @property
    def most(self) -> float | None:
        """The highest throughput: at the peak, or the limit lam/sigma; None when it has no bound."""
        if self.peak is not None:
            return self.throughput(self.peak)
        return self.lam / self.sigma if self.sigma else None


def fit(measured: Sequence[tuple[float, float]]) -> Law | None:
    """The law that comes nearest to (N, throughput) pairs, neither coefficient negative; None for less than three N.

    N/X is linear in 1/lam, sigma/lam and kappa/lam. Weighted by X/N, least squares make the relative misfit
    smallest, and the best of the four cases "sigma or kappa is 0" is the exact answer under the bounds.
    """
    pairs = [(n, x) for n, x in measured if n > 0 and x > 0]
    if len({n for n, _ in pairs}) < 3:
        return None
    # Each row divided by its N/X: the right-hand side is then 1 throughout.
    rows = [(x / n, (n - 1) * x / n, (n - 1) * x) for n, x in pairs]
    found: tuple[float, Law] | None = None
    for columns in ((0, 1, 2), (0, 1), (0, 2), (0,)):
        solved = _least_squares([tuple(row[column] for column in columns) for row in rows])
        if solved is None or solved[0] <= 0 or min(solved) < 0:
            continue
        whole = dict(zip(columns, solved, strict=True))
        misfit = sum((sum(row[column] * whole[column] for column in columns) - 1) ** 2 for row in rows)
        law = Law(1 / whole[0], whole.get(1, 0.0) / whole[0], whole.get(2, 0.0) / whole[0], sqrt(misfit / len(rows)))
        if found is None or misfit < found[0] - 1e-15:
            found = misfit, law
    return found[1] if found else None


def _least_squares(rows: Sequence[Row]) -> Row | None:
    """The b for which rows·b is nearest to 1; None when the columns do not tell. Modified Gram-Schmidt."""
    width = len(rows[0])
    columns = [[row[index] for row in rows] for index in range(width)]
    right = [1.0] * len(rows)
    upper = [[0.0] * width for _ in range(width)]
    projected = [0.0] * width
    for index, column in enumerate(columns):
        before = sqrt(sum(value * value for value in column))
        for earlier in range(index):
            upper[earlier][index] = _dot(columns[earlier], column)
            column[:] = [v - upper[earlier][index] * q for v, q in zip(column, columns[earlier], strict=True)]
        length = sqrt(_dot(column, column))
        if length <= 1e-12 * before or not length:
            return None
        upper[index][index] = length
        column[:] = [value / length for value in column]
        projected[index] = _dot(column, right)
        right = [r - projected[index] * q for r, q in zip(right, column, strict=True)]
    solved = [0.0] * width
    for index in reversed(range(width)):
        rest = sum(upper[index][later] * solved[later] for later in range(index + 1, width))
        solved[index] = (projected[index] - rest) / upper[index][index]
    return tuple(solved)


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))
