"""What the proxy saw, joined: attempts into calls, calls into the ledger, and each to the run that caused it."""

from __future__ import annotations

import json
import socket
import time
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from agentlocust.backoff import Repeats, Try
from agentlocust.conventions import Stamps, times_of
from agentlocust.failures import Failure, FailureKind
from agentlocust.faults.catalogue import explains
from agentlocust.proxy.reading import cost_of, plain_model
from agentlocust.proxy.record import Attempt
from agentlocust.records import Call, ToolCall
from agentlocust.users.meter import Meter, RunNote

HOLD_S = 65.0  # the longest that an SDK heeds a Retry-After, and a little
MAX_LINES = 20_000
MAX_RUNS = 500_000
MAX_REPEATING = 10_000  # runs whose failed calls are remembered
NAME = "proxy"  # of calls whose run has told no name
_RETRIED = frozenset({408, 409, 429})
_BUNDLED = 1.1


@dataclass(slots=True)
class _Held:
    """A call that failed as SDKs try again."""

    first: Attempt
    last: Attempt
    attempts: int
    faults: tuple[str, ...] = ()  # of all attempts
    tries: list[Try] = field(default_factory=list)


@dataclass(slots=True)
class _Sum:
    """What the calls of a run come to."""

    calls: int = 0
    tokens: int = 0
    cost_picousd: int | None = 0
    struck: bool = False  # by faults of the test's plan
    injected: bool = False  # one failed for that

    def add(self, tokens: int, cost_picousd: int | None) -> None:
        """One more call."""
        self.calls += 1
        self.tokens += tokens
        known = self.cost_picousd is not None and cost_picousd is not None
        self.cost_picousd = (self.cost_picousd or 0) + (cost_picousd or 0) if known else None


