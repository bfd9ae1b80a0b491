"""The market: a recorded session of prices, one a tick, and where in it we are."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

SYMBOL = "BTC-USD"
SESSIONS = Path(__file__).parent / "sessions"


@dataclass(frozen=True, slots=True)
class Session:
    """Prices a second apart; `advice` is what a model said at the time, "" where it was not asked."""

    name: str
    prices: tuple[Decimal, ...]
    advice: tuple[str, ...]

    @classmethod
    def load(cls, name: str) -> Session:
        """A session of the folder beside this file. Raises ValueError."""
        path = SESSIONS / f"{name}.csv"
        if path.parent != SESSIONS or not path.is_file():
            known = ", ".join(sorted(each.stem for each in SESSIONS.glob("*.csv")))
            raise ValueError(f"no session {name!r}; there are {known}")
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return cls(name, tuple(Decimal(row["price"]) for row in rows), tuple(row["advice"] for row in rows))

    def price(self, elapsed_s: float) -> Decimal:
        """The price so long after the start; the last one stays."""
        return self.prices[self.tick(elapsed_s)]

    def tick(self, elapsed_s: float) -> int:
        """The number of the tick that is in force."""
        return min(max(int(elapsed_s + 1e-9), 0), len(self.prices) - 1)

    def is_crashing(self, elapsed_s: float, *, share: Decimal = Decimal("0.05"), within_s: int = 30) -> bool:
        """True when the price stands `share` or more below its highest of the last seconds."""
        now = self.tick(elapsed_s)
        highest = max(self.prices[max(now - within_s, 0) : now + 1])
        return self.prices[now] <= highest * (1 - share)
