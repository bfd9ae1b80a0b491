"""The venue: one account on one market, its rules, and the scenario it is in. No sockets."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from paper_exchange.account import Account, Order, Refused
from paper_exchange.clock import VenueClock
from paper_exchange.limiter import PER_MINUTE, Limiter
from paper_exchange.market import SYMBOL, Session
from paper_exchange.money import text
from paper_exchange.script import MALFORMED, Fault, Script
from paper_exchange.signing import BadSignature, check
from paper_exchange.truth import Truth, Visit

PAGE = 1000
SIGNED = ("/orders", "/positions", "/account", "/fills")


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came; `target` is the path with the query, `gone` tells whether its client still waits."""

    method: str
    path: str
    target: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    gone: Callable[[], bool] = lambda: False


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back; with `status` 0 nothing does: the connection breaks."""

    status: int
    body: bytes
    retry_after: int = 0


class Venue:
    """One scenario at the exchange, from its start."""

    def __init__(self, key: str, secret: str, setup: Mapping[str, Any] | None = None) -> None:
        """`setup` may give session, speed (0: stepped), cash, position, limit, faults, epoch. Raises ValueError."""
        asked: dict[str, Any] = {"session": "normal", "speed": 1, "cash": "100000", "position": "0", **(setup or {})}
        self._key, self._secret = key, secret
        self.session = Session.load(asked["session"])
        self.clock = VenueClock(float(asked["speed"]), asked.get("epoch"))
        self.account = Account(Decimal(asked["cash"]), Decimal(asked["position"]))
        self.limiter = Limiter(int(asked.get("limit", PER_MINUTE)))
        self.script = Script(asked.get("faults", ()))
        self.truth = Truth()

    @property
    def price(self) -> Decimal:
        """The price now."""
        return self.session.price(self.clock.elapsed())

    def catch_up(self) -> None:
        """Have every tick since the last request, so that none is left out of the account's course."""
        now = self.session.tick(self.clock.elapsed())
        for tick in range(len(self.account.equity), now + 1):
            self.account.tick(self.session.prices[tick], self.clock.epoch + tick)

    async def answer(self, request: Request) -> Answer:
        """Answer one request, as the script has it."""
        self.catch_up()
        what = f"{request.method} {request.path}"
        visit = self.truth.visit(self.clock.elapsed(), what)
        answer = await self._faulty(request, visit, self.script.fault(what, visit.at))
        visit.status, visit.ended = answer.status, self.clock.elapsed()
        return answer

    async def _faulty(self, request: Request, visit: Visit, fault: Fault | None) -> Answer:
        do = fault.do if fault is not None else ""
        visit.fault = do
        orders = visit.what == "POST /orders"
        if orders:
            self.truth.asked_to_order()
        if fault is not None and do == "rate_limit":
            return _refused(429, "slow down", int(fault.seconds))
        if wait := self.limiter.take(self.clock.now()):
            return _refused(429, f"more than {self.limiter.limit} requests a minute", wait)
        if do == "error_before":
            if orders:
                self.truth.lost(None)
            return _refused(500, "internal error")
        if fault is not None and do == "delay":
            await self.clock.sleep(fault.seconds)
            self.catch_up()
        answer = self._acted(request, visit, fault)
        told = do not in ("lose_reply", "error_after", "malformed") and not request.gone()
        if orders and not told:
            self.truth.lost(self.account.orders.get(visit.client_order_id))
        if told:
            self.truth.looked(visit.what, answer.status)
        if do == "lose_reply":
            return Answer(0, b"")
        if do == "error_after":
            return _refused(500, "internal error")
        if fault is not None and do == "malformed":
            return Answer(200, MALFORMED[(fault.struck - 1) % len(MALFORMED)])
        return answer

    def _acted(self, request: Request, visit: Visit, fault: Fault | None) -> Answer:
        """Do what is asked."""
        try:
            route = _ROUTES.get(visit.what)
            if route is None:
                return _refused(404, "no such path")
            signed_at = self._signed_at(request) if request.path in SIGNED else 0.0
            status, told = route(self, request, visit, signed_at, fault)
        except BadSignature as bad:
            visit.expired = bad.expired
            return _refused(401, str(bad))
        except Refused as refused:
            return _refused(422, str(refused))
        except (ValueError, RecursionError) as bad:
            return _refused(400, str(bad))
        return Answer(status, json.dumps(told).encode())

    def _signed_at(self, request: Request) -> float:
        now = self.clock.now()
        return check(request.headers, self._key, self._secret, now, request.method, request.target, request.body)

    # -- what can be asked -----------------------------------------------------------------------

    def _time(self, request: Request, visit: Visit, signed_at: float, fault: Fault | None) -> tuple[int, Any]:
        return 200, {"now": self.clock.now(), "mode": "paper"}

    def _ticker(self, request: Request, visit: Visit, signed_at: float, fault: Fault | None) -> tuple[int, Any]:
        return 200, {"symbol": SYMBOL, "price": text(self.price), "at": self.clock.now(), "mode": "paper"}

    def _account(self, request: Request, visit: Visit, signed_at: float, fault: Fault | None) -> tuple[int, Any]:
        equity = self.account.marked(self.price)
        return 200, {"cash": text(self.account.cash), "equity": text(equity), "mode": "paper", **self._position()}

    def _positions(self, request: Request, visit: Visit, signed_at: float, fault: Fault | None) -> tuple[int, Any]:
        return 200, {"positions": [self._position()], "mode": "paper"}

    def _position(self) -> dict[str, str]:
        return {"symbol": SYMBOL, "position": text(self.account.position)}

    def _fills(self, request: Request, visit: Visit, signed_at: float, fault: Fault | None) -> tuple[int, Any]:
        after = max(int(request.query.get("after", "0")), 0)
        return 200, {"fills": [fill.told() for fill in self.account.fills[after : after + PAGE]], "mode": "paper"}

    def _find(self, request: Request, visit: Visit, signed_at: float, fault: Fault | None) -> tuple[int, Any]:
        wanted = request.query.get("client_order_id")
        if wanted is None:
            found = [order.told() for order in self.account.orders.values() if order.status == "open"]
            return 200, {"orders": found, "mode": "paper"}
        order = self.account.orders.get(wanted)
        return (404, {"error": "no such order"}) if order is None else (200, order.told())

    def _cancel(self, request: Request, visit: Visit, signed_at: float, fault: Fault | None) -> tuple[int, Any]:
        order = self.account.cancel(request.query.get("client_order_id", ""))
        return (404, {"error": "no such order"}) if order is None else (200, order.told())

    def _place(self, request: Request, visit: Visit, signed_at: float, fault: Fault | None) -> tuple[int, Any]:
        asked = json.loads(request.body, parse_float=Decimal)
        if not isinstance(asked, dict):
            raise ValueError("an order is a JSON object")
        if isinstance(asked.get("valid_until"), Decimal):
            asked["valid_until"] = float(asked["valid_until"])
        visit.client_order_id = str(asked.get("client_order_id", ""))[:64]
        known = visit.client_order_id in self.account.orders
        elapsed, now = self.clock.elapsed(), self.clock.now()
        crash = self.session.is_crashing(elapsed)
        order: Order = self.account.place(asked, price=self.price, now=now, signed_at=signed_at, in_crash=crash)
        if not known:
            self.truth.taken(order)
            order.stalled = fault is not None and fault.do == "stall"
            self.account.match(order, self.price, now, fault.pieces if fault is not None else 1)
        return (200 if known else 201), order.told()


_Route = Callable[[Venue, Request, Visit, float, Fault | None], tuple[int, Any]]
_ROUTES: dict[str, _Route] = {
    "GET /time": Venue._time,
    "GET /ticker": Venue._ticker,
    "GET /account": Venue._account,
    "GET /positions": Venue._positions,
    "GET /fills": Venue._fills,
    "GET /orders": Venue._find,
    "POST /orders": Venue._place,
    "DELETE /orders": Venue._cancel,
}


def _refused(status: int, why: str, retry_after: int = 0) -> Answer:
    return Answer(status, json.dumps({"error": why, "mode": "paper"}).encode(), retry_after)
