"""No slot is lost or given twice, and the line is kept."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.mock.slots import LATE_S, QueueFull, Slots

ARRIVED = 1.0


class Play:
    """Visitors who come, leave when told and give up, and what must hold after each step."""

    def __init__(self, number: int, longest: int | None = None) -> None:
        self.number = number
        self.longest = longest
        self.line = 0
        self.slots = Slots(number, longest, self._tell)
        self.visitors: list[asyncio.Task[None]] = []
        self.doors: list[asyncio.Event] = []
        self.served: list[int] = []
        self.inside: set[int] = set()

    def _tell(self, length: int) -> None:
        self.line = length

    async def _visit(self, name: int, door: asyncio.Event) -> None:
        await self.slots.take(ARRIVED)
        self.inside.add(name)
        self.served.append(name)
        try:
            await door.wait()
        finally:
            self.inside.discard(name)
            self.slots.give()

    async def step(self, move: str, which: int) -> None:
        """One move: come, turn (of the loop), give up or leave; the last two by one who has not ended."""
        if move == "come":
            self.doors.append(asyncio.Event())
            self.visitors.append(asyncio.create_task(self._visit(len(self.visitors), self.doors[-1])))
            await asyncio.sleep(0)
        elif move == "turn":
            await asyncio.sleep(0)
        elif open_ones := [name for name, task in enumerate(self.visitors) if not task.done()]:
            name = open_ones[which % len(open_ones)]
            if move == "give up":
                self.visitors[name].cancel()
            elif name in self.inside:
                self.doors[name].set()
        assert len(self.inside) <= self.number
        assert len(self.inside) + self.slots.free <= self.number
        assert self.longest is None or self.line <= self.longest

    async def settle(self) -> None:
        """When all has come to rest no slot is idle while somebody waits, and in the end all are free."""
        for _ in range(4):
            await asyncio.sleep(0)
        waiting = {name for name, task in enumerate(self.visitors) if not task.done()} - self.inside
        assert self.line == len(waiting)
        assert all(name > max(self.served, default=-1) for name in waiting)
        assert len(self.inside) + self.slots.free == self.number
        assert not (waiting and self.slots.free)
        for door in self.doors:
            door.set()
        await asyncio.gather(*self.visitors, return_exceptions=True)
        assert (self.slots.free, self.line) == (self.number, 0)
        assert self.number > 1 or self.served == sorted(self.served)


async def played(number: int, moves: Iterable[tuple[str, int]], longest: int | None = None) -> Play:
    play = Play(number, longest)
    for move, which in moves:
        await play.step(move, which)
    await play.settle()
    return play


def test_every_short_schedule_keeps_the_slots() -> None:
    """Three come to one slot; then whatever four things happen, in whatever order, nothing is lost."""
    moves = [("turn", 0), *itertools.product(("give up", "leave"), (0, 1, 2))]

    async def all_of_them() -> int:
        number = 0
        for schedule in itertools.product(moves, repeat=4):
            await played(1, [("come", 0)] * 3 + list(schedule))
            number += 1
        return number

    assert asyncio.run(all_of_them()) == 7**4


@given(
    st.integers(1, 3),
    st.lists(st.tuples(st.sampled_from(["come", "turn", "give up", "leave"]), st.integers(0, 9)), max_size=40),
    st.sampled_from([None, 0, 1, 2]),
)
def test_any_schedule_keeps_the_slots(number: int, moves: list[tuple[str, int]], longest: int | None) -> None:
    """At every moment, with a line of any length, and with clients that go away at any time."""
    asyncio.run(played(number, moves, longest))


def test_one_given_a_slot_as_it_goes_away_passes_it_on() -> None:
    """The slot goes to the next in line, and who went was never served."""
    moves = [("come", 0), ("come", 0), ("come", 0), ("leave", 0), ("turn", 0), ("give up", 0)]
    assert asyncio.run(played(1, moves)).served == [0, 2]


def test_a_slot_passes_on_when_its_reply_was_due_to_end() -> None:
    """The loop's small lateness is not handed down; a long one is, and nobody is served before it came.

    It is all one whether somebody waited then or came a moment later.
    """

    async def starts(due: float, arrived: float) -> float:
        slots = Slots(1, None, lambda _: None)
        await slots.take(0.0)
        waiting = asyncio.create_task(slots.take(arrived))
        await asyncio.sleep(0)
        slots.give(due)
        start = await waiting
        slots.give(due)
        assert await slots.take(arrived) >= max(arrived, due)
        return start

    now = time.monotonic()
    assert asyncio.run(starts(now, 0.0)) == now
    assert asyncio.run(starts(now, now + 50)) == now + 50
    assert asyncio.run(starts(now - 2 * LATE_S, 0.0)) >= now


def test_a_full_line_refuses_at_once() -> None:
    """Who comes then waits for nothing and takes no place."""

    async def tries() -> None:
        slots = Slots(1, 1, lambda _: None)
        assert await slots.take(ARRIVED) == ARRIVED
        waiting = asyncio.create_task(slots.take(ARRIVED))
        await asyncio.sleep(0)
        with pytest.raises(QueueFull):
            await slots.take(ARRIVED)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        slots.give()
        assert slots.free == 1

    asyncio.run(tries())
