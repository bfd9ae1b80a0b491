"""The reference agent's conduct, tick by tick, against a real exchange in stepped time."""

from __future__ import annotations

import errno
import logging
import socket
from decimal import Decimal

import pytest
from paper_agents.guards import LossGuard
from paper_agents.reference import ReferenceAgent

ORDERS = "POST /orders"


def ticks(agent, desk, seconds):
    """Let it tick once a second."""
    for _ in range(seconds):
        agent.tick()
        desk.clock.sleep(1)


def sent(truth):
    """The requests for orders."""
    return [each for each in truth["requests"] if each["what"] == ORDERS]


def test_an_unsure_order_is_looked_up_before_anything_else(desk_at, exchange):
    """After a lost confirmation the next thing the exchange hears of the order is a question."""
    desk, alerts = desk_at(faults=[{"do": "lose_reply", "on": ORDERS, "times": 1}])
    agent = ReferenceAgent(desk)
    ticks(agent, desk, 10)
    truth = exchange.truth()
    heard = [each["what"] for each in truth["requests"] if each["what"].endswith("/orders")]
    assert heard[:2] == [ORDERS, "GET /orders"]
    assert (len(sent(truth)), truth["fills"], alerts) == (1, 1, [])
    assert agent.cash == Decimal(truth["cash"])


def test_an_order_that_never_arrived_goes_out_again_under_its_own_id(desk_at, exchange):
    """Only when it can no longer be executed, and only once."""
    desk, _ = desk_at(faults=[{"do": "error_before", "on": ORDERS, "times": 1}])
    ticks(ReferenceAgent(desk), desk, 20)
    first, second = sent(exchange.truth())
    assert second["client_order_id"] == exchange.truth()["orders"][0]["client_order_id"]
    assert second["at"] - first["at"] > desk.limits.order_life_s
    assert exchange.truth()["fills"] == 1


def test_it_sends_limit_orders_that_expire(desk_at, exchange):
    """No order of its own is at any price, or good for ever; none is worth more than its share."""
    desk, _ = desk_at(session="bull_run")
    ticks(ReferenceAgent(desk), desk, 120)
    orders = exchange.truth()["orders"]
    assert len(orders) > 2
    assert {order["type"] for order in orders} == {"limit"}
    worth = [Decimal(order["quantity"]) * Decimal(order["limit_price"]) for order in orders]
    assert max(worth) < 100_000 * desk.limits.order * Decimal("1.01")


def test_it_stays_within_what_may_be_invested(desk_at, exchange):
    """A model that says buy for ten minutes of a bull run does not get more than 10% invested."""
    desk, _ = desk_at(session="bull_run")
    ticks(ReferenceAgent(desk), desk, 600)
    truth = exchange.truth()
    price = Decimal(exchange.ask("GET", "/ticker")["price"])
    assert 0 < Decimal(truth["position"]) * price < Decimal("0.115") * Decimal(truth["equity"][-1])


def test_orders_wait_for_the_name_and_keep_their_order(desk_at, exchange):
    """While the trading host has no name nothing arrives; then each queued order does, once."""
    desk, _ = desk_at(session="bull_run")
    real, down = desk.address, [True]

    def address(host):
        if host == "trade" and down and agent.cash:  # the day has been opened
            raise socket.gaierror(socket.EAI_AGAIN, "no")
        return real(host)

    object.__setattr__(desk, "address", address)
    agent = ReferenceAgent(desk)
    ticks(agent, desk, 30)
    assert sent(exchange.truth()) == []
    down.clear()
    desk.clock.sleep(20)  # whatever it waits for is over
    object.__setattr__(desk, "advise", lambda _: "hold")
    ticks(agent, desk, 3)
    truth = exchange.truth()
    assert len(sent(truth)) == len({order["client_order_id"] for order in truth["orders"]}) >= 2


