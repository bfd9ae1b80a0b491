"""The worker's side of a distributed test: ready when it can reach its target, silent only when all is told."""

from __future__ import annotations

import http.client
import json
import logging
import os
import random
import signal
import socket
import time
from datetime import date
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import gevent
from gevent.event import Event
from locust import log, runners

from agentlocust.config import parse_yaml
from agentlocust.conventions import Convention
from agentlocust.lifecycle.master import (
    ABANDON,
    ASK,
    BEGIN,
    BEGUN,
    DRAIN,
    DRAINED,
    ENTER,
    GATHER,
    GATHERED,
    GRANT,
    PURSE,
    RESET,
    RETURN,
    SHARE,
    SLICE,
)
from agentlocust.lifecycle.reports import KEY
from agentlocust.lifecycle.signals import end_children
from agentlocust.monitor.generator import GeneratorMonitor
from agentlocust.pricing import PriceBook
from agentlocust.sla.verdict import COULD_NOT_START, NOT_VALID
from agentlocust.users.base import AgentUser
from agentlocust.users.meter import Meter
from agentlocust.users.sdk import prepare

if TYPE_CHECKING:
    from locust.env import Environment
    from locust.rpc import Message
    from locust.runners import WorkerRunner

logger = logging.getLogger(__name__)

REPORT_INTERVAL_S = 1.0  # a killed worker takes at most this much with it
MASTER_SILENCE_S = 10.0  # a worker whose master is gone spends no more money than this
NO_MORE_ORDERS = 2**62  # Locust discards orders to spawn that are older than this (Unix seconds)
INTERRUPTED_SILENCE_S = 3.0  # one that was interrupted with it waits no longer than this
MAKING_S = 10.0  # how long a worker may be in the making
_made = Event()  # this process's worker knows all messages


def hold_messages() -> None:
    """Let a worker that is still in the making read no message: one who joins a test would drop its orders unread.

    Locust connects a worker before it lets anybody register messages, so those that come at once are unknown to it.
    """
    handle = runners.WorkerRunner.handle_message

    def handle_when_made(runner: WorkerRunner, msg: Message) -> None:
        if msg.type != "ack":  # for that one Locust itself waits
            _made.wait(MAKING_S)
        handle(runner, msg)

    runners.WorkerRunner.handle_message = handle_when_made  # type: ignore[assignment,method-assign]  # no event for it


