"""The Conductor runs load tests on the node that judges them: alone, or the master of workers."""

from __future__ import annotations

import logging
import os
import time
from argparse import Namespace
from typing import TYPE_CHECKING

import gevent
from gevent.event import Event
from locust import log
from locust.runners import LocalRunner, MasterRunner, Runner

from agentlocust.errors import AgentLocustError
from agentlocust.health import Health
from agentlocust.lifecycle.load_test import LoadTest
from agentlocust.lifecycle.master import Master, Refused
from agentlocust.lifecycle.options import read_settings
from agentlocust.lifecycle.outputs import Outputs
from agentlocust.lifecycle.reports import Reports, add_vitals
from agentlocust.lifecycle.signals import end_children
from agentlocust.mock.embedded import EmbeddedMock
from agentlocust.monitor.generator import GeneratorMonitor
from agentlocust.sla import decide, due, evaluate, worst
from agentlocust.sla.verdict import COULD_NOT_START, NOT_VALID
from agentlocust.summary import Summary
from agentlocust.users.base import MOCK_HOST, AgentUser
from agentlocust.users.meter import Meter
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
        self._number = 0
        self._drained: Event | None = None
        self._finished: Event | None = None

    # -- the start -----------------------------------------------------------------------------

    def begin(self) -> None:
        """A test starts: read its settings, start its mock, tell the workers and hear that they are ready."""
        self._number += 1
        self._drained = None
        users = [cls for cls in self.environment.user_classes if issubclass(cls, AgentUser)]
        try:
            settings = read_settings(self.options, users)
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
                test.mock = EmbeddedMock.start(settings.mock, settings.seed)
            self.meter.prices = settings.prices
            self.meter.begin(
                mock_url=test.mock.url if test.mock is not None else "",
                seed=settings.seed,
                warmup_s=settings.warmup_s,
                convention=settings.convention,
                models=[cls.model for cls in users],
            )
            if self.master is not None:
                self.master.begin(test)
        except Refused as refusal:
            self._refuse(str(refusal))
        except AgentLocustError as error:
            self._refuse(str(error))
        test.begun = True
        test.started = test.measured_from = time.monotonic()
        logger.info("agentlocust: seed %d, target %s", settings.seed, test.mock.url if test.mock else "--host")
        if self.monitor is not None:
            self.monitor.begin()
        test.ticker = gevent.spawn(self._tick, test)

    def _warn_of_class_hosts(self, users: list[type[AgentUser]]) -> None:
        for cls in users:
            if cls.host:
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
        if self.current is not None and self.current.mock is not None:
            self.current.mock.stop()
        self._await_verdict()
        self.current = None
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

    def _tick(self, test: LoadTest) -> None:
        watched = [check for check in test.settings.checks if check.abort]
        while self.current is test:
            test.note_users(self.runner.user_count)
            self._read_monitor(test)
            if watched and (violated := due(watched, test.summary(), time.monotonic() - test.started)):
                test.stop_reason = f"aborted: {violated[0].check}, observed {violated[0].observed_text}"
                logger.error("agentlocust: %s", test.stop_reason)
                gevent.spawn(self._quit if self._ends_by_itself() else self.runner.stop)
                return
            gevent.sleep(1)

    def _read_monitor(self, test: LoadTest) -> None:
        if self.monitor is not None:
            add_vitals(test.health, "local", self.monitor.take())

    def reset(self) -> None:
        """Locust's statistics were reset: so are ours."""
        if self.current is not None:
            self.current.restart_measuring()
            self.meter.restart()
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

    def finish(self) -> None:
        """The test has stopped and all reports are in: judge it, write it, say it."""
        test, self.current = self.current, None
        if test is None:
            self._await_verdict()
            return
        self._finished = Event()
        try:
            self._end(test)
        finally:
            self._finished.set()

    def _await_verdict(self) -> None:
        if self._finished is not None:  # another greenlet is at it
            self._finished.wait()

    def _end(self, test: LoadTest) -> None:
        test.ended = time.monotonic()
        if test.ticker is not None and test.ticker is not gevent.getcurrent():
            test.ticker.kill(block=False)
        if self.monitor is not None:
            self.monitor.end()
        self._read_monitor(test)
        if log.unhandled_greenlet_exception:
            test.problems.append("a listener crashed: its traceback is in the log")
        test.problems += [f"a listener crashed in worker {worker}" for worker in test.reports.crashed()]
        try:
            self.codes.append(self._judge(test, test.summary()))
        finally:
            if test.mock is not None:
                test.mock.stop()
        if self.master is not None and not self.master.workers() and self._ends_by_itself():
            gevent.spawn(self._quit)  # Locust would sit out the run time without a single worker

    def _judge(self, test: LoadTest, summary: Summary) -> int:
        results = evaluate(test.settings.checks, summary)
        summary.verdict = decide(summary, results)
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
        if self.current is not None and self.current.mock is not None:
            self.current.mock.stop()
        self._await_verdict()
