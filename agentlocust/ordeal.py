"""Records what calls and runs come to before, during and after each window in which something was wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from agentlocust import backoff
from agentlocust.backoff import Repeats, Try
from agentlocust.metrics import SCALE, Kind, Unit
from agentlocust.pulse import TENTH
from agentlocust.records import WARMUP_PHASE, AgentRun, Call, EndReason, ToolCall
from agentlocust.rows import Row
from agentlocust.steps import CallStep, RunStep, Step
from agentlocust.windows import Window, Windows

if TYPE_CHECKING:
    from agentlocust.ledger import Ledger

_NS = SCALE[Unit.SECONDS]
_CUT = (EndReason.TIMEOUT, EndReason.ABANDONED, EndReason.CANCELLED)
_MAX_RETRIERS = 10_000
_AT_ONCE_S = 0.05


def window_key(window: Window) -> str:
    """The name of the ledger's row of a window."""
    return f"window:{window.key}"


def gap_key(gap: int) -> str:
    """The name of the ledger's row of what lies before block `gap` of windows, or after the last."""
    return f"gap:{gap}"


class Ordeal:
    """Puts what is recorded into the ledger's rows of windows and gaps, and into its pulse.

    `started` is when the test began, in monotonic seconds. Warm-up is in neither.
    """

    def __init__(self, ledger: Ledger, windows: Windows, started: float) -> None:
        self._ledger = ledger
        self._windows = windows
        self._started = started
        self._retried: dict[tuple[int, int], None] = {}  # who tried again in which tenth

    def enter(self, phase: str) -> None:
        """A phase begins."""
        self._windows = self._windows.entered(phase, time.monotonic() - self._started)

    def call_ended(self, call: Call, body: bytes, repeats: Repeats | None, *, alone: bool = False) -> None:
        """A call ended; `repeats` are those of its run, None outside of any. `alone`: no run's record holds it."""
        tries = call.tries or (Try(round(call.started * _NS), round((call.started + call.latency) * _NS)),)
        own = repeats or Repeats()
        waits, repeated = own.ended(call.name, body, tries, failed=call.failure is not None)
        if call.phase == WARMUP_PHASE:
            return
        start, end = call.started - self._started, call.started + call.latency - self._started
        pulse = self._ledger.pulse
        for one in tries:
            pulse.at(one.started_ns / _NS - self._started).count("sent")
        failed = tries if call.failure is not None and not call.cancelled else tries[:-1]
        for one in failed:
            pulse.at(one.ended_ns / _NS - self._started).count("tries_failed")
        for row in self._rows(start, end):
            _add_call(row, call, repeated=repeated)
        if not call.cancelled:
            point = pulse.at(end)
            if call.failure is not None:
                point.count("failed")
            else:
                point.sketch("latency").add(round(call.latency * _NS))
        if (repeats is None or alone) and call.failure is not None:
            self._waste(start, end, call.usage.total, call.cost_picousd)
        for wait in waits[: int(repeated)]:  # those within a call are in its latency
            for row in self._rows(wait.began_ns / _NS - self._started, wait.ended_ns / _NS - self._started):
                row.count("waited_ns", wait.ns)
        for wait in waits:
            self._wait(wait, own.number)

    def run_ended(self, run: AgentRun) -> None:
        """A run ended; what one in another wastes is the other's."""
        if run.phase == WARMUP_PHASE:
            return
        start, end = run.started - self._started, run.started + run.latency - self._started
        for row in self._rows(start, end):
            row.count("runs")
            row.sketch("run_any").add(round(run.latency * _NS))
            if run.error and not run.cancelled:
                row.count("runs_failed")
        if run.inside:
            return
        self._waste(start, end, *wasted(run))
        since, until = waited_in_vain(run)
        for index in self._windows.blamed(since - self._started, until - self._started):
            name = "stuck_at_end" if run.cancelled else "stuck"
            self._ledger.own_row(Kind.WINDOW, window_key(self._windows.all[index])).sketch(name).add(
                round((until - since) * _NS)
            )

    def tool_ended(self, tool: ToolCall) -> None:
        """A tool was executed."""
        if tool.again and tool.phase != WARMUP_PHASE:
            start = tool.started - self._started
            for row in self._rows(start, start + tool.latency):
                row.count("duplicates")

    def _wait(self, wait: backoff.Wait, who: int) -> None:
        began, ended = wait.began_ns / _NS - self._started, wait.ended_ns / _NS - self._started
        for row in self._rows(began, max(ended, began)):
            backoff.keep(wait, row.counts, row.sketches)
        point = self._ledger.pulse.at(ended)
        point.count("retries")
        key = (who, int(ended / TENTH))
        if key not in self._retried:
            if len(self._retried) >= _MAX_RETRIERS:
                del self._retried[next(iter(self._retried))]
            self._retried[key] = None
            point.count("retriers")

    def _waste(self, start: float, end: float, tokens: int, cost_picousd: int | None) -> None:
        for row in self._rows(start, end):
            row.count("wasted_tokens", tokens)
            row.count("wasted_picousd", cost_picousd or 0)

    def _rows(self, start: float, end: float) -> Iterator[Row]:
        touched = self._windows.touched(start, max(end, start + 1e-9))
        names = [window_key(self._windows.all[index]) for index in touched] or [gap_key(self._windows.gap_at(start))]
        for name in names:
            yield self._ledger.own_row(Kind.WINDOW, name)