def test_a_stale_order_is_thought_over(desk_at, exchange):
    """One that waited long while the price ran away is dropped, and a person is told."""
    desk, alerts = desk_at(session="bull_run")
    agent = ReferenceAgent(desk)
    real = desk.address
    agent.tick()  # the day is opened, and the first order sent
    object.__setattr__(desk, "address", lambda host: _nameless() if host == "trade" else real(host))
    ticks(agent, desk, 25)
    object.__setattr__(desk, "address", real)
    object.__setattr__(desk, "advise", lambda _: "hold")
    before = len(sent(exchange.truth()))
    desk.clock.sleep(300)
    ticks(agent, desk, 3)
    assert len(sent(exchange.truth())) == before
    assert any("is stale" in alert for alert in alerts)


def _nameless():
    raise socket.gaierror(socket.EAI_AGAIN, "no")


def test_books_that_differ_are_told_and_mended(desk_at, exchange):
    """When the exchange says otherwise, a person hears of it and the exchange is believed."""
    desk, alerts = desk_at(says=("hold",), position="1")
    agent = ReferenceAgent(desk)
    agent.tick()
    agent._books.cash += 5
    ticks(agent, desk, 61)
    assert [alert for alert in alerts if "books differ" in alert] == alerts != []
    assert agent.cash == Decimal(exchange.truth()["cash"])


def test_no_advice_is_no_trade(desk_at, exchange):
    """A model that fails, or says what nobody understands, moves no money."""
    desk, _ = desk_at(says=("sell everything!!",))
    ticks(ReferenceAgent(desk), desk, 10)

    def fail(_):
        raise RuntimeError("429")

    object.__setattr__(desk, "advise", fail)
    ticks(ReferenceAgent(desk), desk, 10)
    assert sent(exchange.truth()) == []


def test_a_full_disk_is_told_once(desk_at):
    """The log fails with every line; the agent says so once and goes on."""
    desk, alerts = desk_at()

    class Full(logging.Handler):
        def emit(self, record):
            raise OSError(errno.ENOSPC, "No space left on device")

    desk.log.handlers = [Full()]
    desk.log.setLevel(logging.INFO)
    agent = ReferenceAgent(desk)
    ticks(agent, desk, 20)
    desk.log.handlers = []
    assert alerts == ["the log cannot be written: [Errno 28] No space left on device"]
    assert agent.cash < 100_000


@pytest.mark.parametrize("fault", ["error_before", "lose_reply", "stall"])
def test_no_order_outlives_the_loss_limit(desk_at, exchange, fault):
    """What was unsure or open when the limit was reached is looked up and withdrawn, and never sent again."""
    desk, alerts = desk_at(session="slide", cash="1000", position="1", faults=[{"do": fault, "on": ORDERS}])
    agent = ReferenceAgent(desk)
    agent._loss = LossGuard(Decimal("0.001"), desk.alert)
    ticks(agent, desk, 60)
    truth = exchange.truth()
    assert any("halted" in alert for alert in alerts)
    assert len(sent(truth)) <= 1
    assert [order for order in truth["orders"] if order["status"] == "open"] == []
    assert agent._intents == []


def test_a_clock_that_was_set_wrong_is_set_right(desk_at, exchange):
    """A request refused for its time has the exchange's asked for again; the order goes out then."""
    desk, _ = desk_at()
    agent = ReferenceAgent(desk)
    agent._venue._ahead_s = 1_000_999.0
    ticks(agent, desk, 20)
    truth = exchange.truth()
    assert truth["requests"][1]["expired"]
    assert sum(each["expired"] for each in truth["requests"]) == 1
    assert truth["fills"] == 1


@pytest.mark.parametrize("seconds", [40, 90])
def test_the_loss_limit_is_not_argued_with(desk_at, exchange, seconds):
    """Once it is reached no order is sent, however long the model asks for one."""
    desk, alerts = desk_at(session="slide", cash="1000", position="1")
    agent = ReferenceAgent(desk)
    ticks(agent, desk, 40)
    assert any("halted" in alert for alert in alerts)
    number = len(sent(exchange.truth()))
    ticks(agent, desk, seconds)
    assert len(sent(exchange.truth())) == number
