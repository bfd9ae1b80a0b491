"""The paper account: matching, money, and what it refuses."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paper_exchange.account import FEE, Account, Refused
from paper_exchange.market import SYMBOL
from paper_exchange.money import amount

PRICE = Decimal(100)


def place(account, *, price=PRICE, now=0.0, pieces=1, **changes):
    """Place an order and match it at once, as the venue does."""
    name = changes.pop("id", f"order {len(account.orders)}")
    asked = {"client_order_id": name, "symbol": SYMBOL, "side": "buy", "type": "market", "quantity": "1", **changes}
    order = account.place(asked, price=price, now=now, signed_at=now)
    account.match(order, price, now, pieces)
    return order


def test_a_market_order_is_filled_at_once_and_pays_for_it():
    """It pays half a tenth of a percent more than the price, and the fee."""
    account = Account(Decimal(1000))
    order = place(account)
    assert (order.status, order.average_price, account.position) == ("filled", Decimal("100.05"), 1)
    assert account.cash == 1000 - Decimal("100.05") * (1 + FEE)


def test_a_limit_order_waits_for_its_price():
    """It is executed at the first tick that meets it, at that tick's price, and not before."""
    account = Account(Decimal(1000))
    order = place(account, type="limit", limit_price="95")
    account.tick(Decimal("95.01"), 1)
    assert order.status == "open"
    account.tick(Decimal(94), 2)
    assert (order.status, order.average_price, order.executed_at) == ("filled", Decimal(94), 2)


def test_a_limit_to_sell_takes_the_better_price():
    """A seller's limit is the least that is taken."""
    account = Account(Decimal(0), Decimal(1))
    order = place(account, side="sell", type="limit", limit_price="99")
    assert (order.status, order.average_price, account.position) == ("filled", PRICE, 0)


def test_the_same_id_is_the_same_order():
    """A second request with a `client_order_id` changes nothing, whatever it asks."""
    account = Account(Decimal(1000))
    first = place(account, id="a")
    assert place(account, id="a", quantity="5") is first
    assert (account.position, len(account.fills)) == (1, 1)


def test_an_order_that_comes_too_late_expires():
    """`valid_until` is judged when the order arrives, and while it waits."""
    account = Account(Decimal(1000))
    assert place(account, now=10, valid_until=9).status == "expired"
    waiting = place(account, now=10, valid_until=12, type="limit", limit_price="50")
    account.tick(Decimal(40), 13)
    assert waiting.status == "expired"
    assert account.fills == []


def test_a_cancel_reaches_an_order_that_is_still_on_its_way():
    """What is cancelled before it arrives is never executed."""
    account = Account(Decimal(1000))
    assert account.cancel("late") is None
    assert place(account, id="late").status == "cancelled"
    assert account.fills == []


def test_nobody_buys_without_cash_or_sells_what_he_has_not():
    """There is neither credit nor a short sale."""
    account = Account(Decimal(50), Decimal("0.5"))
    with pytest.raises(Refused, match="not enough cash"):
        place(account)
    with pytest.raises(Refused, match="not enough to sell"):
        place(account, side="sell")
    assert (account.cash, account.position, account.orders) == (50, Decimal("0.5"), {})


@pytest.mark.parametrize(
    "changes",
    [
        {"quantity": 0.1},
        {"quantity": "0"},
        {"quantity": "-1"},
        {"quantity": "NaN"},
        {"quantity": "1e30"},
        {"quantity": "0.000000001"},
        {"quantity": True},
        {"side": "hold"},
        {"type": "stop"},
        {"symbol": "ETH-USD"},
        {"type": "limit"},
        {"id": ""},
        {"valid_until": "soon"},
    ],
)
def test_nonsense_is_refused(changes):
    """No order comes of it, least of all one with a float for money."""
    account = Account(Decimal(1000))
    with pytest.raises(ValueError, match=r"."):
        place(account, **changes)
    assert account.orders == {}


@given(quantity=st.decimals("0.0001", "3", places=8), pieces=st.integers(1, 300))
def test_an_order_in_pieces_is_the_whole_order(quantity, pieces):
    """The pieces add up to the quantity, and the cash is what they cost, to the last place."""
    account = Account(Decimal(10_000))
    place(account, quantity=f"{quantity:f}", pieces=pieces)
    assert len(account.fills) == pieces
    assert sum(fill.quantity for fill in account.fills) == account.position == quantity
    spent = sum(fill.quantity * fill.price + fill.fee for fill in account.fills)
    assert account.cash == 10_000 - spent


def test_the_drawdown_is_the_deepest_fall_from_a_peak():
    """Not from the start, and not the last one."""
    account = Account(Decimal(0), Decimal(1))
    for price in (100, 120, 90, 130, 117):
        account.tick(Decimal(price), 0)
    assert account.drawdown == Decimal("0.25")


def test_money_is_text():
    """Text and whole numbers are exact; a float is not taken."""
    assert amount("0.1", "x") == Decimal("0.1")
    assert amount(3, "x") == 3
    with pytest.raises(ValueError, match="written as text"):
        amount(0.1, "x")
