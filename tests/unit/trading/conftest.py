"""The trading example's packages, and what its tests share."""

from __future__ import annotations

import contextlib
import logging
import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "locustfiles" / "trading"))

from paper_agents.clock import SteppedClock
from paper_agents.desk import Desk
from paper_exchange.process import ExchangeProcess


@pytest.fixture(scope="session")
def exchange():
    """A running exchange; whoever uses it sets it up."""
    with ExchangeProcess() as process:
        yield process


@pytest.fixture
def desk_at(exchange):
    """Sets the exchange up in stepped time and makes a desk at it; returns that and the alerts."""

    def make(says=("buy",), **setup):
        exchange.setup(speed=0, epoch=1_000_000.0, **setup)
        alerts: list[str] = []
        log = logging.getLogger("tests.trading")
        log.propagate = False
        desk = Desk(
            address=lambda _: ("127.0.0.1", exchange.port),
            key=exchange.key,
            secret=exchange.secret,
            symbol="BTC-USD",
            clock=SteppedClock(exchange.step, 1_000_000.0),
            advise=lambda _: says[0],
            alert=alerts.append,
            log=log,
            tool=lambda _: contextlib.nullcontext(),
            random=random.Random(7),
        )
        return desk, alerts

    return make
