"""An agent with the faults that agents have: it obeys the model, believes what it sent, and retries at once."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from decimal import Decimal
from typing import Any
from uuid import uuid4

from paper_exchange.signing import signed_headers

from paper_agents.desk import Desk

TRIES = 50


class CarelessAgent:
    """Fails every scenario, each for a reason that is told where it stands."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._money: float | None = None
        self._decided = float("-inf")
        self._position = 0.0
        self._price = 0.0
        self._fill = 0

    @property
    def cash(self) -> Decimal:
        """Its books are floats, rounded to cents with every trade."""
        return Decimal(str(self._money or 0.0))

    def tick(self) -> None:
        """Polls everything, each tick, and does what the model says."""
        account = json.loads(self._ask("GET", "/account"))  # whatever came: it may be no reply
        self._ask("GET", "/positions")
        self._ask("GET", "/orders")
        self._price = price = float(json.loads(self._ask("GET", "/ticker")).get("price", self._price))
        if self._money is None:
            self._money, self._position = float(account["cash"]), float(account["position"])
        self._desk.log.info("the price is %s", price)  # a log that fails ends the agent
        if self._desk.clock.monotonic() - self._decided >= self._desk.limits.decide_every_s:
            self._decided = self._desk.clock.monotonic()
            advice = self._desk.advise(f"{self._desk.symbol} is at {price}. Buy, sell or hold?")
            if advice in ("buy", "sell"):
                self._trade(advice, price)

    def _trade(self, side: str, price: float) -> None:
        """By the market, with half of what there is, whatever was lost; never looks what became of it."""
        worth = (self._money or 0.0) * 0.5 if side == "buy" else self._position * price * 0.5
        quantity = f"{worth / price * 0.99:.8f}"
        if float(quantity) <= 0:
            return
        order = {"symbol": self._desk.symbol, "side": side, "type": "market", "quantity": quantity}
        self._ask("POST", "/orders", order)
        while fills := json.loads(self._ask("GET", f"/fills?after={self._fill}")).get("fills"):
            for fill in fills:
                value = float(fill["quantity"]) * float(fill["price"])
                signed = value if fill["side"] == "sell" else -value
                self._money = round((self._money or 0.0) + signed - float(fill["fee"]), 2)
                self._position += float(fill["quantity"]) * (1 if fill["side"] == "buy" else -1)
            self._fill = int(fills[-1]["id"])

    def _ask(self, method: str, target: str, order: dict[str, Any] | None = None) -> str:
        """Tries again at once, an order under a new id each time; waits for an answer as long as it takes."""
        for _ in range(TRIES):
            sent = json.dumps({**order, "client_order_id": uuid4().hex}).encode() if order else b""
            now = self._desk.clock.time()  # the wall clock, right or wrong
            headers = signed_headers(self._desk.key, self._desk.secret, now, method, target, sent)
            try:
                name, port = self._desk.address("data" if target == "/ticker" else "trade")
                connection = http.client.HTTPConnection(name, port)
                with self._desk.tool(f"{method} {target.partition('?')[0]}"), contextlib.closing(connection):
                    connection.request(method, target, sent or None, headers)
                    reply = connection.getresponse()
                    body = reply.read().decode()
            except socket.gaierror:
                return "{}"  # an order that cannot be sent is forgotten
            except (OSError, http.client.HTTPException):
                continue
            if reply.status < 429:
                return body
        return "{}"
