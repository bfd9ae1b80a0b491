"""What workers tell the master: numbered deltas of their ledgers, so that a lost one is known."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from agentlocust.health import Health
from agentlocust.ledger import Ledger
from agentlocust.lifecycle.watching import Watching
from agentlocust.sketch import Sketch

KEY = "agentlocust"  # our one key in Locust's worker reports


@dataclass(slots=True)
class WorkerState:
    """What the master knows of one worker in this test."""

    received: int = 0  # deltas
    sent: int | None = None  # deltas, as the worker's last word says; None before it
    crashed: bool = False
    left: float = 0.0  # when the last word came (monotonic)


@dataclass(slots=True)
class Reports:
    """Collects the deltas of one test's workers into a ledger."""

    test: int
    ledger: Ledger
    health: Health
    workers: dict[str, WorkerState] = field(default_factory=dict)
    watching: Watching | None = None

    def join(self, worker: str) -> None:
        """A worker takes part; from now on its last word is owed."""
        self.workers.setdefault(worker, WorkerState())

    def take(self, worker: str, report: dict[str, Any]) -> None:
        """Merge a worker's delta; one of another test is left alone."""
        if report["test"] != self.test:
            return
        self.join(worker)
        state = self.workers[worker]
        state.crashed |= bool(report["crashed"])
        state.received += 1
        self.ledger.merge(report["delta"])
        add_vitals(self.health, worker, report["vitals"])
        if self.watching is not None:
            self.watching.add_generator(worker, report["vitals"]["seconds"])

    def last_word(self, worker: str, word: dict[str, Any]) -> None:
        """A worker says how many deltas it sent in all."""
        if word["test"] != self.test:
            return
        self.join(worker)
        state = self.workers[worker]
        state.sent = word["sent"]
        state.left = time.monotonic()
        state.crashed |= bool(word["crashed"])

    def awaited(self) -> list[str]:
        """The workers whose last word has not come."""
        return [worker for worker, state in self.workers.items() if state.sent is None]

    def departed(self, since: float) -> list[str]:
        """The workers whose last word came before `since` (monotonic)."""
        return [worker for worker, state in self.workers.items() if state.sent is not None and state.left < since]

    def lost(self) -> list[str]:
        """The workers that never said their last word, or of whose deltas some are missing."""
        return [worker for worker, state in self.workers.items() if state.sent != state.received]

    def crashed(self) -> list[str]:
        """The workers in which a listener crashed."""
        return [worker for worker, state in self.workers.items() if state.crashed]


def add_vitals(health: Health, process: str, vitals: dict[str, Any]) -> None:
    """Add what a process's `GeneratorMonitor.take` returned."""
    health.add(process, vitals["seconds"], Sketch.decode(vitals["lag"]), vitals["stamps"])