class Proxied:
    """The calls of one test that went through the proxy. `lost` says since when there was none, "" while there is."""

    def __init__(self, meter: Meter) -> None:
        self.lost = ""
        self._meter = meter
        self._held: dict[tuple[str, str], _Held] = {}
        self._calls: list[tuple[Attempt, int]] = []  # last attempts, with how many there were
        self._left_out = self._elsewhere = 0
        self._notes: list[RunNote] = []
        self._here = socket.gethostname()
        self._sums: dict[str, _Sum] = {}
        self._repeats: dict[str, Repeats] = {}

    def take(self, attempt: Attempt) -> None:
        """A request has ended."""
        self._expire(attempt.ended_ns)
        if attempt.metered:  # the user who asked records it, and knows more of it
            self._elsewhere += 1
            return
        if attempt.tool:
            self._add_tool(attempt)
        if not attempt.dialect or attempt.failure == FailureKind.BUDGET:
            return  # what was not sent costs nothing; the guard counts it
        key = (attempt.run, attempt.key)
        held = self._held.pop(key, None) if attempt.key and attempt.number >= 0 else None
        if held is not None and attempt.number <= 0:
            self._add(held)
            held = None
        call = held or _Held(attempt, attempt, 0)
        call.last = attempt
        call.attempts += 1
        call.faults += attempt.faults
        call.tries.append(Try(attempt.started_ns, attempt.ended_ns, attempt.retry_after_s))
        if attempt.number >= 0 and _may_be_tried_again(attempt):
            self._held[key] = call
        else:
            self._add(call)

    def note(self, notes: list[RunNote], host: str = "") -> None:
        """Runs that have ended; those of other machines tell no time that could be compared."""
        if host not in ("", self._here):
            notes = [note._replace(started_ns=0, ended_ns=0) for note in notes]
        self._notes += notes

    def restart(self) -> None:
        """What came before does not count."""
        self._held.clear()
        self._calls.clear()
        self._sums.clear()
        self._repeats.clear()
        self._notes.clear()
        self._left_out = self._elsewhere = 0

    def finish(self) -> None:
        """The test is over: nobody tries again, and what each run came to is known."""
        self._expire(2**63)
        for attempt, _ in self._calls:
            if not attempt.by:
                run, by, _ = self._cause(attempt)
                if by:
                    found = self._sums.setdefault(run, _Sum())
                    found.add(attempt.usage.total, attempt.cost_picousd)
                    found.struck |= bool(attempt.faults)
                    found.injected |= _injected(attempt)
        for note in self._notes:
            if note.row is not None:
                found = self._sums.get(note.run, _Sum())
                self._meter.ledger.add_proxied_run(
                    *note.row,
                    found.calls,
                    found.tokens,
                    found.cost_picousd,
                    struck=found.struck,
                    failed=note.failed if found.injected else "",
                )

    def told(self) -> str:
        """In a sentence: how many calls there were, and how the runs that caused them are known."""
        by = Counter(self._cause(attempt)[1] or "nothing" for attempt, _ in self._calls)
        known = ", ".join(f"{how} {n}" for how, n in by.most_common())
        told = f"{len(self._calls) + self._left_out} calls" + (f", their runs known by: {known}" if known else "")
        return told + (f"; {self._elsewhere} requests of the test's own users, counted by them" * bool(self._elsewhere))

    def lines(self) -> list[str]:
        """The calls, one JSON text each: the lines of `calls.jsonl`."""
        return [json.dumps(self._line(attempt, attempts), ensure_ascii=False) for attempt, attempts in self._calls]

    # -- inside --------------------------------------------------------------------------------

    def _expire(self, now_ns: int) -> None:
        late = [key for key, held in self._held.items() if now_ns - held.last.ended_ns > HOLD_S * 1e9]
        for key in late:
            self._add(self._held.pop(key))

    def _add_tool(self, attempt: Attempt) -> None:
        started = attempt.started_ns / 1e9
        latency = (attempt.ended_ns - attempt.started_ns) / 1e9
        error = f"{attempt.failure}: {attempt.message}" if attempt.failure else ""
        cancelled = attempt.failure == FailureKind.CANCELLED
        phase = self._meter.phase_at(started)
        faults, injected = attempt.faults, _injected(attempt)
        tool = ToolCall(attempt.tool, started, latency, error, cancelled, phase, faults=faults, injected=injected)
        self._meter.ledger.add_tool(tool)
        if attempt.by and faults:
            found = self._sums.setdefault(attempt.run, _Sum())
            found.struck, found.injected = True, found.injected or injected

    def _add(self, held: _Held) -> None:
        meter, last = self._meter, held.last
        started_ns = held.first.started_ns
        usage = last.usage
        failure = Failure(FailureKind(last.failure), last.message, last.status) if last.failure else None
        if failure is not None:
            failure = replace(failure, injected=_injected(last))
        stamps = Stamps(started_ns, last.token_ns, last.frame_ns, last.last_byte_ns)
        times = times_of(stamps, usage.output, meter.convention)
        ended_ns = last.ended_ns - started_ns if failure is not None or times is None else times.latency_ns
        model = plain_model(last.model)
        call = Call(
            last.run_name or NAME,
            model,
            started_ns / 1e9,
            ended_ns / 1e9,
            phase=meter.phase_at(started_ns / 1e9),
            ttft=times.ttft_ns / 1e9 if times is not None else None,
            ttfo=(last.first_output_ns - started_ns) / 1e9 if last.first_output_ns else None,
            gaps_ns=times.gaps_ns if times is not None else (),
            tpot_as=times.tpot_ns / 1e9 if times is not None and times.tpot_ns is not None else None,
            bundled=last.streamed and usage.output > len(last.token_ns) * _BUNDLED + 2,
            usage=usage,
            cost_picousd=cost_of(meter.prices, last.replied, last.model, usage),
            failure=failure,
            status=last.status,
            attempts=held.attempts,
            response_bytes=last.response_bytes,
            streamed=last.streamed,
            faults=held.faults,
            tries=tuple(held.tries) if failure is not None or held.attempts > 1 else (),
        )
        meter.record_proxied(call, last.ended_ns / 1e9, last.key.encode(), self._repeats_of(last))
        if last.by and len(self._sums) < MAX_RUNS:
            found = self._sums.setdefault(last.run, _Sum())
            found.add(usage.total, call.cost_picousd)
            found.struck |= bool(held.faults)
            found.injected |= failure is not None and failure.injected
        if len(self._calls) < MAX_LINES:
            small = replace(
                last,
                started_ns=started_ns,
                token_ns=last.token_ns[:1],
                frame_ns=(),
                cost_picousd=call.cost_picousd,
                faults=held.faults,
            )
            self._calls.append((small, held.attempts))
        else:
            self._left_out += 1

    def _repeats_of(self, attempt: Attempt) -> Repeats | None:
        """What the run that caused it has failed at; None when it is not known which that was."""
        if not attempt.by:
            return None
        found = self._repeats.pop(attempt.run, None) or Repeats()
        if len(self._repeats) >= MAX_REPEATING:
            del self._repeats[next(iter(self._repeats))]
        self._repeats[attempt.run] = found  # the last to be forgotten
        return found

    def _cause(self, attempt: Attempt) -> tuple[str, str, str]:
        """The run, how it is known, and its name; by time where exactly one run was under way all the while."""
        if attempt.by:
            return attempt.run, attempt.by, attempt.run_name
        self._notes.sort(key=lambda note: note.started_ns)
        until = bisect_right(self._notes, attempt.started_ns, key=lambda note: note.started_ns)
        open_ = [note for note in self._notes[max(until - 1000, 0) : until] if note.ended_ns >= attempt.started_ns]
        later = until < len(self._notes) and self._notes[until].started_ns < attempt.ended_ns
        if len(open_) == 1 and not later and open_[0].ended_ns >= attempt.ended_ns:
            return open_[0].run, "time", open_[0].name
        return "", "", ""

    def _line(self, attempt: Attempt, attempts: int) -> dict[str, Any]:
        run, by, name = self._cause(attempt)
        usage, started = attempt.usage, attempt.started_ns
        return {
            "started_s": round(started / 1e9 - self._meter.started, 6),
            "run": run,
            "run_by": by,
            "run_name": name,
            "model": attempt.model,
            "path": attempt.path,
            "status": attempt.status,
            "own": attempt.own,
            "failure": attempt.failure,
            "faults": list(attempt.faults),  # of all its attempts
            "attempts": attempts,
            "latency_s": (attempt.ended_ns - started) / 1e9,
            "ttft_s": (attempt.token_ns[0] - started) / 1e9 if attempt.token_ns else None,
            "tokens": {
                "input": usage.input,
                "cache_read": usage.cache_read,
                "cache_write": usage.cache_write,
                "output": usage.output,
                "reasoning": usage.reasoning,
                "estimated": usage.estimated,
            },
            "cost_picousd": attempt.cost_picousd,
        }


def _injected(attempt: Attempt) -> bool:
    """Whether a fault that struck it is why it failed; who gave up waiting has timed out."""
    if not attempt.failure or not attempt.faults:
        return False
    left = attempt.left and attempt.failure == FailureKind.CLIENT
    return explains(attempt.faults, FailureKind.TIMEOUT if left else FailureKind(attempt.failure))


def _may_be_tried_again(attempt: Attempt) -> bool:
    """Whether an official SDK may send it again. It often hangs up first: on an error's body, at its time-out."""
    if not attempt.failure or attempt.failure == FailureKind.CANCELLED:
        return False
    status = attempt.status or attempt.own
    if 200 <= status < 300:
        broken = attempt.failure in (FailureKind.RESET, FailureKind.TRUNCATED_STREAM)
        return not attempt.streamed and (broken or attempt.left)
    return status in _RETRIED or status >= 500 or status == 0


def seconds_ago(since: float) -> str:
    """For people: how far into the test something happened."""
    return f"{time.monotonic() - since:.0f} s into the test"
