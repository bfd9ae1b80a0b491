"""Runs that are kept whole: the best of each class, bounded, merged in any order to the same end.

A worker keeps its own best and sends what is new among them, so the master's best are those of the
whole test. Runs travel as JSON texts beside ints and strings.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from agentlocust.metrics import SCALE, Unit
from agentlocust.records import AgentRun
from agentlocust.steps import CallStep, RunStep, Step, ToolStep
from agentlocust.usage import Usage

CLASSES = ("failed", "slowest", "dearest", "typical")  # in the order in which they take turns
MAX_EXAMPLE_STEPS = 100  # of a finding's example

Entry = list[Any]  # id, JSON text, then class and rank in turn


@dataclass(slots=True)
class _Kept:
    text: str
    ranks: dict[str, int]


class Captured:
    """The `size` highest ranked runs of each class; 0 keeps none."""

    def __init__(self, size: int = 0) -> None:
        self.size = size
        self._runs: dict[int, _Kept] = {}
        self._classes: dict[str, list[tuple[int, int]]] = {}  # (rank, id), lowest first
        self._new: set[int] = set()

    def __len__(self) -> int:
        return len(self._runs)

    def clear(self) -> None:
        """Forget all."""
        self._runs.clear()
        self._classes.clear()
        self._new.clear()

    def wants(self, ranks: dict[str, int], identity: int) -> bool:
        """True when a run of these ranks would be kept: only then is it worth writing down."""
        return self.size > 0 and any(self._admits(name, rank, identity) for name, rank in ranks.items())

    def add(self, identity: int, text: str, ranks: dict[str, int]) -> None:
        """Keep a run where it is among the best."""
        admitted = {name: rank for name, rank in ranks.items() if self._admits(name, rank, identity)}
        if not self.size or not admitted:
            return
        kept = self._runs.setdefault(identity, _Kept(text, {}))
        for name, rank in admitted.items():
            kept.ranks[name] = rank
            best = self._classes.setdefault(name, [])
            best.append((rank, identity))
            best.sort()
            if len(best) > self.size:
                self._leave(name, best.pop(0)[1])
        if identity in self._runs:
            self._new.add(identity)

    def _admits(self, name: str, rank: int, identity: int) -> bool:
        best = self._classes.get(name, [])
        if (rank, identity) in best:
            return False
        return len(best) < self.size or (rank, identity) > best[0]

    def _leave(self, name: str, identity: int) -> None:
        kept = self._runs[identity]
        del kept.ranks[name]
        if not kept.ranks:
            del self._runs[identity]
            self._new.discard(identity)

    def take(self) -> list[Entry]:
        """What is new since the last take. It stays here too, so that nothing worse is sent after it."""
        new = [(identity, self._runs[identity]) for identity in sorted(self._new)]
        self._new.clear()
        return [[str(i), kept.text, *(x for pair in sorted(kept.ranks.items()) for x in pair)] for i, kept in new]

    def merge(self, entries: Sequence[Entry]) -> None:
        """Add what another's `take` returned."""
        for identity, text, *ranks in entries:
            self.add(int(identity), text, dict(zip(ranks[::2], ranks[1::2], strict=True)))

    def best(self, name: str) -> list[dict[str, Any]]:
        """The runs of a class, the highest ranked first."""
        return [json.loads(self._runs[identity].text) for _, identity in reversed(self._classes.get(name, []))]

    def chosen(self, count: int) -> list[dict[str, Any]]:
        """At most `count` runs: the classes take turns; `why` says for what each was taken."""
        queues = {name: [identity for _, identity in reversed(self._classes.get(name, []))] for name in CLASSES}
        taken: dict[int, str] = {}
        while len(taken) < count and any(queues.values()):
            for name, queue in queues.items():
                while queue and queue[0] in taken:
                    queue.pop(0)
                if queue and len(taken) < count:
                    taken[queue.pop(0)] = name
        return [{"why": why, **json.loads(self._runs[identity].text)} for identity, why in taken.items()]


