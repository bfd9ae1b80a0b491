"""The exchange's API for an agent that must know, of each failure, whether anything was done."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlencode

from paper_exchange.signing import signed_headers

from paper_agents.desk import Desk


class VenueError(Exception):
    """A request failed."""


class NotSent(VenueError):
    """It never left: no name, no connection."""


class Refused(VenueError):
    """The exchange said no, and did nothing."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(f"{status}: {why}")
        self.status = status


class RateLimited(Refused):
    """Too many requests; come again in `retry_after` seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(429, f"retry after {retry_after:g} s")
        self.retry_after = retry_after


class Unsure(VenueError):
    """No answer, or none that says: it may have been done."""


@dataclass(frozen=True, slots=True)
class Told:
    """The order as the exchange told it."""

    status: str


@dataclass(frozen=True, slots=True)
class Execution:
    """A fill as the exchange told it."""

    id: int
    side: str
    quantity: Decimal
    price: Decimal
    fee: Decimal


class VenueClient:
    """One request, one connection, one time-out, no retries: those are for the agent to decide.

    Signed requests bear the exchange's time: asked for once, then counted on a clock that does not jump.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ahead_s: float | None = None

    def now(self) -> float:
        """The exchange's time. Raises VenueError."""
        if self._ahead_s is None:
            asked = self._desk.clock.monotonic()
            told = _number(self._ask("GET", "/time", host="data"), "now")
            self._ahead_s = float(told) - (asked + self._desk.clock.monotonic()) / 2
        return self._desk.clock.monotonic() + self._ahead_s

    def price(self) -> Decimal:
        """The last price. Raises VenueError, also for one that cannot be."""
        price = _number(self._ask("GET", "/ticker", host="data"), "price")
        if price <= 0:
            raise Unsure(f"a price of {price}")
        return price

    def account(self) -> tuple[Decimal, Decimal]:
        """Cash and position. Raises VenueError."""
        told = self._signed("GET", "/account")
        return _number(told, "cash"), _number(told, "position")

    def fills(self, after: int) -> list[Execution]:
        """The fills that follow the `after`-th, a page of them. Raises VenueError."""
        told = self._signed("GET", "/fills", {"after": str(after)})
        try:
            return [
                Execution(
                    int(each["id"]),
                    str(each["side"]),
                    _number(each, "quantity"),
                    _number(each, "price"),
                    _number(each, "fee"),
                )
                for each in told["fills"]
            ]
        except (KeyError, TypeError, ValueError):
            raise Unsure("fills that make no sense") from None

    def order(self, client_order_id: str) -> Told | None:
        """The order of that id, None when the exchange has none. Raises VenueError."""
        return self._order("GET", {"client_order_id": client_order_id})

    def cancel(self, client_order_id: str) -> Told | None:
        """Cancel it, also before it arrives. Raises VenueError."""
        return self._order("DELETE", {"client_order_id": client_order_id})

    def place(self, order: Mapping[str, Any]) -> Told:
        """Send an order. Raises VenueError: after Unsure it may be executed, or be so yet."""
        return _told(self._signed("POST", "/orders", body=order))

    def _order(self, method: str, query: Mapping[str, str]) -> Told | None:
        try:
            return _told(self._signed(method, "/orders", query))
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def _signed(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
    ) -> Any:
        target = f"{path}?{urlencode(query)}" if query else path
        sent = json.dumps(body).encode() if body is not None else b""
        headers = signed_headers(self._desk.key, self._desk.secret, self.now(), method, target, sent)
        try:
            return self._ask(method, target, sent, headers)
        except Refused as refused:
            if refused.status == 401:
                self._ahead_s = None  # the exchange's time is asked for again
            raise

    def _ask(
        self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None, host: str = "trade"
    ) -> Any:
        with self._desk.tool(f"{method} {target.partition('?')[0]}"):
            return _answered(*self._exchanged(lambda: self._desk.address(host), method, target, body, headers or {}))

    def _exchanged(
        self,
        address: Callable[[], tuple[str, int]],
        method: str,
        target: str,
        body: bytes,
        headers: Mapping[str, str],
    ) -> tuple[int, str, bytes]:
        patience_s = self._desk.clock.real(self._desk.limits.time_out_s)
        try:
            name, port = address()
            connection = http.client.HTTPConnection(name, port, timeout=patience_s)
            connection.connect()
        except (socket.gaierror, OSError) as error:
            raise NotSent(f"{type(error).__name__}: {error}") from None
        with contextlib.closing(connection):
            try:
                connection.request(method, target, body or None, dict(headers))
                reply = connection.getresponse()
                return reply.status, reply.headers.get("retry-after", ""), reply.read()
            except (OSError, http.client.HTTPException) as error:
                raise Unsure(f"{type(error).__name__}: {error}") from None


def _answered(status: int, retry_after: str, body: bytes) -> Any:
    if status == 429:
        raise RateLimited(float(retry_after) if retry_after.isascii() and retry_after.isdecimal() else 0.0)
    if status >= 500:
        raise Unsure(f"status {status}")
    try:
        told = json.loads(body)
    except ValueError:
        raise Unsure(f"a reply of {len(body)} bytes that is no JSON") from None
    if status >= 400:
        raise Refused(status, str(told.get("error", "") if isinstance(told, dict) else ""))
    if not isinstance(told, dict):
        raise Unsure("a reply that is no object")
    return told


def _number(told: Mapping[str, Any], name: str) -> Decimal:
    """A number of a reply, exactly as it is written. Raises Unsure."""
    try:
        number = Decimal(str(told[name]))
    except (KeyError, TypeError, InvalidOperation):
        raise Unsure(f"a reply without {name}") from None
    if not number.is_finite():
        raise Unsure(f"{name} is {number}")
    return number


def _told(told: Mapping[str, Any]) -> Told:
    status = told.get("status")
    if status not in ("open", "filled", "cancelled", "expired", "rejected"):
        raise Unsure("an order without a status")
    return Told(str(status))
