"""The Conductor runs load tests on the node that judges them: alone, or the master of workers."""

from __future__ import annotations

import logging
import os
import time
from argparse import Namespace
from functools import partial
from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import Event
from locust import log
from locust.runners import LocalRunner, MasterRunner, Runner

from agentlocust.errors import AgentLocustError
from agentlocust.health import Health
from agentlocust.lifecycle.beside import start_proxy, tell_time
from agentlocust.lifecycle.blunt_faults import warn_of_blunt
from agentlocust.lifecycle.driver import DrivenShape
from agentlocust.lifecycle.load_plan import LoadPlan
from agentlocust.lifecycle.load_test import LoadTest
from agentlocust.lifecycle.master import Master, Refused
from agentlocust.lifecycle.observation import is_condition
from agentlocust.lifecycle.options import read_settings
from agentlocust.lifecycle.orders import order_of_load
from agentlocust.lifecycle.outputs import Outputs
from agentlocust.lifecycle.proxying import PROXY
from agentlocust.lifecycle.quota import Quota
from agentlocust.lifecycle.reports import Reports
from agentlocust.lifecycle.signals import end_children
from agentlocust.lifecycle.spending import HERE, Spending, tell_limits
from agentlocust.lifecycle.ticker import Ticker, read_vitals
from agentlocust.lifecycle.watching import Watching
from agentlocust.mock.embedded import EmbeddedMock
from agentlocust.monitor.generator import GeneratorMonitor
from agentlocust.sla import decide, evaluate, worst
from agentlocust.sla.verdict import COULD_NOT_START, NOT_VALID
from agentlocust.summary import Summary
from agentlocust.users.base import MOCK_HOST, AgentUser
from agentlocust.users.meter import Meter
from agentlocust.users.sdk import prepare
from agentlocust.wire.target import Origin, Target

if TYPE_CHECKING:
    from locust.env import Environment

logger = logging.getLogger(__name__)


