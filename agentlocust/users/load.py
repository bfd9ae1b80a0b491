"""The load on one process: when its users' tasks begin, how long they pause, what they may still begin."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from agentlocust.metrics import Kind
from agentlocust.shapes.arrivals import Law
from agentlocust.shapes.dataset import Prompts
from agentlocust.shapes.gate import Gate
from agentlocust.shapes.prompts import PromptSource, PromptSpec
from agentlocust.shapes.replay import Replay
from agentlocust.shapes.schedule import Schedule, Segment
from agentlocust.shapes.trace import TracePart
from agentlocust.users.permits import Permits
from agentlocust.users.purse import Guard
from agentlocust.windows import Window, Windows

if TYPE_CHECKING:
    from agentlocust.users.meter import Meter


class Load:
    """What this process's part of a test's load is; for one test at a time.

    `gates` holds back the tasks of User classes in the open loop; `calls` and `runs` are there in a
    test of exactly so many, `guard` in one that may spend only so much.
    """

    def __init__(self, meter: Meter) -> None:
        self.gates: dict[str, Gate] = {}
        self.think_s: float | None = None
        self.calls: Permits | None = None
        self.runs: Permits | None = None
        self.guard: Guard | None = None
        self.prompts = PromptSource()
        self._meter = meter
        self._schedules: dict[str, Schedule] = {}
        self._replays: dict[str, Replay] = {}
        self._offered: dict[str, int] = {}
        self._shares: Mapping[str, float] = {}

    def begin(
        self,
        order: Mapping[str, Any],
        *,
        index: int,
        count: int,
        idle: Callable[[], None],
        ask: Callable[[], None] | None = None,
        tell: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> None:
        """A test begins with this order; `ask` has the master grant permits, without it all are here.

        `idle` is told when those that were here are used up and what they permitted has ended; `tell`
        takes what a budget's keeper is to know of the money here.
        """
        self.end()
        self._meter.faults.begin(order.get("faults"), index=index, parts=count)
        self.think_s = order["think_s"]
        self._shares = order["shares"]
        seed = order["seed"]
        prompts = Prompts.decode(order["dataset"], seed) if order["dataset"] is not None else None
        self.prompts = PromptSource(PromptSpec.parse(*order["sizes"]), prompts, seed)
        quota = Permits(0 if ask is not None else order["quota_total"], ask, idle) if order["quota"] else None
        self.calls = quota if order["quota"] == Kind.LLM else None
        self.runs = quota if order["quota"] == Kind.AGENT else None
        limits = order["budget"]
        self.guard = None
        if limits is not None:
            self.guard = Guard(self._meter.prices, tell, shared=limits["shared"], run=limits["run"])
        phased = tuple((name, phase) for name, phase in order["phased"])
        windows = Windows(tuple(Window(*window) for window in order["windows"]), phased)
        self._meter.expect(windows, order["age_s"])
        for name in self._shares:
            # The same seed everywhere: each process draws the arrivals of all and takes its share of them.
            rng = random.Random(f"{seed}/{name}")
            self._schedules[name] = Schedule(Law.parse(order["laws"][name]), rng, share=(index, count))
        for name, part in order["traces"].items():
            self._replays[name] = Replay(TracePart.decode(part).starts())
        for name, source in [*self._schedules.items(), *self._replays.items()]:
            self.gates[name] = Gate(source, partial(self._meter.record_start, name))

    def enter(self, phase: str, rates: Sequence[float]) -> None:
        """A phase begins, its rate going from one to another in so many seconds."""
        self.count_offered()
        self._meter.enter_phase(phase)
        now_ns = time.monotonic_ns()
        start, end, seconds = rates
        for name, schedule in self._schedules.items():
            share = self._shares[name]
            schedule.follow(now_ns, Segment(seconds, start * share, end * share))
        for replay in self._replays.values():
            replay.begin(now_ns)
            if not start and not end:
                replay.cease()
        for gate in self.gates.values():
            gate.open()

    def reshare(self, index: int, count: int) -> None:
        """This process's part of the rate is another from now on."""
        for name, schedule in self._schedules.items():
            schedule.reshare(time.monotonic_ns(), index, count)
            self.gates[name].refresh()

    def grant(self, n: int) -> None:
        """Permits came."""
        for permits in (self.calls, self.runs):
            if permits is not None:
                permits.grant(n)

    def unused_permits(self) -> int:
        """Take back the permits that nobody here has a use for."""
        return sum(permits.take_all() for permits in (self.calls, self.runs) if permits is not None)

    def pause(self) -> float:
        """The pause between tasks that the shape asks for, as a `wait_time`."""
        assert self.think_s is not None
        return self.think_s

    def count_offered(self) -> None:
        """Put into the ledger what has come due since the last time."""
        phase = self._meter.phase_at(time.monotonic())
        for name, gate in self.gates.items():
            gate.refresh()
            if n := gate.intended - self._offered.get(name, 0):
                self._offered[name] = gate.intended
                self._meter.ledger.add_offered(name, phase, n)

    def close(self) -> None:
        """The test stops: nothing more begins."""
        for gate in self.gates.values():
            gate.close()

    def end(self) -> None:
        """The test is over: what came due and never began is counted."""
        self.close()
        self._meter.faults.end()
        self.count_offered()
        prompts = self.prompts.dataset
        if prompts is not None:
            self._meter.ledger.count("prompts_given", prompts.given)
            self._meter.ledger.count("prompts_repeated", prompts.repeats)
        self.prompts = PromptSource()
        self.gates = {}
        self._schedules, self._replays, self._offered = {}, {}, {}
