"""A trace's arrivals as the starts of a gate."""

from __future__ import annotations

from collections.abc import Iterator

from agentlocust.shapes.schedule import Source, Start
from agentlocust.shapes.trace import Arrival


class Replay(Source):
    """Recorded arrivals, in order and maybe without end; nothing starts before `begin`."""

    def __init__(self, arrivals: Iterator[Arrival]) -> None:
        super().__init__()
        self._arrivals = arrivals
        self._next = next(arrivals, None)
        self._begin_ns: int | None = None

    def begin(self, at_ns: int) -> None:
        """Play it from this instant (monotonic) on; a second time changes nothing."""
        if self._begin_ns is None:
            self._begin_ns = at_ns

    def cease(self) -> None:
        """Nothing of it starts any more."""
        self._next = None

    def reshare(self, at_ns: int, index: int, count: int) -> None:
        """A recording was divided before it began: what a lost worker had of it stays lost."""

    def _peek(self) -> int | None:
        return None if self._next is None or self._begin_ns is None else self._begin_ns + self._next.at_ns

    def _pop(self) -> Start:
        due, arrival = self._peek(), self._next
        if due is None:
            raise LookupError("no start is in sight")
        self._next = next(self._arrivals, None)
        return Start(due, arrival)
