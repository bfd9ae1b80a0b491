"""The composition root: the only module that adds Locust listeners and command-line options."""

from __future__ import annotations

import logging
import os
import random
import sys
from typing import TYPE_CHECKING, Any

import gevent
from locust import events
from locust.runners import WorkerRunner

from agentlocust.lifecycle.conductor import Conductor
from agentlocust.lifecycle.log_filter import ScrubbingFilter, scrub_exception, scrub_failures
from agentlocust.lifecycle.options import add_options, read_settings, user_classes
from agentlocust.lifecycle.outputs import Outputs
from agentlocust.lifecycle.signals import Signals
from agentlocust.lifecycle.worker import Worker, hold_messages
from agentlocust.pricing import PriceBook
from agentlocust.redact import Scrubber
from agentlocust.roster.desk import Desk
from agentlocust.roster.user import RosterUser
from agentlocust.shapes import gate
from agentlocust.users.meter import MARK, Meter
from agentlocust.web.form import check_form

if TYPE_CHECKING:
    from locust.argument_parser import LocustArgumentParser
    from locust.env import Environment
    from locust.runners import Runner

logger = logging.getLogger(__name__)


class Pack:
    """What this process is made of once Locust has set itself up."""

    def __init__(self) -> None:
        self.scrubber = Scrubber(environ=os.environ)
        self.meter: Meter | None = None
        self.conductor: Conductor | None = None  # alone or on the master
        self.worker: Worker | None = None
        self.outputs: Outputs | None = None
        self.desk: Desk | None = None  # where a test has a roster
        self.signals: Signals | None = None

    def signalled(self, number: int) -> bool:
        """A first signal came; True when Locust may act on it."""
        node = self.conductor or self.worker
        return node is None or node.signalled(number)

    def leave_at_once(self, code: int) -> None:
        """A second signal came."""
        if self.conductor is not None:
            self.conductor.leave_at_once(code)


pack = Pack()


@events.init_command_line_parser.add_listener
def _add_options(parser: LocustArgumentParser) -> None:
    add_options(parser)


gate.install()  # before any user exists
hold_messages()


@events.init.add_listener
def _init(environment: Environment, runner: Runner, **_: Any) -> None:
    signals = pack.signals = Signals(pack.signalled, pack.leave_at_once)
    meter = pack.meter = Meter(environment, PriceBook.load(), pack.scrubber)
    environment.agentlocust = meter  # type: ignore[attr-defined]  # where our User classes find it
    scrub_failures(environment.stats, pack.scrubber)
    logging.getLogger().addFilter(ScrubbingFilter(pack.scrubber))
    for handler in logging.getLogger().handlers:
        handler.addFilter(ScrubbingFilter(pack.scrubber))
    rosters = [cls for cls in environment.user_classes if issubclass(cls, RosterUser)]
    if rosters:
        pack.desk = Desk(environment, runner, rosters[0].read_options, _end_test)
        environment.agentlocust_roster = pack.desk  # type: ignore[attr-defined]  # where a RosterUser finds it
    if isinstance(runner, WorkerRunner):
        worker = pack.worker = Worker(environment, runner, meter)
        # Before Locust's own listener tells the master that this worker is gone.
        environment.events.quitting.add_listener(lambda **_: worker.drain())
        environment.events.quitting.add_listener(lambda **_: signals.end_began())
        return
    options: Any = environment.parsed_options
    stays_open = environment.web_ui is not None and not (options.autostart and options.autoquit != -1)
    # With --json, stdout is Locust's document.
    stream = sys.stderr if options.json else sys.stdout
    pack.outputs = Outputs(pack.scrubber, stream, print_last=not stays_open)
    pack.conductor = Conductor(environment, runner, meter, pack.outputs)
    pack.conductor.choose(read_settings(options, user_classes(options)).load)
    if environment.web_ui is not None:
        check_form(environment.web_ui, pack.conductor)
    # Listeners run in reverse: this one before Locust's own, which ends the test.
    environment.events.quitting.add_listener(lambda **_: signals.end_began())


@events.init.add_listener
def _set_clock(**_: Any) -> None:
    """Have gevent look at the clock: imports took time, of which Locust's run time would be short."""
    gevent.get_hub().loop.update_now()


def _end_test() -> None:
    if pack.conductor is not None:
        pack.conductor.end_test()


@events.test_start.add_listener
def _test_start(environment: Environment, **_: Any) -> None:
    if pack.signals is not None:
        pack.signals.claim()
    if pack.conductor is not None:
        pack.conductor.begin()
        random.seed(f"{pack.conductor.meter.seed}/0")
    if pack.desk is not None and pack.meter is not None:
        pack.desk.begin(pack.meter.seed, _number_of_test())


def _number_of_test() -> int:
    if pack.worker is not None:
        return pack.worker.test
    test = pack.conductor.current if pack.conductor is not None else None
    return test.number if test is not None else 0


@events.worker_connect.add_listener
def _worker_connect(client_id: str, **_: Any) -> None:
    if pack.conductor is not None and pack.conductor.master is not None:
        pack.conductor.master.welcome(client_id)


@events.report_to_master.add_listener
def _report_to_master(client_id: str, data: dict[str, Any], **_: Any) -> None:
    if pack.worker is not None:
        pack.worker.report(data)
    if pack.desk is not None:
        pack.desk.report()


@events.worker_report.add_listener
def _worker_report(client_id: str, data: dict[str, Any], **_: Any) -> None:
    # A worker that is told to quit before Locust has made it whole reports without this; Locust's own
    # listener, which comes after, would crash on it.
    data.setdefault("user_classes_count", {})
    if pack.conductor is not None and pack.conductor.master is not None:
        pack.conductor.master.take(client_id, data)
    if pack.desk is not None:
        pack.desk.look_after()


@events.request.add_listener
def _request(context: dict[str, Any] | None = None, exception: Exception | None = None, **_: Any) -> None:
    if pack.meter is not None and not (context and context.get(MARK)):
        pack.meter.ledger.count("other_requests")
        if exception:
            pack.meter.ledger.count("other_failed")


@events.user_error.add_listener
def _user_error(user_instance: Any, exception: Exception, **_: Any) -> None:
    scrub_exception(exception, pack.scrubber)
    if pack.meter is not None:
        pack.meter.ledger.count("task_errors")


@events.reset_stats.add_listener
def _reset_stats(**_: Any) -> None:
    if pack.conductor is not None:
        pack.conductor.reset()


@events.spawning_complete.add_listener
def _spawning_complete(**_: Any) -> None:
    meter = pack.meter
    if meter is not None and meter.environment.reset_stats:
        if pack.conductor is not None:
            pack.conductor.reset()
        else:
            meter.restart()


@events.test_stopping.add_listener
def _test_stopping(**_: Any) -> None:
    if pack.meter is not None:
        pack.meter.load.close()
    if pack.conductor is not None:
        pack.conductor.drain()


@events.test_stop.add_listener
def _test_stop(**_: Any) -> None:
    written = pack.desk.finish() if pack.desk is not None else True
    if pack.conductor is not None:
        pack.conductor.finish(report_failed=not written)


# At import time, so that it comes after Locust's own: quitting listeners run in reverse.
@events.quitting.add_listener
def _quitting(environment: Environment, **_: Any) -> None:
    conductor = pack.conductor
    if conductor is None:
        return
    conductor.last_chance()
    code = conductor.exit_code()
    if code or not environment.process_exit_code:  # a locustfile's own verdict is not made better
        environment.process_exit_code = code


@events.quit.add_listener
def _quit(**_: Any) -> None:
    if pack.outputs is not None:
        pack.outputs.print_rest()
