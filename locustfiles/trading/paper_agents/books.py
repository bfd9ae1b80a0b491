"""The agent's own books, in decimals: each fill is entered once, in the order of their numbers."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from paper_agents.venue_client import Execution, Unsure


class Books:
    """Cash and position as they follow from the opening and the fills since."""

    def __init__(self) -> None:
        self.cash = self.position = Decimal(0)
        self.opening: Decimal | None = None
        self.last_fill = 0

    def open(self, cash: Decimal, position: Decimal, price: Decimal) -> None:
        """Begin the day."""
        self.cash, self.position = cash, position
        self.opening = self.equity(price)

    def equity(self, price: Decimal) -> Decimal:
        """What all of it is worth."""
        return self.cash + self.position * price

    def pull(self, page: Callable[[int], list[Execution]]) -> int:
        """Enter the fills that are new; returns how many. Raises what `page` raises, and Unsure for a gap."""
        entered = 0
        while fills := page(self.last_fill):
            for fill in fills:
                if fill.id != self.last_fill + 1:
                    raise Unsure(f"fill {fill.id} follows {self.last_fill}")
                self._enter(fill)
                entered += 1
        return entered

    def _enter(self, fill: Execution) -> None:
        value, buys = fill.quantity * fill.price, fill.side == "buy"
        self.cash += (-value if buys else value) - fill.fee
        self.position += fill.quantity if buys else -fill.quantity
        self.last_fill = fill.id
