"""The start of the proxy beside a test."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import gevent

from agentlocust.lifecycle.proxied import Proxied, seconds_ago
from agentlocust.lifecycle.proxying import PROXY, Proxying
from agentlocust.records import MAIN_PHASE, WARMUP_PHASE

if TYPE_CHECKING:
    from agentlocust.lifecycle.load_test import LoadTest
    from agentlocust.users.meter import Meter

logger = logging.getLogger(__name__)


def start_proxy(test: LoadTest, meter: Meter) -> None:
    """Start the proxy, which carries the fault plan if that is its place. Raises AgentLocustError."""
    settings = test.settings
    proxied = test.proxied = Proxied(meter)

    def told(word: dict[str, Any]) -> None:
        if test.spending is not None:
            test.spending.take(PROXY, word)

    def lost() -> None:
        when = seconds_ago(test.started)
        proxied.lost = f"the proxy ended {when}: what agents asked after that failed, and is not metered"
        logger.error("agentlocust: %s", proxied.lost)
        test.problems.append(proxied.lost)
        if test.spending is not None:
            test.spending.lost(PROXY)

    test.proxying = Proxying(
        settings.proxy,
        settings.budget,
        settings.pricing,
        proxied.take,
        told,
        lost,
        faults=settings.faults.text if settings.faults_at == "proxy" else "",
        seed=settings.seed,
    )
    meter.proxy_url = test.proxying.url
    logger.info(
        "agentlocust: the proxy to %s listens on %s: point the agent's base URL there",
        settings.proxy.upstream,
        test.proxying.url,
    )


def tell_time(test: LoadTest, meter: Meter) -> None:
    """The test begins: windows count from now. The phases of a shape are told as they come."""
    assert test.proxying is not None
    proxying, warmup_s = test.proxying, test.settings.warmup_s
    proxying.order(began_ns=time.monotonic_ns())
    meter.expect(test.windows, 0.0)  # a master's too: its proxy's calls are recorded here
    if not test.settings.load.driven:
        proxying.order(phase=WARMUP_PHASE if warmup_s else MAIN_PHASE)
        gevent.spawn_later(warmup_s, proxying.order, phase=MAIN_PHASE)
