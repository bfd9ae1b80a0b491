"""Puts the local faults of a plan in force within their windows, and takes them back, whatever happens."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

import gevent

from agentlocust.faults.plan import FaultPlan, Local
from agentlocust.users.local.clock import SkewedClock
from agentlocust.users.local.disk import FullDisk
from agentlocust.users.local.pressure import CpuPressure, MemoryPressure

logger = logging.getLogger(__name__)

LOOK_S = 0.05  # how exactly a window's ends are kept


class _Condition(Protocol):
    def begin(self) -> None:
        """In force from now on."""

    def end(self) -> None:
        """Undone."""


class Conditions:
    """The local faults of one test in this process. `struck` is told the name of each that comes into force."""

    def __init__(self, plan: FaultPlan, now: Callable[[], tuple[float, str]], struck: Callable[[str], None]) -> None:
        self._plan = plan
        self._now = now
        self._struck = struck
        self._local = Local()
        self._on: list[_Condition] = []
        self._watch: gevent.Greenlet | None = None

    def start(self) -> None:
        """Look at once, and from now on."""
        if any(rule.local for rule in self._plan.rules):
            self.look()
            self._watch = gevent.spawn(self._run)

    def stop(self) -> None:
        """Undo all; more calls do nothing."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.kill(block=False)
        self._undo()

    def look(self) -> None:
        """Put in force what is to be so now."""
        local = self._plan.local(*self._now())
        if local != self._local:
            self._undo()
            self._local = local
            for name, condition in _made(local):
                self._on.append(condition)
                condition.begin()
                self._struck(name)

    def _run(self) -> None:
        try:
            while True:
                gevent.sleep(LOOK_S)
                self.look()
        finally:
            self._undo()

    def _undo(self) -> None:
        self._local = Local()
        while self._on:
            try:
                self._on.pop().end()
            except Exception:  # the others are undone all the same
                logger.exception("agentlocust: a local fault could not be undone")


def _made(local: Local) -> list[tuple[str, _Condition]]:
    found: list[tuple[str, _Condition]] = []
    if local.memory:
        found.append(("memory_pressure", MemoryPressure(local.memory)))
    if local.cores:
        found.append(("cpu_pressure", CpuPressure(local.cores)))
    if local.skew_s:
        found.append(("clock_skew", SkewedClock(local.skew_s)))
    if local.disk_full:
        found.append(("disk_full", FullDisk()))
    return found
