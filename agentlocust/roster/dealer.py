"""One test of a roster on the node that judges it: deals operations out, hears what came of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from agentlocust.roster.deal import Deal, Stint
from agentlocust.roster.members import Roster
from agentlocust.roster.operations import EVENTS, draw
from agentlocust.roster.outcome import Made, statistics, write_files


@dataclass(frozen=True, slots=True)
class Word:
    """What a holder says: operations made (as `packed`), lanes given back, and how many users wait for one.

    `received` is how many stints have reached it, so that none is dealt twice while one is on its way.
    """

    made: Sequence[Sequence[Any]] = ()
    free: Sequence[int] = ()
    waiting: int = 0
    received: int = 0


def packed(
    agent: int,
    number: int,
    event: int,
    took_s: float,
    *,
    injected: bool = False,
    handed: bool = False,
    reason: str = "",
) -> list[Any]:
    """An operation that ended now, as it travels: ints and strings."""
    at_ms = time.time_ns() // 1_000_000
    return [agent, number, event, at_ms, round(took_s * 1e6), int(injected), int(handed), reason]


class Dealer:
    """Knows every operation of one test: who is at it, and how it ended."""

    def __init__(self, roster: Roster, seed: int, users: int) -> None:
        self.roster = roster
        self.seed = seed
        self._deal = Deal([member.weight for member in roster.members], roster.operations, users)
        self._made: list[Made] = []
        self._waiting: dict[str, int] = {}
        self._sent: Counter[str] = Counter()
        self._started_ms = self._ended_ms = time.time_ns() // 1_000_000

    @property
    def complete(self) -> bool:
        """True once every operation has been heard of."""
        return self._deal.complete

    def hear(self, holder: str, word: Word) -> dict[str, list[Stint]]:
        """Take a holder's word. Returns the stints to send, by holder."""
        for agent, number, event, at_ms, took_us, injected, handed, reason in word.made:
            if not self._deal.made(agent, number):
                continue  # another made it, when this holder was thought to be gone
            operation = draw(self.roster, agent, number, self.seed)
            partner = operation.partner if handed else ""
            kind = EVENTS[event]
            self._made.append(
                Made(
                    operation.agent, number, operation.task, kind, at_ms, took_us / 1e6, bool(injected), partner, reason
                )
            )
            self._ended_ms = time.time_ns() // 1_000_000
        self._deal.give_back(holder, word.free)
        if holder not in self._waiting:  # new here, or back after it was thought lost
            self._sent[holder] = word.received
        on_its_way = max(self._sent[holder] - word.received, 0)
        self._waiting[holder] = word.waiting - on_its_way
        return self._serve()

    def here(self, holders: Iterable[str]) -> dict[str, list[Stint]]:
        """Only these holders are left: what others held goes to them. Returns the stints to send."""
        gone = (self._deal.holders() | set(self._waiting)).difference(holders)
        for holder in gone:
            self._deal.lost(holder)
            self._waiting.pop(holder, None)
            self._sent.pop(holder, None)
        return self._serve() if gone else {}

    def _serve(self) -> dict[str, list[Stint]]:
        served: dict[str, list[Stint]] = {}
        for holder in self._waiting:
            while self._waiting[holder] > 0 and (stint := self._deal.take(holder)) is not None:
                self._waiting[holder] -= 1
                self._sent[holder] += 1
                served.setdefault(holder, []).append(stint)
        return served

    def write(self, directory: str) -> dict[str, Any]:
        """Write the files and return the statistics. Raises OSError."""
        ended_ms = self._ended_ms if self.complete else time.time_ns() // 1_000_000
        figures = statistics(self.roster, self._made, seed=self.seed, started_ms=self._started_ms, ended_ms=ended_ms)
        write_files(directory, figures, self._made)
        return figures
