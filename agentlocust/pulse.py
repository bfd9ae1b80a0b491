"""A test by tenths of a second, as exact and mergeable as its Ledger: what a recovery and a storm are seen in."""

from __future__ import annotations

from typing import Any

from agentlocust.rows import Row

TENTH = 0.1  # seconds
MAX_BINS = 18_000  # half an hour of tenths before two become one


class Pulse:
    """Rows by tenth of a second; `width` tenths make a bin, more in a long test."""

    def __init__(self) -> None:
        self.bins: dict[int, Row] = {}
        self.width = 1

    def __bool__(self) -> bool:
        return bool(self.bins)

    @property
    def step_s(self) -> float:
        """How long a bin is, in seconds."""
        return self.width * TENTH

    def at(self, second: float) -> Row:
        """The row of the bin that holds a second of the test."""
        return self._bin(int(second / TENTH))

    def take(self) -> list[Any]:
        """All since the last take, as ints and strings."""
        taken = [[index * self.width, row.encode()] for index, row in self.bins.items()]
        self.clear()
        return taken

    def merge(self, taken: list[Any]) -> None:
        """Add what another's `take` returned."""
        for tenth, row in taken:
            self._bin(tenth).merge(Row.decode(row))

    def clear(self) -> None:
        """Forget everything."""
        self.bins = {}
        self.width = 1

    def _bin(self, tenth: int) -> Row:
        tenth = max(tenth, 0)
        row = self.bins.get(tenth // self.width)
        if row is None:
            # No more halving than it takes, so that the order of reports is of no matter.
            while len(self.bins) >= MAX_BINS and tenth // self.width not in self.bins:
                halved: dict[int, Row] = {}
                for index, held in self.bins.items():
                    halved.setdefault(index // 2, Row()).merge(held)
                self.bins = halved
                self.width *= 2
            row = self.bins.setdefault(tenth // self.width, Row())
        return row
