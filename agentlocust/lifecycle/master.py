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

from agentlocust.lifecycle.orders import order_of_load
from agentlocust.lifecycle.reports import KEY, Reports
from agentlocust.users.meter import RunNote

if TYPE_CHECKING:
    from locust.env import Environment
    from locust.runners import MasterRunner

    from agentlocust.lifecycle.load_test import LoadTest

logger = logging.getLogger(__name__)

BEGIN, BEGUN = "agentlocust_begin", "agentlocust_begun"
DRAIN, DRAINED = "agentlocust_drain", "agentlocust_drained"
RESET = "agentlocust_reset"
ENTER = "agentlocust_enter"  # a phase, and its rates
SHARE = "agentlocust_share"  # which part of the rate is whose
GATHER, GATHERED = "agentlocust_gather", "agentlocust_gathered"
ASK, GRANT, RETURN = "agentlocust_ask", "agentlocust_grant", "agentlocust_return"  # permits
PURSE, SLICE = "agentlocust_purse", "agentlocust_slice"  # money
ABANDON = "agentlocust_abandon"

READY_S = 15.0  # how long a worker may take to say that it is ready
TOGETHER_S = 3.0  # a signal to the whole process group ends workers and master within it
GRACE_S = 5.0  # beyond the stop timeout, for the last reports
GATHER_S = 1.0  # how long the workers' reports are waited for between two stages of a shape
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
        self._test: LoadTest | None = None
        self._sharing: list[str] = []  # the workers who share the rate, each by its index
        self._entered: tuple[str, tuple[float, float, float], float] | None = None  # phase, rates, when
        self._gathered: set[str] = set()
        self._draining = False
        runner.register_message(BEGUN, self._on_begun)
        runner.register_message(DRAINED, self._on_drained)
        runner.register_message(GATHERED, self._on_gathered)
        runner.register_message(ASK, self._on_ask)
        runner.register_message(RETURN, self._on_return)
        runner.register_message(PURSE, self._on_purse)

    # -- the start -----------------------------------------------------------------------------

    def begin(self, test: LoadTest) -> None:
        """Tell every worker of the test and wait until each is ready. Raises Refused."""
        self._reports = test.reports
        self._ready.clear()
        self._refusals.clear()
        self._draining = False
        self._test = test
        self._entered = None
        workers = self._sharing = self.workers()
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
        if self._reports is None or self._draining:
            return
        self._sharing = [*self._sharing, worker]
        self._invite(worker)
        self._share()
        if self._entered is not None:
            phase, rates, at = self._entered
            self._runner.send_message(ENTER, _enter(phase, _rest(rates, time.monotonic() - at)), client_id=worker)

    def _invite(self, worker: str) -> None:
        assert self._reports is not None
        assert self._test is not None
        self._reports.join(worker)
        order = _order_of(self._test, self._sharing.index(worker), len(self._sharing))
        self._runner.send_message(BEGIN, order, client_id=worker)

    # -- meanwhile -----------------------------------------------------------------------------

    def take(self, worker: str, data: dict[str, Any]) -> None:
        """A worker's report arrived inside Locust's own."""
        if self._reports is not None and KEY in data:
            self._reports.take(worker, data[KEY])
            if self._test is not None and self._test.proxied is not None and "runs" in data[KEY]:
                told = data[KEY]["runs"]
                self._test.proxied.note([_note(*note) for note in told["notes"]], told["host"])
            if self._test is not None and data[KEY]["test"] == self._test.number:
                self._test.quota.report(worker, data[KEY]["delta"])
                if self._test.quota.met(self._test.ledger):
                    self._test.wake.set()

    def enter(self, phase: str, rates: tuple[float, float, float]) -> None:
        """Tell the workers that a phase begins."""
        self._entered = phase, rates, time.monotonic()
        self._runner.send_message(ENTER, _enter(phase, rates))

    def gather(self) -> None:
        """Have every worker report what it has not, and wait a moment for it."""
        self._gathered.clear()
        workers = set(self.workers())
        self._runner.send_message(GATHER)
        deadline = time.monotonic() + GATHER_S
        while not self._gathered >= workers and time.monotonic() < deadline:
            self._await_news(deadline)

    def look_after(self) -> None:
        """Workers that are gone leave their part of the load, and their permits, to the others."""
        here = self.workers()
        gone = [worker for worker in self._sharing if worker not in here]
        if not gone or self._draining:
            return
        self._sharing = [worker for worker in self._sharing if worker in here]
        self._share()
        if self._test is not None:
            for worker in gone:
                self._test.quota.lost(worker)
                if self._test.spending is not None:
                    self._test.spending.lost(worker)
            self._serve_waiting()

    def _share(self) -> None:
        for index, worker in enumerate(self._sharing):
            self._runner.send_message(SHARE, {"index": index, "count": len(self._sharing)}, client_id=worker)

    def _on_ask(self, environment: Environment, msg: Message) -> None:
        if self._test is not None and not self._draining:
            n = self._test.quota.ask(msg.node_id, len(self._sharing))
            if n:
                self._runner.send_message(GRANT, {"n": n}, client_id=msg.node_id)

    def _on_return(self, environment: Environment, msg: Message) -> None:
        if self._test is not None:
            self._test.quota.returned(msg.node_id, msg.data["n"])
            self._serve_waiting()

    def _on_purse(self, environment: Environment, msg: Message) -> None:
        test = self._test
        if test is not None and test.spending is not None and msg.data["test"] == test.number:
            test.spending.take(msg.node_id, msg.data)

    def send_slice(self, worker: str, word: dict[str, Any]) -> None:
        """Send a worker its slice of the budget."""
        assert self._test is not None
        self._runner.send_message(SLICE, {"test": self._test.number, **word}, client_id=worker)

    def _serve_waiting(self) -> None:
        assert self._test is not None
        for worker in sorted(self._test.quota.waiting):
            n = self._test.quota.ask(worker, len(self._sharing))
            if n:
                self._runner.send_message(GRANT, {"n": n}, client_id=worker)

    def _on_gathered(self, environment: Environment, msg: Message) -> None:
        self._gathered.add(msg.node_id)
        self._news.set()

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