class Worker:
    """Reports numbered deltas to the master and ends when, and only when, the master says so."""

    def __init__(self, environment: Environment, runner: WorkerRunner, meter: Meter) -> None:
        self.environment = environment
        self.meter = meter
        self._runner = runner
        self._monitor = GeneratorMonitor()
        self._test = 0
        self._sent = 0
        self._drained: Event | None = None
        self._interrupted = False
        self._runner.register_message(BEGIN, self._on_begin)
        self._runner.register_message(DRAIN, self._on_drain, concurrent=True)
        self._runner.register_message(RESET, self._on_reset)
        self._runner.register_message(ENTER, self._on_enter)
        self._runner.register_message(SHARE, self._on_share)
        self._runner.register_message(GATHER, self._on_gather)
        self._runner.register_message(GRANT, self._on_grant)
        self._runner.register_message(SLICE, self._on_slice)
        self._runner.register_message(ABANDON, self._on_abandon)
        gevent.spawn(self._watch_master, time.time())
        if runner.state == runners.STATE_STOPPED:
            # The master told it to quit while Locust was still making this runner: what was made
            # after that would wait for orders for ever.
            runner.greenlet.kill(block=False)
        if runners.WORKER_REPORT_INTERVAL == 3.0:
            runners.WORKER_REPORT_INTERVAL = REPORT_INTERVAL_S
        _made.set()

    # -- the start -----------------------------------------------------------------------------

    def _on_begin(self, environment: Environment, msg: Message) -> None:
        # Done before the next message is read: the order to spawn users may be right behind.
        order = msg.data
        self._test = order["test"]
        self._sent = 0
        self._drained = None
        self._runner.last_received_spawn_timestamp = 0
        self.environment.reset_stats = order["reset_stats"]
        # The master's day too: a price that changes at midnight changes for no one in mid-test.
        own = [parse_yaml(text, name) for name, text in order["pricing"]]
        self.meter.prices = PriceBook.load(own, today=date.fromisoformat(order["today"]))
        self.meter.proxy_url = order["proxy_url"]
        users = [cls for cls in environment.user_classes if issubclass(cls, AgentUser)]
        prepare(users)
        self.meter.begin(
            mock_url=order["mock_url"],
            seed=order["seed"],
            warmup_s=order["warmup_s"],
            convention=Convention(order["convention"]),
            models=[cls.model for cls in users],
        )
        self.meter.ledger.captured.keep(order["capture_runs"], texts=order["capture_texts"])
        self.meter.load.begin(
            order["load"],
            index=order["index"],
            count=order["count"],
            idle=self._idle,
            ask=self._ask_permits,
            tell=self._tell_purse,
        )
        self._monitor.begin()
        random.seed(f"{order['seed']}/{self._runner.worker_index}")
        gevent.spawn(self._say_ready, order)

    def _say_ready(self, order: dict[str, Any]) -> None:
        refused = _mock_out_of_reach(order["mock_url"], order["mock_instance"]) if order["mock_url"] else ""
        self._runner.send_message(BEGUN, {"test": order["test"], "refused": refused})
        if refused:
            logger.error("agentlocust: this worker cannot take part: %s", refused)
            self.environment.process_exit_code = COULD_NOT_START
            self._runner.quit()

    @property
    def test(self) -> int:
        """The number of the test under way; 0 for none."""
        return self._test

    # -- meanwhile -----------------------------------------------------------------------------

    def report(self, data: dict[str, Any]) -> None:
        """Put our delta into Locust's report."""
        if self._test:
            if self._runner.user_count == 0 and (unused := self.meter.load.unused_permits()):
                self._runner.send_message(RETURN, {"n": unused})
            if self.meter.load.guard is not None:
                self.meter.load.guard.report(idle=self._runner.user_count == 0)
            self.meter.load.count_offered()
            self._sent += 1
            data[KEY] = {"test": self._test, "delta": self.meter.ledger.take(), "crashed": _crashed()}
            data[KEY]["vitals"] = self._monitor.take()
            if self.meter.proxy_url:
                notes = [list(note) for note in self.meter.take_notes()]
                data[KEY]["runs"] = {"host": socket.gethostname(), "notes": notes}

    def _on_enter(self, environment: Environment, msg: Message) -> None:
        self.meter.load.enter(msg.data["phase"], msg.data["rates"])

    def _on_share(self, environment: Environment, msg: Message) -> None:
        self.meter.load.reshare(msg.data["index"], msg.data["count"])

    def _on_gather(self, environment: Environment, msg: Message) -> None:
        self._runner._send_stats()
        self._runner.send_message(GATHERED)

    def _idle(self) -> None:
        # The master ends a test of so many calls when it hears of the last: the sooner the truer its rates.
        gevent.spawn(self._runner._send_stats)

    def _ask_permits(self) -> None:
        self._runner.send_message(ASK)

    def _tell_purse(self, word: dict[str, Any]) -> None:
        self._runner.send_message(PURSE, {"test": self._test, **word})

    def _on_slice(self, environment: Environment, msg: Message) -> None:
        if msg.data["test"] == self._test and self.meter.load.guard is not None:
            self.meter.load.guard.hear(msg.data)

    def _on_grant(self, environment: Environment, msg: Message) -> None:
        self.meter.load.grant(msg.data["n"])

    def _on_reset(self, environment: Environment, msg: Message) -> None:
        self.meter.restart()
        self._monitor.begin()

    def signalled(self, number: int) -> bool:
        """A signal asked this worker to end; True when it may."""
        # A terminal's Ctrl-C reaches the whole process group. The master drains its workers, so a
        # worker in a test goes on; one whose master has gone ends by itself.
        if number != signal.SIGINT or not self._test:
            return True
        self._interrupted = True
        logger.info("agentlocust: interrupted; the master ends this worker's test, a second signal quits at once")
        return False

    def _watch_master(self, welcomed: float) -> None:
        while True:
            gevent.sleep(1)
            # A time of the user's own, which Locust reads from the environment, is kept to.
            own = runners.MASTER_HEARTBEAT_TIMEOUT
            silence = INTERRUPTED_SILENCE_S if self._interrupted else MASTER_SILENCE_S if own == 60 else own
            heard = self._runner.last_heartbeat_timestamp or welcomed
            if heard < time.time() - silence:
                break
        logger.error("agentlocust: the master has not been heard of for %g s: ending", silence)
        self.environment.process_exit_code = NOT_VALID
        self.environment.stop_timeout = 0.0  # nobody is left who would hear of the calls in flight
        self._runner.user_greenlets.kill(block=False)
        self._runner.quit()

    def _on_abandon(self, environment: Environment, msg: Message) -> None:
        end_children()
        os._exit(msg.data["code"])

    # -- the end -------------------------------------------------------------------------------

    def drain(self) -> None:
        """Stop the users, report the rest and say the last word, once a test."""
        if not self._test:
            return
        if self._drained is not None:
            self._drained.wait()
            return
        self._drained = Event()
        # When another worker leaves, Locust shares out its users: an order that is on its way here
        # must not start some of whom nobody will hear.
        self._runner.last_received_spawn_timestamp = NO_MORE_ORDERS
        try:
            self._runner.stop()
            self.meter.load.end()
            self._monitor.end()
            self._runner._send_stats()
            self._runner.send_message(DRAINED, {"test": self._test, "sent": self._sent, "crashed": _crashed()})
            # Locust makes a stopped worker wait that long before it takes part again.
            self.environment.stop_timeout = 0.0
            self._test = 0
        finally:
            self._drained.set()

    def _on_drain(self, environment: Environment, msg: Message) -> None:
        if msg.data["test"] == self._test:
            self.drain()


def _crashed() -> bool:
    return bool(log.unhandled_greenlet_exception)


def _mock_out_of_reach(url: str, instance: str) -> str:
    """Why this process cannot use the master's embedded mock; "" when it can."""
    where = urlsplit(url)
    advice = (
        "the embedded mock LLM serves only the master's machine; give --host, "
        "or start one for all with `agentlocust mock --host ADDRESS` and name it in --host"
    )
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=5)
    try:
        connection.request("GET", "/_truth")
        answer = json.loads(connection.getresponse().read())
    except (OSError, ValueError, http.client.HTTPException) as error:
        return f"cannot reach {url} ({error}): {advice}"
    finally:
        connection.close()
    return "" if answer.get("instance") == instance else f"{url} is another server here: {advice}"
