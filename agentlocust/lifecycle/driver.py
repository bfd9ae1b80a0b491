"""The Driver holds the load where a shape wants it, tells the shape what it saw, and labels the phases."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import gevent
from gevent.event import Event
from locust import LoadTestShape

from agentlocust.lifecycle.load_plan import LoadPlan
from agentlocust.lifecycle.observation import observe
from agentlocust.records import MAIN_PHASE, WARMUP_PHASE
from agentlocust.shapes.spec import describe
from agentlocust.shapes.stage import Finding, Load, Program, Seen, Stage

if TYPE_CHECKING:
    from agentlocust.lifecycle.conductor import Conductor
    from agentlocust.lifecycle.load_test import LoadTest

logger = logging.getLogger(__name__)

STEP_S = 0.25  # how often a level that moves is followed
LOOK_S = 1.0  # how often a stage that may end early is looked at
POOL_S = 30.0  # how long the users of an open loop may take to be there
SETTLE_S = 0.1  # for the last of them to come to the gate
LEAST_RATE = 100.0  # users a second: a level is reached at once
AGAIN_S = 1.0  # after which a target that was missed is ordered again
# What Locust says each time a level moves, several times a second; phases are told instead.
_CHATTER = ("Ramping to", "All users spawned", "Sending spawn jobs", "Your selected spawn rate", "Spawning is complete")


@dataclass(slots=True)
class Span:
    """A phase as it was: seconds from the start of the test, and the level at its end."""

    phase: str
    start_s: float
    end_s: float
    level: float


def _not_chatter(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(_CHATTER)


class DrivenShape(LoadTestShape):
    """What Locust sees of a Driver: one tick that lasts as long as the test."""

    abstract = True  # never to be picked up from a locustfile
    use_common_options = True

    def __init__(self, conductor: Conductor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Locust leaves it untyped
        self._conductor = conductor

    def tick(self) -> None:
        """Drive the whole test; None tells Locust that it is over."""
        Driver(self._conductor).run()


class Driver:
    """Drives one test through its shape.

    A stage's level is followed by a greenlet of its own: on a master, Locust's `start` returns only
    when its workers have reported.
    """

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor
        self._runner = conductor.runner
        self._plan: LoadPlan = conductor.plan
        self._target = 0
        self._commanded = -1
        self._changed = Event()
        self._risen = False  # a level called for someone
        self._phase = ""
        self._began = 0.0  # of the stage (monotonic)

    def run(self) -> None:
        """Start the test, hold each stage, and leave with the test what was found."""
        shape = self._plan.shape
        assert shape is not None
        self._conductor.begun.clear()
        if shape.name != MAIN_PHASE:
            logger.info("agentlocust: %s", describe(shape))
        locust_log = logging.getLogger("locust.runners")
        locust_log.addFilter(_not_chatter)
        program = shape.run()
        first = next(program)
        self._target = max(self._users(first.start), 1)
        commander = gevent.spawn(self._command)
        try:
            self._conductor.begun.wait()
            test = self._conductor.current
            if test is not None:  # else it was refused
                self._await_pool()
                test.finding = self._through(self._program(program, first), test)
                self._cease(test)
        finally:
            commander.kill(block=False)
            locust_log.removeFilter(_not_chatter)

    def _await_pool(self) -> None:
        """In the open loop the users are there before the first arrival."""
        until = time.monotonic() + POOL_S
        while self._load is Load.RATE and self._runner.user_count < self._plan.pool and time.monotonic() < until:
            gevent.sleep(0.01)
        if self._load is Load.RATE:
            gevent.sleep(SETTLE_S)

    def _program(self, program: Program, stage: Stage) -> Program:
        """The shape from its first stage on, with a warm-up at that level before it."""
        warmup_s = self._conductor.warmup_s
        if warmup_s:
            yield Stage.hold(WARMUP_PHASE, warmup_s, stage.start)
        while True:
            seen = yield stage
            try:
                stage = program.send(seen)
            except StopIteration as end:
                found: Finding = end.value
                return found

    def _through(self, program: Program, test: LoadTest) -> Finding | None:
        """What the shape found; None when time was up before."""
        stage = next(program)
        limit = self._plan.run_time_s
        until = time.monotonic() + limit + self._conductor.warmup_s if limit else math.inf
        while True:
            if not self._hold(stage, test, until):
                return None
            self._conductor.gather()
            try:
                stage = program.send(self._seen(stage, test))
            except StopIteration as end:
                finding: Finding = end.value
                return finding

    def _hold(self, stage: Stage, test: LoadTest, until: float) -> bool:
        """Hold a stage to its end; False when the test's time is up."""
        began = self._began = time.monotonic()
        self._enter(stage, test, began)
        look = stage.at_least
        span = test.spans[-1]
        while (elapsed := time.monotonic() - began) < stage.seconds:
            if time.monotonic() >= until:
                return False
            self._follow(stage, elapsed)
            span.end_s = time.monotonic() - test.started
            if stage.enough is not None and elapsed >= look:
                look = elapsed + LOOK_S
                self._conductor.gather()
                if stage.enough(self._seen(stage, test)):
                    break
            due = look - elapsed if stage.enough is not None and look > elapsed else STEP_S
            gevent.sleep(max(min(STEP_S, stage.seconds - elapsed, due), 0.001))
        self._follow(stage, stage.seconds)
        span.end_s = time.monotonic() - test.started
        return True

    def _enter(self, stage: Stage, test: LoadTest, began: float) -> None:
        if stage.phase != self._phase or self._plan.shares:
            rates = (stage.start, stage.end, stage.seconds if math.isfinite(stage.seconds) else 0.0)
            self._conductor.enter(stage.phase, rates)
        start_s = began - test.started
        if stage.phase != self._phase or not test.spans:
            if test.spans:
                test.spans[-1].end_s = start_s
            test.spans.append(Span(stage.phase, start_s, start_s, stage.end))
            logger.info("agentlocust: phase %s, %s", stage.phase, self._level(stage))
        test.spans[-1].level = stage.end
        self._phase = stage.phase

    def _cease(self, test: LoadTest) -> None:
        """The load ends here: Locust takes a while before it stops the users, and more would arrive."""
        if self._plan.open_loop:
            self._conductor.enter(self._phase, (0.0, 0.0, 0.0))
        test.spans[-1].end_s = time.monotonic() - test.started

    def _level(self, stage: Stage) -> str:
        unit = "/s" if self._load is Load.RATE else " users"
        start, end = f"{stage.start:.4g}{unit}", f"{stage.end:.4g}{unit}"
        return end if start == end else f"{start} to {end}"

    @property
    def _load(self) -> Load:
        assert self._plan.shape is not None
        return self._plan.shape.load

    def _users(self, level: float) -> int:
        return self._plan.pool if self._load is Load.RATE else round(level)

    def _follow(self, stage: Stage, elapsed: float) -> None:
        share = min(elapsed / stage.seconds, 1.0) if stage.seconds else 1.0
        target = self._users(stage.start + (stage.end - stage.start) * share)
        self._risen |= target > 0
        if not self._risen:
            target = 1  # Locust begins with one: to stop it, and start another a moment later, is no one's plan
        if target != self._target:
            self._target = target
            self._changed.set()

    def _command(self) -> None:
        """Have Locust bring its users to the target, again and again."""
        lowered = False
        while True:
            self._changed.clear()
            target, before = self._target, max(self._commanded, 0)
            self._commanded = target
            workers = self._workers()
            self._runner.start(target, max(abs(target - before), LEAST_RATE))
            lowered |= target < before
            while not self._changed.wait(AGAIN_S):
                if self._unheard() or self._workers() != workers:
                    break  # users of a worker that is gone are the others' now: Locust waits a minute with that
                if lowered and self._runner.user_count < target:
                    break  # on the way down Locust may stop one too many: it counts those still at their last task
                lowered &= self._runner.user_count != target

    def _workers(self) -> list[str]:
        return self._conductor.master.workers() if self._conductor.master is not None else []

    def _unheard(self) -> bool:
        """True on a master that could not start for want of workers."""
        return self._conductor.master is not None and not self._conductor.begun.is_set() and not self._workers()

    def _seen(self, stage: Stage, test: LoadTest) -> Seen:
        return observe(stage, test, self._began - test.started)
