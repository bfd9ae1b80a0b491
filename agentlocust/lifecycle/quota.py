"""A test of exactly N calls, or runs: permits handed out in slices, so that no worker begins one too many."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agentlocust.ledger import Ledger
from agentlocust.lifecycle.load_plan import LoadPlan
from agentlocust.metrics import Kind
from agentlocust.rows import outermost_calls

SLICES = 4  # a worker's share of what is left is handed out in as many parts


@dataclass(slots=True)
class Quota:
    """How many calls (`kind` LLM) or runs (AGENT) a test is to make; 0 for no end.

    `granted` is what each worker was given, `made` what it has reported.
    """

    kind: str = ""
    total: int = 0
    left: int = 0
    granted: dict[str, int] = field(default_factory=dict)
    made: dict[str, int] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, plan: LoadPlan) -> Quota:
        """The quota that a plan asks for."""
        kind = Kind.LLM.value if plan.calls else Kind.AGENT.value
        total = plan.calls or plan.runs
        return cls(kind if total else "", total, total)

    def __str__(self) -> str:
        return f"all {self.total:,} {'calls' if self.kind == Kind.LLM.value else 'runs'} are made"

    def met(self, ledger: Ledger) -> bool:
        """True once all that were asked for have ended."""
        return bool(self.total) and count_made(ledger, self.kind) >= self.total

    def ask(self, worker: str, workers: int) -> int:
        """Permits for a worker that has none left; with 0 it is served when some come back."""
        n = min(self.left, max(self.left // (SLICES * max(workers, 1)), 1))
        self.left -= n
        self.granted[worker] = self.granted.get(worker, 0) + n
        if n:
            self.waiting.discard(worker)
        else:
            self.waiting.add(worker)
        return n

    def report(self, worker: str, delta: dict[str, Any]) -> None:
        """A worker has made some of its own."""
        if self.kind:
            n = sum(outermost_calls(row[5]["c"]) for row in delta["rows"] if row[0] == self.kind)
            self.made[worker] = self.made.get(worker, 0) + n

    def returned(self, worker: str, n: int) -> None:
        """A worker gives back permits that it has no use for; of one that was taken for lost they are back already."""
        if worker not in self.granted:
            return
        self.granted[worker] -= n
        self.left += n

    def lost(self, worker: str) -> None:
        """A worker is gone: what it did not report is for the others."""
        self.left += self.granted.pop(worker, 0) - self.made.get(worker, 0)
        self.waiting.discard(worker)


def count_made(ledger: Ledger, kind: str) -> int:
    """The calls, or runs that are no part of another, in a ledger that completed or failed."""
    return sum(outermost_calls(row.counts) for _, row in ledger.select(kind))
