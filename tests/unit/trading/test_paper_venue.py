"""The paper exchange over its socket: signed requests, faults, and the truth it keeps."""

from __future__ import annotations

from decimal import Decimal

import pytest
from paper_agents.venue_client import NotSent, RateLimited, Refused, Unsure, VenueClient

LOST = {"do": "lose_reply", "on": "POST /orders", "times": 1}


def order(name, side="buy", quantity="0.01", **changes):
    """A market order."""
    asked = {"client_order_id": name, "symbol": "BTC-USD", "side": side, "type": "market", "quantity": quantity}
    return asked | changes


def test_orders_fills_and_money_agree(desk_at, exchange):
    """What the client is told of its orders, fills and account is what the truth says."""
    client = VenueClient(desk_at()[0])
    assert client.account() == (Decimal(100_000), Decimal(0))
    assert client.place(order("a")).status == "filled"
    assert client.order("a").status == "filled"
    assert client.order("nobody's") is None
    (fill,) = client.fills(0)
    cash, position = client.account()
    assert cash == 100_000 - fill.quantity * fill.price - fill.fee
    assert (cash, position) == (Decimal(exchange.truth()["cash"]), Decimal(exchange.truth()["position"]))
    assert exchange.truth()["mode"] == exchange.ask("GET", "/ticker")["mode"] == "paper"


def test_a_request_without_a_signature_does_nothing(desk_at, exchange):
    """No order is made of it."""
    desk_at()
    with pytest.raises(ValueError, match="not signed"):
        exchange.ask("POST", "/orders", order("a"))
    assert exchange.truth()["orders"] == []


def test_a_lost_confirmation_is_a_doubt_and_the_order_is_there(desk_at, exchange):
    """The client cannot know; under the same id nothing happens twice."""
    client = VenueClient(desk_at(faults=[LOST])[0])
    with pytest.raises(Unsure):
        client.place(order("a"))
    assert client.place(order("a")).status == "filled"
    assert (exchange.truth()["fills"], exchange.truth()["duplicates"]) == (1, 0)


@pytest.mark.parametrize(("looks", "duplicates"), [(False, 1), (True, 0)])
def test_a_second_order_instead_of_a_look_is_a_duplicate(desk_at, exchange, looks, duplicates):
    """The same side and quantity under a new id counts unless the client has looked at what it has."""
    client = VenueClient(desk_at(faults=[LOST])[0])
    with pytest.raises(Unsure):
        client.place(order("a"))
    if looks:
        client.account()
    client.place(order("b"))
    assert exchange.truth()["duplicates"] == exchange.truth()["blind_retries"] == duplicates


@pytest.mark.parametrize(("do", "fills"), [("error_after", 1), ("error_before", 0)])
def test_a_server_error_may_or_may_not_have_ordered(desk_at, exchange, do, fills):
    """500 says nothing about the order; to send it again at once is blind."""
    client = VenueClient(desk_at(faults=[{"do": do, "times": 1, "on": "POST /orders"}])[0])
    with pytest.raises(Unsure, match="500"):
        client.place(order("a"))
    assert exchange.truth()["fills"] == fills
    client.place(order("a"))
    assert (exchange.truth()["fills"], exchange.truth()["blind_retries"]) == (1, 1)


def test_the_rate_limit_says_how_long(desk_at, exchange):
    """The request after the last that is allowed is refused, and the time it names is enough."""
    desk, _ = desk_at(limit=5)
    client = VenueClient(desk)
    for _ in range(5):
        client.price()
    with pytest.raises(RateLimited) as told:
        client.price()
    desk.clock.sleep(told.value.retry_after)
    assert client.price() > 0
    assert exchange.truth()["busiest_minute"] == 5


def test_every_malformed_reply_is_a_doubt(desk_at):
    """Whatever comes, it is one of the client's own exceptions."""
    client = VenueClient(desk_at(faults=[{"do": "malformed", "on": "GET /ticker", "times": 16}])[0])
    for _ in range(16):
        with pytest.raises(Unsure):
            client.price()
    assert client.price() > 0


def test_a_refusal_is_told_with_its_reason(desk_at):
    """Nothing was done, and why."""
    client = VenueClient(desk_at(cash="1")[0])
    with pytest.raises(Refused, match="422: not enough cash"):
        client.place(order("a"))


def test_nothing_is_sent_to_nobody(desk_at, exchange):
    """A refused connection is certain to have done nothing."""
    desk, _ = desk_at()
    client = VenueClient(desk)
    object.__setattr__(desk, "address", lambda _: ("127.0.0.1", 1))
    with pytest.raises(NotSent):
        client.place(order("a"))
    assert exchange.truth()["requests"] == []


def test_the_client_s_time_is_the_exchange_s(desk_at):
    """A wall clock that jumps changes nothing."""
    desk, _ = desk_at()
    client = VenueClient(desk)
    before = client.now()
    desk.clock.jump(300)
    desk.clock.sleep(5)
    assert client.now() == pytest.approx(before + 5)
    assert client.account()[0] == 100_000


def test_the_truth_leaves_no_tick_out(desk_at, exchange):
    """The account is valued at every tick, also at those that nobody asked about."""
    desk, _ = desk_at(position="1", cash="0")
    desk.clock.sleep(50)
    assert len(exchange.truth()["equity"]) == 51