def _note(run: str, name: str, started_ns: int, ended_ns: int, row: Any, failed: str) -> RunNote:
    if row is not None:
        *names, labels = row
        row = (*names, tuple((key, value) for key, value in labels))
    return RunNote(run, name, started_ns, ended_ns, row, failed)


def _enter(phase: str, rates: tuple[float, float, float]) -> dict[str, Any]:
    return {"phase": phase, "rates": list(rates)}


def _rest(rates: tuple[float, float, float], elapsed_s: float) -> tuple[float, float, float]:
    """What is left of a change of rate after some of its time."""
    start, end, seconds = rates
    if elapsed_s >= seconds:
        return end, end, 0.0
    return start + (end - start) * elapsed_s / seconds, end, seconds - elapsed_s


def _order_of(test: LoadTest, index: int, count: int) -> dict[str, Any]:
    mock = test.mock
    return {
        "test": test.number,
        "seed": test.settings.seed,
        "warmup_s": 0.0 if test.settings.load.driven else test.settings.warmup_s,
        "reset_stats": test.environment.reset_stats,
        "load": order_of_load(test, index, count),
        "index": index,
        "count": count,
        "convention": test.settings.convention.value,
        "mock_url": mock.url if mock is not None else "",
        "proxy_url": test.proxying.url if test.proxying is not None else "",
        "mock_instance": mock.instance if mock is not None else "",
        "today": test.started_at.date().isoformat(),
        "capture_runs": test.settings.capture_runs,
        "capture_texts": test.settings.capture_texts,
        "pricing": [[str(path), path.read_text(encoding="utf-8")] for path in test.settings.pricing],
    }
