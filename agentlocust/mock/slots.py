"""The mock's slots: so many replies are made at once, the others wait in one line."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

# A slot passes on when its reply was due to end, though the loop came to it this much later: so the
# loop's lateness does not add up from one reply to the next. Later than that, something held it up.
LATE_S = 0.02


class QueueFull(Exception):
    """As many wait as may."""


class Slots:
    """`number` slots, given out first come, first served; none is ever lost or given twice.

    At most `longest` may wait (None: any number); `tell` is called with the length of the line
    whenever that changes.
    """

    def __init__(self, number: int, longest: int | None, tell: Callable[[int], None]) -> None:
        self._free = deque([0.0] * number)  # since when each is free
        self._longest = longest
        self._tell = tell
        self._line: dict[asyncio.Future[float], None] = {}  # ordered, and left from the middle at no cost

    @property
    def free(self) -> int:
        """How many slots nobody holds."""
        return len(self._free)

    async def take(self, arrived: float) -> float:
        """Wait for a slot; the monotonic time from which it is held, `arrived` when one was free by then.

        Raises QueueFull at once. Whoever is cancelled while it waits holds nothing.
        """
        if self._free:
            return max(arrived, self._free.popleft())
        if self._longest is not None and len(self._line) >= self._longest:
            raise QueueFull
        place: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._line[place] = None
        self._tell(len(self._line))
        try:
            return max(arrived, await place)
        except asyncio.CancelledError:
            if place in self._line:
                del self._line[place]
                self._tell(len(self._line))
            elif not place.cancelled():  # it was given a slot, and went before it knew
                self._pass_on(place.result())
            raise

    def give(self, due: float = 0.0) -> None:
        """Hand a slot back, to the first who waits; `due` is when its reply was to end."""
        now = time.monotonic()
        self._pass_on(due if now - due <= LATE_S else now)

    def _pass_on(self, moment: float) -> None:
        for place in self._line:
            if not place.done():  # else it is cancelled, and not yet awake to leave the line
                place.set_result(moment)
                del self._line[place]
                self._tell(len(self._line))
                return
        self._free.append(moment)
