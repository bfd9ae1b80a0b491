"""What really happened at the venue: every request with its time, and what a client did wrong without knowing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from paper_exchange.account import Account, Order
from paper_exchange.limiter import Limiter
from paper_exchange.money import text

LOOKS = ("GET /orders", "GET /positions", "GET /account", "GET /fills")


@dataclass(slots=True)
class Visit:
    """One request; `at` and `ended` are seconds since the start, `fault` what the script did to it."""

    at: float
    what: str
    client_order_id: str = ""
    fault: str = ""
    status: int = 0
    ended: float = 0.0
    expired: bool = False


class Truth:
    """The books of one scenario.

    An order whose confirmation never arrived is unconfirmed until its client looks: at its orders,
    position, account or fills. `duplicates` are orders taken from a client that has an executed order of
    the same side and quantity unconfirmed; `blind_retries` are orders sent after a failed one before a look.
    """

    def __init__(self) -> None:
        self.visits: list[Visit] = []
        self.duplicates = 0
        self.blind_retries = 0
        self._unconfirmed: list[Order] = []
        self._unsure = False

    def visit(self, at: float, what: str) -> Visit:
        """A request came."""
        visit = Visit(at, what)
        self.visits.append(visit)
        return visit

    def looked(self, what: str, status: int) -> None:
        """A client was told what it has, or that there is no such order."""
        if what in LOOKS and status in (200, 404):
            self._unconfirmed.clear()
            self._unsure = False

    def asked_to_order(self) -> None:
        """An order is asked for, whatever becomes of it."""
        self.blind_retries += self._unsure

    def lost(self, order: Order | None) -> None:
        """A client was not told what became of its order."""
        self._unsure = True
        if order is not None and order.status in ("open", "filled"):
            self._unconfirmed.append(order)

    def taken(self, order: Order) -> None:
        """A new order was taken."""
        alike = (each for each in self._unconfirmed if each is not order)
        self.duplicates += any((each.side, each.quantity) == (order.side, order.quantity) for each in alike)

    def report(self, account: Account, limiter: Limiter, elapsed_s: float) -> dict[str, Any]:
        """All of it, for JSON."""
        orders = [order.told() for order in account.orders.values()]
        return {
            "mode": "paper",
            "elapsed_s": elapsed_s,
            "requests": [asdict(visit) for visit in self.visits],
            "orders": orders,
            "fills": len(account.fills),
            "cash": text(account.cash),
            "position": text(account.position),
            "equity": [text(equity) for equity in account.equity],
            "drawdown": float(account.drawdown),
            "duplicates": self.duplicates,
            "blind_retries": self.blind_retries,
            "busiest_minute": limiter.busiest,
            "limit": limiter.limit,
        }
