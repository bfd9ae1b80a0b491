"""The master's side of a distributed test: workers made ready together, and drained to the last report."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any

import gevent
import zmq
from gevent import monkey
from gevent.event import Event
from locust.rpc import Message
from locust.runners import STATE_MISSING

from agentlocust.lifecycle.reports import KEY, Reports

if TYPE_CHECKING:
    from locust.env import Environment
    from locust.runners import MasterRunner

    from agentlocust.lifecycle.load_test import LoadTest

logger = logging.getLogger(__name__)

BEGIN, BEGUN = "agentlocust_begin", "agentlocust_begun"
DRAIN, DRAINED = "agentlocust_drain", "agentlocust_drained"
RESET = "agentlocust_reset"
ABANDON = "agentlocust_abandon"

READY_S = 15.0  # how long a worker may take to say that it is ready
TOGETHER_S = 3.0  # a signal to the whole process group ends workers and master within it
GRACE_S = 5.0  # beyond the stop timeout, for the last reports
FLUSH_S = 0.1  # in which the last messages of a process leave it


class Refused(Exception):
    """A worker cannot take part; the message says which and why."""


class Master:
    """Talks to the workers about one test at a time."""

    def __init__(self, runner: MasterRunner) -> None:
        self._runner = runner
        self._reports: Reports | None = None
        self._news = Event()
        self._ready: set[str] = set()
        self._refusals: dict[str, str] = {}
        self._order: dict[str, Any] = {}
        self._draining = False
        runner.register_message(BEGUN, self._on_begun)
        runner.register_message(DRAINED, self._on_drained)

    # -- the start -----------------------------------------------------------------------------

    def begin(self, test: LoadTest) -> None:
        """Tell every worker of the test and wait until each is ready. Raises Refused."""
        self._reports = test.reports
        self._ready.clear()
        self._refusals.clear()
        self._draining = False
        self._order = _order_of(test)
        workers = self.workers()
        for worker in workers:
            self._invite(worker)
        deadline = time.monotonic() + READY_S
        while not self._refusals and not self._ready.issuperset(workers) and time.monotonic() < deadline:
            self._await_news(deadline)
        if self._refusals:
            worker, reason = next(iter(self._refusals.items()))
            raise Refused(f"worker {worker}: {reason}")
        if silent := set(workers) - self._ready:
            reason = f"did not answer within {READY_S:g} s; does its locustfile use agentlocust?"
            raise Refused(f"worker {min(silent)} {reason}")

    def workers(self) -> list[str]:
        """The workers that are heard of."""
        return [node.id for node in self._runner.clients.all if node.state != STATE_MISSING]

    def welcome(self, worker: str) -> None:
        """A worker connected; one that comes during a test is told of it before it gets users."""
        if self._reports is not None and not self._draining:
            self._invite(worker)

    def _invite(self, worker: str) -> None:
        assert self._reports is not None
        self._reports.join(worker)
        self._runner.send_message(BEGIN, self._order, client_id=worker)

    # -- meanwhile -----------------------------------------------------------------------------

    def take(self, worker: str, data: dict[str, Any]) -> None:
        """A worker's report arrived inside Locust's own."""
        if self._reports is not None and KEY in data:
            self._reports.take(worker, data[KEY])

    def reset(self) -> None:
        """Tell the workers to drop what they have not reported."""
        self._runner.send_message(RESET)

    def _on_begun(self, environment: Environment, msg: Message) -> None:
        if msg.data["refused"]:
            self._refusals[msg.node_id] = msg.data["refused"]
            if self._reports is not None and self._ready:
                logger.error("agentlocust: worker %s cannot take part: %s", msg.node_id, msg.data["refused"])
        else:
            self._ready.add(msg.node_id)
        self._news.set()

    def _on_drained(self, environment: Environment, msg: Message) -> None:
        if self._reports is not None:
            self._reports.last_word(msg.node_id, msg.data)
        self._news.set()

    # -- the end -------------------------------------------------------------------------------

    def drain(self, test: LoadTest) -> None:
        """Have every worker stop its users and say its last word; a worker that does not is lost."""
        self._draining = True
        reports = test.reports
        test.departed = reports.departed(time.monotonic() - TOGETHER_S)
        for worker in reports.awaited():
            self._runner.send_message(DRAIN, {"test": test.number}, client_id=worker)
        deadline = time.monotonic() + (test.environment.stop_timeout or 0) + GRACE_S
        while time.monotonic() < deadline and any(self._answers(worker) for worker in reports.awaited()):
            self._await_news(min(deadline, time.monotonic() + 0.5))
        self._reports = None if not reports.awaited() else self._reports
        for worker in reports.lost():
            logger.error("agentlocust: worker %s was lost with its last reports", worker)

    def abandon(self, code: int) -> None:
        """Have every worker end at once. Called where nothing may yield: it sends past Locust's retries."""
        for worker in self.workers():
            message = Message(ABANDON, {"code": code}, worker)
            with contextlib.suppress(zmq.ZMQError):
                self._runner.server.socket.send_multipart([worker.encode(), message.serialize()], zmq.NOBLOCK)
        monkey.get_original("time", "sleep")(FLUSH_S)

    def _answers(self, worker: str) -> bool:
        node = self._runner.clients.get(worker)
        return node is not None and node.state != STATE_MISSING

    def _await_news(self, until: float) -> None:
        self._news.clear()
        with gevent.Timeout(max(until - time.monotonic(), 0.0), exception=False):
            self._news.wait()


def _order_of(test: LoadTest) -> dict[str, Any]:
    mock = test.mock
    return {
        "test": test.number,
        "seed": test.settings.seed,
        "warmup_s": test.settings.warmup_s,
        "convention": test.settings.convention.value,
        "mock_url": mock.url if mock is not None else "",
        "mock_instance": mock.instance if mock is not None else "",
        "today": test.started_at.date().isoformat(),
        "pricing": [[str(path), path.read_text(encoding="utf-8")] for path in test.settings.pricing],
    }
