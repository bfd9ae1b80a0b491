"""The reference agent: a model advises, rules decide, and nothing is taken for done before the exchange says so."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from uuid import UUID

from paper_agents.books import Books
from paper_agents.desk import Desk
from paper_agents.guards import Backoff, CrashGuard, LossGuard, bought
from paper_agents.venue_client import NotSent, RateLimited, Refused, Told, Unsure, VenueClient, VenueError

CENT, LOT = Decimal("0.01"), Decimal("0.00000001")
REACH = Decimal("0.002")  # how far from the price a limit is set
SLIP = Decimal("0.01")  # how far the price may move before a queued order is dropped
LEAST = Decimal(1)  # dollars; less is no order
MOST_QUEUED = 5


@dataclass(slots=True)
class Intent:
    """An order that is wanted: under one id, however often it is sent.

    `state` is queued (not sent), unsure (perhaps there), or open (there, not executed). Times are the
    agent's monotonic ones, but `until`, the exchange's, after which it can no longer be executed.
    """

    id: str
    side: str
    quantity: Decimal
    price: Decimal
    made: float
    state: str = "queued"
    sent: float = 0.0
    until: float = 0.0
    told: bool = False


class ReferenceAgent:
    """Trades one symbol with limit orders that expire; see `tick` for the order of its rules."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._limits, self._clock = desk, desk.limits, desk.clock
        self._venue, self._books = VenueClient(desk), Books()
        self._calls, self._orders = Backoff(desk.random), Backoff(desk.random)
        self._crash = CrashGuard(desk.limits.crash)
        self._loss = LossGuard(desk.limits.daily_loss, desk.alert)
        self._intents: list[Intent] = []
        self._decided = self._reconciled = float("-inf")
        self._traded_at: Decimal | None = None
        self._log_works = True

    @property
    def cash(self) -> Decimal:
        """By its own books."""
        return self._books.cash

    def tick(self) -> None:
        """See the price, keep the rules, decide, then trade; a failure ends the tick and is waited out."""
        if not self._calls.ready(self._clock.monotonic()):
            return
        try:
            price = self._venue.price()
            if self._books.opening is None:
                self._books.open(*self._venue.account(), price)
            self._watch(price)
            self._decide(price)
            if self._orders.ready(self._clock.monotonic()) and self._trade(price):
                self._orders.worked()
            self._calls.worked()
        except RateLimited as limited:
            self._say(f"rate limited: {limited}")
            self._calls.failed(self._clock.monotonic(), limited.retry_after)
        except VenueError as error:
            self._say(f"{type(error).__name__}: {error}")
            self._calls.failed(self._clock.monotonic())

    # -- rules, then advice --------------------------------------------------------------------

    def _watch(self, price: Decimal) -> None:
        self._crash.see(self._clock.monotonic(), price)
        self._loss.see(self._books.opening or Decimal(1), self._books.equity(price))

    def _decide(self, price: Decimal) -> None:
        now = self._clock.monotonic()
        unsure = any(intent.state != "queued" for intent in self._intents)
        moved = self._traded_at is None or abs(price / self._traded_at - 1) >= self._limits.least_move
        if now - self._decided < self._limits.decide_every_s or self._loss.halted or self._crash.aside(now):
            return
        self._decided = now
        if unsure or not moved or len(self._intents) >= MOST_QUEUED:
            return
        question = f"{self._desk.symbol} is at {price}; we hold {self._books.position}. Buy, sell or hold?"
        try:
            advice = self._desk.advise(question)
        except Exception as error:  # whatever its SDK raises: no advice is no trade
            self._say(f"no advice: {type(error).__name__}")
            return
        quantity = self._sized(advice, price)
        if quantity * price < LEAST:
            return
        # Drawn from the desk's generator: unique, and the same again when a session is replayed.
        name = str(UUID(int=self._desk.random.getrandbits(128), version=4))
        self._intents.append(Intent(name, advice, quantity, price, now))
        self._traded_at = price
        self._say(f"{advice} {quantity} at about {price}: {name}")

    def _sized(self, advice: str, price: Decimal) -> Decimal:
        equity, order = self._books.equity(price), self._limits.order
        pending = {side: sum(i.quantity for i in self._intents if i.side == side) for side in ("buy", "sell")}
        if advice == "sell":
            return min(max(self._books.position - pending["sell"], Decimal(0)), _lots(equity * order / price))
        invested = (self._books.position + pending["buy"]) * price
        money = bought(advice, equity=equity, invested=invested, order=order, exposure=self._limits.exposure)
        return _lots(money / price)

    # -- trading -------------------------------------------------------------------------------

    def _trade(self, price: Decimal) -> bool:
        """First what is unsure, then the books, then what is queued. False if something failed; raises RateLimited."""
        now = self._clock.monotonic()
        try:
            for intent in [each for each in self._intents if each.state == "unsure"]:
                self._look_up(intent)
            late = now - 2 * self._limits.order_life_s
            waiting = any(each.state == "open" and each.sent < late for each in self._intents)
            if waiting or now - self._reconciled >= self._limits.reconcile_every_s:
                self._reconcile(price)
            if self._loss.halted:
                self._withdraw()
            elif not self._crash.aside(now):
                for intent in [each for each in self._intents if each.state == "queued"]:
                    self._send(intent, price)
        except RateLimited:
            raise
        except VenueError as error:  # the market is still to be watched meanwhile
            self._say(f"not traded: {type(error).__name__}: {error}")
            self._orders.failed(self._clock.monotonic())
            return False
        return True

    def _send(self, intent: Intent, price: Decimal) -> None:
        now = self._clock.monotonic()
        moved = abs(price / intent.price - 1)
        if now - intent.made > self._limits.stale_s and moved > SLIP:
            self._drop(intent, f"is stale: the price moved by {moved:.1%} since it was made")
            return
        limit = (price * (1 + REACH if intent.side == "buy" else 1 - REACH)).quantize(CENT)
        until = self._venue.now() + self._limits.order_life_s
        order = {
            "client_order_id": intent.id,
            "symbol": self._desk.symbol,
            "side": intent.side,
            "type": "limit",
            "quantity": f"{intent.quantity:f}",
            "limit_price": f"{limit:f}",
            "valid_until": until,
        }
        intent.sent, intent.until = now, until
        try:
            told = self._venue.place(order)
        except Unsure:
            intent.state = "unsure"
            raise
        except (RateLimited, NotSent):
            raise
        except Refused as refused:
            if refused.status != 401:  # then only its time was wrong, and it may go once more
                self._drop(intent, f"was refused: {refused}")
            raise
        self._settle(intent, told)

    def _withdraw(self) -> None:
        """Nothing is sent any more, and what is at the exchange unexecuted is taken back."""
        for intent in [each for each in self._intents if each.state != "unsure"]:
            if intent.state == "open":
                self._venue.cancel(intent.id)
                self._books.pull(self._venue.fills)  # it may have been executed just before
            self._intents.remove(intent)

    def _look_up(self, intent: Intent) -> None:
        """Ask what became of an order before anything else is done about it."""
        told = self._venue.order(intent.id)
        if told is not None:
            self._settle(intent, told)
        elif self._venue.now() > intent.until + 1:
            intent.state = "queued"  # it can no longer arrive in time: it is safe to send, under the same id

    def _settle(self, intent: Intent, told: Told) -> None:
        if told.status == "open":
            intent.state = "open"
            return
        self._intents.remove(intent)
        if told.status == "filled":
            self._books.pull(self._venue.fills)
        self._say(f"order {intent.id} is {told.status}")

    def _drop(self, intent: Intent, why: str) -> None:
        self._intents.remove(intent)
        self._desk.alert(f"order {intent.id} {why}")

    # -- reconciling -----------------------------------------------------------------------------

    def _reconcile(self, price: Decimal) -> None:
        """Compare with the exchange: fills, open orders, cash and position; tell a person what is wrong."""
        self._books.pull(self._venue.fills)
        for intent in [each for each in self._intents if each.state == "open"]:
            told = self._venue.order(intent.id)
            if told is not None and told.status != "open":
                self._settle(intent, told)
            elif self._clock.monotonic() - intent.sent > self._limits.order_life_s:
                self._stuck(intent, price)
        cash, position = self._venue.account()
        if (cash, position) != (self._books.cash, self._books.position):
            entered = self._books.pull(self._venue.fills)  # one may have come in between
            if not entered:
                ours = f"{self._books.cash} and {self._books.position}"
                self._desk.alert(f"books differ: ours {ours}, the exchange's {cash} and {position}")
                self._books.cash, self._books.position = cash, position
        self._reconciled = self._clock.monotonic()

    def _stuck(self, intent: Intent, price: Decimal) -> None:
        if not intent.told:
            intent.told = True
            worth = intent.quantity * price
            self._desk.alert(f"{intent.side} {intent.id} of ${worth:.2f} is stuck: taken and not executed")
        self._venue.cancel(intent.id)

    def _say(self, text: str) -> None:
        """Write to the log; a log that cannot be written is no reason to stop."""
        try:
            self._desk.log.info(text)
        except OSError as error:
            if self._log_works:
                self._log_works = False
                self._desk.alert(f"the log cannot be written: {error}")


def _lots(quantity: Decimal) -> Decimal:
    return quantity.quantize(LOT, ROUND_DOWN)
