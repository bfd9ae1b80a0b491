"""The roster without Locust: `run_stress_test`, in threads of the caller's process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from secrets import randbelow
from typing import Any

from agentlocust.errors import ConfigError
from agentlocust.redact import Scrubber
from agentlocust.roster.deal import Deal
from agentlocust.roster.members import Member, Roster, read_roster
from agentlocust.roster.operations import INJECTED, Event, Operation, draw, perform
from agentlocust.roster.outcome import Made, statistics, write_files

MOST_THREADS = 256  # more agents than these take turns
MAX_SEED = 2**31 - 1
HOLDER = "here"

Work = Callable[[Operation, Any], Any]


def run_stress_test(
    agents: str | Iterable[str | Member],
    tasks: str | Iterable[str] | Mapping[str, float],
    *,
    missing_data_prob: float = 0.2,
    failure_prob: float = 0.1,
    operations_per_agent: int = 100,
    min_delay: float = 0.05,
    max_delay: float = 0.15,
    output_dir: str | Path | None = None,
    seed: int = 0,
    work: Work | None = None,
) -> dict[str, Any]:
    """Have named agents work at once and return the statistics; with `output_dir` the three files are written.

    The operations are those that a `RosterUser` performs for the same agents, tasks and seed (0 draws one),
    each looking up its data for its delay (seconds) and then acting. They run in plain threads, one an
    agent: no Locust, no gevent, nothing patched, and no model is called. `work(operation, data)` is what an
    agent does with its data, yours to give: what it raises fails the operation. Raises ConfigError for
    arguments that make no test, OSError when the files cannot be written.
    """
    roster = read_roster(
        agents,
        tasks,
        operations=operations_per_agent,
        min_delay=min_delay,
        max_delay=max_delay,
        missing_data=missing_data_prob,
        failure=failure_prob,
    )
    if not 0 <= seed <= MAX_SEED:
        raise ConfigError(f"{seed} is not between 0 and {MAX_SEED}", where="seed")
    test = _Threads(roster, seed or randbelow(MAX_SEED) + 1, work)
    test.run()
    figures = statistics(roster, test.made, seed=test.seed, started_ms=test.started_ms, ended_ms=_now_ms())
    if output_dir is not None:
        write_files(output_dir, figures, test.made)
    return figures


class _Threads:
    """One test in threads."""

    def __init__(self, roster: Roster, seed: int, work: Work | None) -> None:
        self.roster = roster
        self.seed = seed
        self.made: list[Made] = []
        self.started_ms = _now_ms()
        self._work = work
        self._deal = Deal([member.weight for member in roster.members], roster.operations)
        self._lock = threading.Lock()
        self._stopped = False
        self._scrubber = Scrubber()

    def run(self) -> None:
        """Perform every operation; Ctrl-C ends the threads after the operation they are at."""
        number = min(len(self.roster.members), MOST_THREADS)
        threads = [threading.Thread(target=self._one, name=f"agent-{n}", daemon=True) for n in range(number)]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except BaseException:
            self._stopped = True
            raise

    def _one(self) -> None:
        while True:
            with self._lock:
                stint = self._deal.take(HOLDER)
            if stint is None:
                return  # the lanes that are left have a thread each
            for number in stint.numbers():
                if self._stopped:
                    return
                made = self._perform(draw(self.roster, stint.agent, number, self.seed))
                with self._lock:
                    self.made.append(made)
                    self._deal.made(stint.agent, number)
            with self._lock:
                self._deal.give_back(HOLDER, [stint.lane])

    def _perform(self, operation: Operation) -> Made:
        began = time.monotonic()
        event, reason, injected = Event.FAILURE, "", False
        try:
            event = perform(operation, _Hands(self._work))
        except Exception as error:
            reason = self._scrubber.sample(f"{type(error).__name__}: {error}")
        else:
            if event is Event.FAILURE:
                reason, injected = INJECTED, True
        return Made(
            operation.agent,
            operation.number,
            operation.task,
            event,
            _now_ms(),
            time.monotonic() - began,
            injected,
            operation.partner if event is not Event.MISSING_DATA else "",
            reason,
        )


class _Tool:
    result: Any = None

    def fail(self, why: str) -> None:
        """Nothing here measures tools."""


class _Hands:
    """An agent without a model."""

    def __init__(self, work: Work | None) -> None:
        self._work = work

    @contextmanager
    def tool(self, name: str) -> Iterator[_Tool]:
        yield _Tool()

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def look_up(self, operation: Operation) -> Any:
        return {"task": operation.task, "number": operation.number}

    def decide(self, operation: Operation, data: Any) -> Any:
        return data

    def hand_off(self, operation: Operation, decision: Any) -> Any:
        return decision

    def act(self, operation: Operation, decision: Any) -> Any:
        return self._work(operation, decision) if self._work is not None else decision


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