class CapturedRuns:
    """What a ledger keeps of runs: `--capture-runs` of them, and an example of each finding."""

    def __init__(self) -> None:
        self.count = 0
        self.texts = False
        self.runs = Captured()
        self.examples = Captured(1)

    def keep(self, count: int, *, texts: bool = False) -> None:
        """Keep `count` runs of this test, with their texts or without."""
        self.count, self.texts = count, texts
        self.runs.size = count

    def clear(self) -> None:
        """Forget the runs, not how many are to be kept."""
        self.runs.clear()
        self.examples.clear()

    def add(self, run: AgentRun) -> None:
        """See whether a run that has ended is to be kept."""
        if run.cancelled:
            return
        if self.count:
            ranks = {"slowest": round(run.latency * SCALE[Unit.SECONDS]), "typical": _lot(run.id)}
            if run.error:
                ranks["failed"] = _lot(run.id)
            if run.cost_picousd:
                ranks["dearest"] = run.cost_picousd
            if self.runs.wants(ranks, run.id):
                self.runs.add(run.id, _written(tree_of(run, texts=self.texts)), ranks)
        worst: dict[str, int] = {}
        for finding in run.findings:
            worst[finding.kind.value] = max(finding.amount, worst.get(finding.kind.value, 0))
        if worst and self.examples.wants(worst, run.id):
            tree = tree_of(run, texts=False)
            tree["steps_left_out"] += max(len(tree["steps"]) - MAX_EXAMPLE_STEPS, 0)
            tree["steps"] = tree["steps"][:MAX_EXAMPLE_STEPS]
            self.examples.add(run.id, _written(tree), worst)

    def take(self) -> list[list[Entry]]:
        """What is new since the last take."""
        return [self.runs.take(), self.examples.take()]

    def merge(self, entries: Sequence[Sequence[Entry]]) -> None:
        """Add what another's `take` returned."""
        self.runs.merge(entries[0])
        self.examples.merge(entries[1])

    def example(self, kind: str) -> dict[str, Any]:
        """The run that shows a finding most plainly; empty when none was kept."""
        return next(iter(self.examples.best(kind)), {})

    def lines(self) -> list[str]:
        """The chosen runs, one JSON text each: the lines of `runs.jsonl`."""
        return [_written(tree) for tree in self.runs.chosen(self.count)]


def _lot(identity: int) -> int:
    """A run's place in a draw that no order of arrival changes."""
    return int.from_bytes(blake2b(identity.to_bytes(8, "big"), digest_size=7).digest(), "big")


def _written(tree: dict[str, Any]) -> str:
    return json.dumps(tree, ensure_ascii=False, separators=(",", ":"))


def tree_of(run: AgentRun, *, texts: bool) -> dict[str, Any]:
    """A run as JSON values: seconds from its start, dollars as pico-dollars; `texts` with what was said."""
    tree: dict[str, Any] = {
        "id": f"{run.id:016x}",
        "name": run.name,
        "phase": run.phase,
        "labels": dict(run.labels),
        "latency_s": run.latency,
        "ttft_s": run.ttft,
        "ttfo_s": run.ttfo,
        "end_reason": run.end_reason.value,
        "error": run.error,
        "calls": run.calls,
        "attempts": run.attempts,
        "turns": run.turns,
        "tool_calls": run.tool_calls,
        "tool_errors": run.tool_errors,
        "tokens": _tokens(run.usage),
        "context_max": run.context_max,
        "cost_picousd": run.cost_picousd,
        "scores": list(run.scores),
        "hand_offs": list(run.hand_offs),
        "findings": [{"kind": finding.kind.value, "sentence": finding.sentence} for finding in run.findings],
        "steps": [_step(step, run.started, texts=texts) for step in run.steps],
        "steps_left_out": run.steps_left_out,
    }
    if texts:
        tree["asked"] = run.asked
    return tree


def _tokens(usage: Usage) -> dict[str, int]:
    return {
        "input": usage.input,
        "cache_read": usage.cache_read,
        "cache_write": usage.cache_write,
        "output": usage.output,
        "reasoning": usage.reasoning,
    }


def _step(step: Step, origin: float, *, texts: bool) -> dict[str, Any]:
    common = {"name": step.name, "start_s": step.started - origin, "latency_s": step.latency}
    if isinstance(step, RunStep):
        inner = [_step(inner, origin, texts=texts) for inner in step.steps]
        end = {"end_reason": step.end_reason, "error": step.error, "cost_picousd": step.cost_picousd}
        return {"kind": "run", **common, **end, "steps": inner, "steps_left_out": step.steps_left_out}
    if isinstance(step, ToolStep):
        tool = {"kind": "tool", **common, "agent": step.agent, "error": step.error}
        tool |= {"arguments": step.arguments, "size": step.size, "items": step.items}
        return tool | {"text": step.text} if texts else tool
    return _call(step, common, texts=texts)


def _call(step: CallStep, common: dict[str, Any], *, texts: bool) -> dict[str, Any]:
    call = {
        "kind": "call",
        **common,
        "agent": step.agent,
        "model": step.model,
        "ttft_s": step.ttft,
        "ttfo_s": step.ttfo,
        "attempts": step.attempts,
        "tokens": _tokens(step.usage),
        "cost_picousd": step.cost_picousd,
        "failure": step.failure,
        "asks": [
            {"name": ask.name, "arguments": ask.digest, "problem": ask.problem} | ({"text": ask.text} if texts else {})
            for ask in step.asks
        ],
    }
    return call | {"said": step.said, "replied": step.replied} if texts else call