class Conductor:
    """Begins tests, ends them without losing a report, and keeps their verdicts."""

    def __init__(self, environment: Environment, runner: Runner, meter: Meter, outputs: Outputs) -> None:
        self.environment = environment
        self.runner = runner
        self.options: Namespace = environment.parsed_options or Namespace()
        self.meter = meter
        self.outputs = outputs
        self.current: LoadTest | None = None
        self.codes: list[int] = []
        self.master = Master(runner) if isinstance(runner, MasterRunner) else None
        self.monitor = GeneratorMonitor() if self.master is None else None  # a master makes no load
        self.plan = LoadPlan()  # what was asked for before Locust filled its options' gaps
        self.begun = Event()  # the test is ready everywhere, or refused
        self.warmup_s = 0.0  # that the driver is to hold
        self._own_shape = environment.shape_class  # the locustfile's, which Locust drives
        self._number = 0
        self._drained: Event | None = None
        self._finished: Event | None = None

    # -- the start -----------------------------------------------------------------------------

    def choose(self, plan: LoadPlan) -> None:
        """The next test's load is this one; Locust drives it, or a shape of ours does."""
        if plan.driven and self._own_shape is not None:
            logger.warning("agentlocust: %s is left out: --shape wins", type(self._own_shape).__name__)
        self.plan = plan
        reset = bool(self.options.reset_stats)
        if plan.driven and reset:
            logger.warning("agentlocust: --reset-stats is left out: a ramp-up is a phase of its own")
        self.environment.reset_stats = reset and not plan.driven  # else each step of a level would reset them
        shape = DrivenShape(self) if plan.driven else self._own_shape
        if shape is not None:
            shape.runner = self.runner
        self.environment.shape_class = shape

    def begin(self) -> None:
        """A test starts: read its settings, start its mock, tell the workers and hear that they are ready."""
        self._number += 1
        self._drained = None
        users = [cls for cls in self.environment.user_classes if issubclass(cls, AgentUser)]
        try:
            settings = read_settings(self.options, users, self.plan)
            driven = self.plan.driven
            self.warmup_s = settings.warmup_s if driven else 0.0
            ledger = self.meter.ledger
            ledger.clear()
            health = Health()
            reports = Reports(self._number, ledger, health)
            test = LoadTest(self._number, settings, self.environment, self.runner, ledger, reports, health)
            self.current = test
            host = self.environment.host or ""
            if users and host not in ("", MOCK_HOST):
                self._warn_of_kept_keys(users, Target.parse(host).origin)
            elif users:
                self._warn_of_class_hosts(users)
                test.mock = EmbeddedMock.start(settings.mock, settings.seed, settings.faults_of_mock)
            test.watching = Watching(settings.watch, test.mock)
            reports.watching = test.watching
            self.meter.prices = settings.prices
            self.meter.proxy_url = ""
            self.meter.begin(
                mock_url=test.mock.url if test.mock is not None else "",
                seed=settings.seed,
                warmup_s=0.0 if driven else settings.warmup_s,
                convention=settings.convention,
                models=[cls.model for cls in users],
            )
            ledger.captured.keep(settings.capture_runs, texts=settings.capture_texts)
            test.quota = Quota.of(self.plan)
            if settings.guarded:
                test.spending = Spending(settings.budget, self._send_slice, test.wake.set)
                tell_limits(settings.budget, users, settings.prices, proxied=bool(settings.proxy))
            warn_of_blunt(settings, users)
            if settings.proxy:
                start_proxy(test, self.meter)
            if self.master is not None:
                self.master.begin(test)
            else:
                prepare(users)
                self.meter.load.begin(
                    order_of_load(test), index=0, count=1, idle=test.wake.set, tell=partial(_take_purse, test)
                )
        except Refused as refusal:
            self._refuse(str(refusal))
        except AgentLocustError as error:
            self._refuse(str(error))
        except Exception as error:
            logger.exception("agentlocust: a bug of its own")
            self._refuse(f"{type(error).__name__}: {error}")
        test.begun = True
        test.started = test.measured_from = time.monotonic()
        if test.proxying is not None:
            tell_time(test, self.meter)
        logger.info("agentlocust: seed %d, target %s", settings.seed, test.mock.url if test.mock else "--host")
        if self.monitor is not None:
            self.monitor.begin()
        test.ticker = gevent.spawn(Ticker(test, self.meter, self.monitor, self.master, self.end_test).run)
        self.begun.set()

    def _send_slice(self, worker: str, word: dict[str, Any]) -> None:
        if worker == PROXY:
            if self.current is not None and self.current.proxying is not None:
                self.current.proxying.order(slice=word)
            return
        if self.master is not None:
            self.master.send_slice(worker, word)
        elif self.meter.load.guard is not None:
            self.meter.load.guard.hear(word)

    def _warn_of_class_hosts(self, users: list[type[AgentUser]]) -> None:
        for cls in users:
            if cls.host not in (None, "", MOCK_HOST):
                logger.warning(
                    "%s.host is set, but only --host names a real target: the embedded mock LLM is used", cls.__name__
                )

    @staticmethod
    def _warn_of_kept_keys(users: list[type[AgentUser]], origin: Origin) -> None:
        for variable in sorted({cls.key_variable for cls in users if cls.key_variable}):
            if os.environ.get(variable) and not origin.may_carry_key:
                logger.warning("%s is not sent to %s: keys travel over https, or to this machine", variable, origin)

    def _refuse(self, reason: str) -> None:
        """The test cannot start: say why, end the process with 2, or leave the web UI waiting."""
        logger.error("agentlocust: the test cannot start: %s", reason)
        self.codes.append(COULD_NOT_START)
        if self.current is not None:
            self._close(self.current)
        self._await_verdict()
        self.current = None
        self.begun.set()
        if self._ends_by_itself() or self.options.autostart:
            gevent.spawn(self._quit)
        Event().wait()  # Locust would start the users after this: whoever ends the test ends this greenlet

    def _ends_by_itself(self) -> bool:
        options = self.options
        return bool(options.headless or (options.autostart and options.autoquit != -1))

    def _quit(self) -> None:
        self.runner.quit()
        if self.environment.web_ui is not None:
            self.environment.web_ui.stop()

    # -- meanwhile -----------------------------------------------------------------------------

    def end_test(self) -> None:
        """End the test, without waiting for it."""
        gevent.spawn(self._quit if self._ends_by_itself() else self.runner.stop)

    # -- what the driver asks for --------------------------------------------------------------

    def enter(self, phase: str, rates: tuple[float, float, float]) -> None:
        """A phase begins everywhere; in the open loop at a rate that goes from one to another in so many seconds."""
        test = self.current
        if test is not None:
            test.windows = test.windows.entered(phase, time.monotonic() - test.started)
            if test.proxying is not None:
                test.proxying.order(phase=phase)
        if self.master is not None:
            if self.meter.ordeal is not None:
                self.meter.ordeal.enter(phase)  # for what its proxy saw
            self.master.enter(phase, rates)
        else:
            self.meter.load.enter(phase, rates)

    def gather(self) -> None:
        """Have the workers report what they have not."""
        if self.master is not None:
            self.master.gather()
        else:
            self.meter.load.count_offered()

    def reset(self) -> None:
        """Locust's statistics were reset: so are ours."""
        if self.current is not None:
            if self.current.quota.total:
                logger.warning("agentlocust: what was measured is kept: this test is to make an exact number")
                return
            self.current.restart_measuring()
            self.meter.restart()
            if self.current.proxied is not None:
                self.current.proxied.restart()
            if self.monitor is not None:
                self.monitor.begin()
            if self.master is not None:
                self.master.reset()

    def signalled(self, number: int) -> bool:
        """A signal asked for the end; True when Locust may act on it. Does not block."""
        if self.current is not None and not self.current.ended:
            self.current.signal = number
        if self._number == 0 and self._ends_by_itself():
            self.codes.append(128 + number)
        if self._number == 0 and self.options.headless:
            # Locust waits for its workers, and an exception would leave them behind.
            gevent.spawn(self._leave_before_start, 128 + number)
            return False
        return True

    def _leave_before_start(self, code: int) -> None:
        logger.info("agentlocust: interrupted before the test was started")
        self.runner.quit()
        end_children()  # workers that have not connected yet hear of nothing
        gevent.get_hub().parent.throw(SystemExit(code))

    def leave_at_once(self, code: int) -> None:
        """The process ends now: so shall the workers, wherever they are."""
        if self.master is not None:
            self.master.abandon(code)

    # -- the end -------------------------------------------------------------------------------

    def drain(self) -> None:
        """The test stops: gather every worker's last report before anything is judged."""
        test = self.current
        if test is None or self.master is None:
            return
        if self._drained is not None:  # someone asked before: wait with them
            self._drained.wait()
            return
        self._drained = Event()
        try:
            self.master.drain(test)
        finally:
            self._drained.set()

    def finish(self, *, report_failed: bool = False) -> None:
        """The test has stopped and all reports are in: judge it, write it, say it.

        `report_failed` when files of somebody else's could not be written.
        """
        test, self.current = self.current, None
        if test is None:
            self._await_verdict()
            return
        self._finished = Event()
        try:
            self._end(test, report_failed=report_failed)
        finally:
            self._finished.set()

    def _await_verdict(self) -> None:
        if self._finished is not None:  # another greenlet is at it
            self._finished.wait()

    def _end(self, test: LoadTest, *, report_failed: bool) -> None:
        test.ended = time.monotonic()
        if test.ticker is not None and test.ticker is not gevent.getcurrent():
            test.ticker.kill(block=False)
        if self.monitor is not None:
            self.monitor.end()
        self.meter.load.end()
        if test.proxying is not None and test.proxied is not None:
            test.proxying.stop()
            test.proxied.note(self.meter.take_notes())
            test.proxied.finish()
            logger.info("agentlocust: through the proxy: %s", test.proxied.told())
        if test.spending is not None:
            if self.meter.load.guard is not None:
                self.meter.load.guard.report(idle=True)
            test.spending.end()
        read_vitals(test, self.monitor)
        if test.watching is not None:
            test.watching.stop()
        if log.unhandled_greenlet_exception:
            test.problems.append("a listener crashed: its traceback is in the log")
        test.problems += [f"a listener crashed in worker {worker}" for worker in test.reports.crashed()]
        try:
            self.codes.append(self._judge(test, test.summary(), report_failed=report_failed))
        finally:
            self._close(test)
        if self.master is not None and not self.master.workers() and self._ends_by_itself():
            gevent.spawn(self._quit)  # Locust would sit out the run time without a single worker

    @staticmethod
    def _close(test: LoadTest) -> None:
        """End the processes that stood beside the test."""
        if test.watching is not None:
            test.watching.stop()
        if test.proxying is not None:
            test.proxying.stop()
        if test.mock is not None:
            test.mock.stop()

    def _judge(self, test: LoadTest, summary: Summary, *, report_failed: bool) -> int:
        shape = test.settings.load.shape  # the plan may be the next test's by now
        checks = test.settings.checks
        if shape is not None and shape.searches:
            checks = tuple(check for check in checks if not (check.default or is_condition(check)))
        results = evaluate(checks, summary)
        summary.verdict = decide(summary, results, report_failed=report_failed)
        return self.outputs.write(test, summary, results)

    def exit_code(self) -> int:
        """The process's exit code: the worst of its tests; 0 when none was started."""
        code = worst(self.codes)
        if self.current is not None and self.current.signal and not self.current.begun:
            code = worst([code, 128 + self.current.signal])
        elif self.current is not None or (log.unhandled_greenlet_exception and code != COULD_NOT_START):
            code = worst([code, NOT_VALID])
        return code

    def last_chance(self) -> None:
        """The process quits: a test still under way ends first."""
        if self.current is not None and isinstance(self.runner, LocalRunner):
            self.runner.stop()
        if self.current is not None:
            self._close(self.current)
        self._await_verdict()


def _take_purse(test: LoadTest, word: dict[str, Any]) -> None:
    if test.spending is not None:
        test.spending.take(HERE, word)
