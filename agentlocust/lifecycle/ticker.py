"""Looks after a running test each second: users, vitals, alerts, and the reasons to end it early."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from agentlocust.lifecycle.load_test import LoadTest
from agentlocust.lifecycle.master import Master
from agentlocust.lifecycle.reports import add_vitals
from agentlocust.monitor.generator import GeneratorMonitor
from agentlocust.sla import due
from agentlocust.sla.verdict import BUDGET_STOP
from agentlocust.summary.series import series_points
from agentlocust.users.meter import Meter

logger = logging.getLogger(__name__)

TICK_S = 1.0
SETTLED_S = 2  # after which a second of the series holds what every worker reported of it


class Ticker:
    """One test's; `end` ends the test, without waiting for it."""

    def __init__(
        self,
        test: LoadTest,
        meter: Meter,
        monitor: GeneratorMonitor | None,
        master: Master | None,
        end: Callable[[], None],
    ) -> None:
        self._test = test
        self._meter = meter
        self._monitor = monitor
        self._master = master
        self._end = end

    def run(self) -> None:
        """Tick until the test ends."""
        while not self._test.ended:
            self._look_after()
            if reason := self._over():
                logger.info("agentlocust: %s", reason)
                self._end()
                return
            self._test.wake.clear()
            self._test.wake.wait(TICK_S)

    def _look_after(self) -> None:
        test = self._test
        test.note_users(test.runner.user_count)
        self._meter.load.count_offered()
        if self._master is not None:
            self._master.look_after()
        read_vitals(test, self._monitor)
        if test.watching is not None and test.settings.watch.alerts:
            t = time.monotonic() - test.started
            points = series_points(test.ledger, {}, since_s=t - SETTLED_S - 1)
            settled = [point for point in points if point.t <= t - SETTLED_S]
            test.watching.look(t, settled[-1] if settled else None)

    def _over(self) -> str:
        """Why the test is to end now; "" when it is not."""
        test = self._test
        if test.spending is not None and test.spending.stopped:
            test.stop_reason = BUDGET_STOP
            return f"stopped by the budget: {test.spending.stopped}"
        if test.quota.met(test.ledger):
            return str(test.quota)
        watched = [check for check in test.settings.checks if check.abort]
        violated = due(watched, test.summary(), time.monotonic() - test.started) if watched else ()
        if violated:
            test.stop_reason = f"aborted: {violated[0].check}, observed {violated[0].observed_text}"
        return test.stop_reason if violated else ""


def read_vitals(test: LoadTest, monitor: GeneratorMonitor | None) -> None:
    """Take what this process's own monitor read, where it makes load."""
    if monitor is None:
        return
    vitals = monitor.take()
    add_vitals(test.health, "local", vitals)
    if test.watching is not None:
        test.watching.add_generator("local", vitals["seconds"])