def _add_call(row: Row, call: Call, *, repeated: bool) -> None:
    row.count("attempts", call.attempts)
    row.count("repeats", repeated)
    if call.cancelled:
        row.count("cancelled")
        return
    row.count("calls")
    if call.failure is not None:
        row.count("failed")
        row.count(f"failure:{call.failure.kind}")
        row.sketch("failed_latency").add(round(call.latency * _NS))
        return
    row.sketch("latency").add(round(call.latency * _NS))
    if call.ttft is not None:
        row.sketch("ttft").add(round(call.ttft * _NS))


def wasted(run: AgentRun) -> tuple[int, int]:
    """Tokens and pico-dollars that a run spent for nothing: all if it failed, else those of its failed calls."""
    if run.error or run.abandoned or run.cancelled:
        return run.usage.total, run.cost_picousd or 0
    failed = [step for step in _leaves(run.steps) if isinstance(step, CallStep) and step.failure]
    return sum(step.usage.total for step in failed), sum(step.cost_picousd or 0 for step in failed)


def waited_in_vain(run: AgentRun) -> tuple[float, float]:
    """The longest stretch of a run, monotonic, in which it got nothing and which ended without what it waited for.

    That is a call that failed or was cut, from its last sign of life (its first token, else its start); a tool that
    failed; or all that lies between the last step and the end of a run that somebody cut.
    """
    end = run.started + run.latency
    steps = list(_leaves(run.steps))
    found = [(_sign_of_life(step), step.started + step.latency) for step in steps if _in_vain(step)]
    if not steps and run.error:  # a request to a service
        found.append((run.started + max(run.ttfe or 0.0, run.ttft or 0.0), end))
    if run.end_reason in _CUT and not run.steps_left_out:
        got = (step.started + step.latency for step in steps if not _cut_with(step, end))
        found.append((max(got, default=run.started), end))
    return max(found, key=lambda stretch: stretch[1] - stretch[0], default=(end, end))


def _in_vain(step: Step) -> bool:
    return bool(step.failure if isinstance(step, CallStep) else step.error)


def _sign_of_life(step: Step) -> float:
    return step.started + (step.ttft or 0.0 if isinstance(step, CallStep) else 0.0)


def _cut_with(step: Step, end: float) -> bool:
    """Whether a step ended because its run did: of a call its failure says so."""
    return not isinstance(step, CallStep) and step.started + step.latency > end - _AT_ONCE_S


def _leaves(steps: Sequence[Step]) -> Iterator[Step]:
    """The steps of a run and of those inside it; a run of which nothing is known is one."""
    for step in steps:
        if isinstance(step, RunStep) and step.steps:
            yield from _leaves(step.steps)
        else:
            yield step
