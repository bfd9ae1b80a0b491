"""The account: cash, a position, orders and fills, all in decimals; orders are matched against the session's price."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from paper_exchange.market import SYMBOL
from paper_exchange.money import amount, rounded, text

FEE = Decimal("0.0005")
SLIPPAGE = Decimal("0.0005")  # what a market order pays for not naming a price


class Refused(Exception):
    """An order that is not taken; nothing was done."""


@dataclass(slots=True)
class Order:
    """One order; `signed_at` and the other times are seconds since 1970."""

    id: int
    client_order_id: str
    side: str
    type: str
    quantity: Decimal
    limit_price: Decimal | None
    signed_at: float
    valid_until: float | None
    in_crash: bool = False
    status: str = "open"
    average_price: Decimal = Decimal(0)
    executed_at: float | None = None
    stalled: bool = False

    def told(self) -> dict[str, Any]:
        """The order as it is sent."""
        return {
            "id": self.id,
            "client_order_id": self.client_order_id,
            "symbol": SYMBOL,
            "side": self.side,
            "type": self.type,
            "quantity": text(self.quantity),
            "limit_price": None if self.limit_price is None else text(self.limit_price),
            "status": self.status,
            "average_price": text(self.average_price),
            "signed_at": self.signed_at,
            "executed_at": self.executed_at,
            "in_crash": self.in_crash,
            "mode": "paper",
        }


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution."""

    id: int
    order_id: int
    side: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    at: float

    @property
    def cash(self) -> Decimal:
        """What it adds to the cash: exactly, at sixteen places."""
        value = self.quantity * self.price
        return (value if self.side == "sell" else -value) - self.fee

    def told(self) -> dict[str, Any]:
        """The fill as it is sent."""
        numbers = {"quantity": text(self.quantity), "price": text(self.price), "fee": text(self.fee)}
        return {"id": self.id, "order_id": self.order_id, "side": self.side, "at": self.at, **numbers}


class Account:
    """What one client has and has ordered. It can neither borrow nor sell what it does not have."""

    def __init__(self, cash: Decimal, position: Decimal = Decimal(0)) -> None:
        self.cash = cash
        self.position = position
        self.orders: dict[str, Order] = {}
        self.fills: list[Fill] = []
        self.equity: list[Decimal] = []  # one a tick
        self.cancelled_early: set[str] = set()

    def marked(self, price: Decimal) -> Decimal:
        """Cash and position at a price."""
        return self.cash + self.position * price

    @property
    def drawdown(self) -> Decimal:
        """The deepest fall from a peak, as a share of it."""
        peak, worst = Decimal(0), Decimal(0)
        for equity in self.equity:
            peak = max(peak, equity)
            worst = max(worst, 1 - equity / peak)
        return worst

    def place(
        self, asked: Mapping[str, Any], *, price: Decimal, now: float, signed_at: float, in_crash: bool = False
    ) -> Order:
        """Take an order, or return the one of that `client_order_id`. Raises Refused and ValueError."""
        client_id = asked.get("client_order_id")
        if not isinstance(client_id, str) or not 0 < len(client_id) <= 64:
            raise ValueError("client_order_id is text of 1 to 64 characters")
        if client_id in self.orders:
            return self.orders[client_id]
        side, kind, until = asked.get("side"), asked.get("type", "market"), asked.get("valid_until")
        if side not in ("buy", "sell") or kind not in ("market", "limit") or asked.get("symbol") != SYMBOL:
            raise ValueError(f"an order has side buy or sell, type market or limit, and symbol {SYMBOL}")
        if until is not None and (isinstance(until, bool) or not isinstance(until, int | float)):
            raise ValueError("valid_until is in seconds since 1970")
        quantity = amount(asked.get("quantity"), "quantity")
        limit = amount(asked.get("limit_price"), "limit_price") if kind == "limit" else None
        order = Order(len(self.orders) + 1, client_id, side, kind, quantity, limit, signed_at, until, in_crash)
        if client_id in self.cancelled_early:
            order.status = "cancelled"
        elif until is not None and now > until:
            order.status = "expired"
        elif side == "buy" and self.cash < quantity * (limit or price) * (1 + FEE):
            raise Refused("not enough cash")
        elif side == "sell" and self.position < quantity:
            raise Refused("not enough to sell")
        self.orders[client_id] = order
        return order

    def match(self, order: Order, price: Decimal, now: float, pieces: int = 1) -> None:
        """Execute an open order if its price is met, in one piece or in many."""
        if order.status != "open" or order.stalled:
            return
        if order.valid_until is not None and now > order.valid_until:
            order.status = "expired"
            return
        buys = order.side == "buy"
        if order.limit_price is None:
            paid = rounded(price * (1 + SLIPPAGE if buys else 1 - SLIPPAGE))
        elif (price <= order.limit_price) if buys else (price >= order.limit_price):
            paid = price
        else:
            return
        short = buys and self.cash < order.quantity * paid * (1 + FEE)
        if short or (not buys and self.position < order.quantity):
            order.status = "rejected"  # the money went elsewhere while it waited
            return
        each = rounded(order.quantity / pieces)
        for number in range(pieces):
            part = order.quantity - each * (pieces - 1) if number == pieces - 1 else each
            # Pieces are executed at prices a little apart, as in a book.
            at = paid - Decimal(number % 97) / 10_000 if pieces > 1 else paid
            self._fill(order, part, at, now)
        order.status, order.executed_at, order.average_price = "filled", now, paid

    def _fill(self, order: Order, quantity: Decimal, price: Decimal, now: float) -> None:
        fee = rounded(quantity * price * FEE)
        fill = Fill(len(self.fills) + 1, order.id, order.side, quantity, price, fee, now)
        self.fills.append(fill)
        self.cash += fill.cash
        self.position += quantity if order.side == "buy" else -quantity

    def tick(self, price: Decimal, now: float) -> None:
        """A new price: open orders may execute, and the account has a new value."""
        for order in self.orders.values():
            self.match(order, price, now)
        self.equity.append(self.marked(price))

    def cancel(self, client_id: str) -> Order | None:
        """Cancel an open order; one that has not come yet will be cancelled when it does."""
        order = self.orders.get(client_id)
        if order is None:
            self.cancelled_early.add(client_id)
        elif order.status == "open":
            order.status = "cancelled"
        return order
