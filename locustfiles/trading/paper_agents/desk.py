"""What a trading agent is, and what it is given to work with."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from paper_agents.clock import Clock


class TradingAgent(Protocol):
    """Implement this with your agent; it is made with a `Desk`, and ticks until the scenario ends."""

    @property
    def cash(self) -> Decimal:
        """The cash that the agent believes it has, by its own books."""

    def tick(self) -> None:
        """Look, decide, act; called once a tick. What it raises has crashed the agent."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a desk allows; shares of the account's value, seconds of exchange time."""

    exposure: Decimal = Decimal("0.10")  # the most that is ever invested
    order: Decimal = Decimal("0.02")  # the most that one order is worth
    daily_loss: Decimal = Decimal("0.03")  # then nothing is traded any more
    crash: Decimal = Decimal("0.05")  # a fall within half a minute that is taken for a crash
    least_move: Decimal = Decimal("0.003")  # of the price since the last trade, before another
    decide_every_s: float = 5.0
    reconcile_every_s: float = 30.0
    time_out_s: float = 5.0
    order_life_s: float = 5.0  # an order that has not arrived by then must not be executed
    stale_s: float = 60.0  # a queued order older than this is thought over


@dataclass(frozen=True, slots=True)
class Desk:
    """What an agent is given: all of it may fail as it does in life.

    `address("trade")` and `address("data")` are the exchange's two hosts, to be asked for each
    connection: they raise socket.gaierror while the name is not resolved. `advise(question)` asks the
    model, which answers buy, sell or hold, and raises what its SDK raises. `alert(text)` calls a
    person. `log` may raise OSError when its disk is full. `tool(name)` is a context in which a request
    to the exchange is measured as a tool call of the agent run.
    """

    address: Callable[[str], tuple[str, int]]
    key: str
    secret: str
    symbol: str
    clock: Clock
    advise: Callable[[str], str]
    alert: Callable[[str], None]
    log: logging.Logger
    tool: Callable[[str], AbstractContextManager[Any]]
    limits: Limits = Limits()
    random: random.Random = field(default_factory=random.Random)
