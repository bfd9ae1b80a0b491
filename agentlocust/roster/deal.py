"""Who performs which operations: each exactly once, each agent's in their order, wherever the users are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

STINT = 10  # operations dealt at once: few enough that users take turns, many enough to ask seldom


@dataclass(frozen=True, slots=True)
class Stint:
    """Operations of one agent for one user: `count` of them from `first`, every `step`-th."""

    lane: int
    agent: int
    first: int
    step: int
    count: int

    def numbers(self) -> range:
        """The operations' numbers, counted from 1."""
        return range(self.first, self.first + self.step * self.count, self.step)


@dataclass(slots=True)
class _Lane:
    """A part of an agent's operations that one user at a time works on."""

    agent: int
    first: int
    step: int
    count: int
    pace: float  # the agent's weight, for whose turn it is
    made: int = 0
    holder: str | None = None


class Deal:
    """Deals each agent's operations out to holders (processes that run users) and counts them in.

    With more users than agents, several work for one agent at once, each on a lane of its own: an agent
    with a weight of 2 gets twice as many as one with 1. With fewer, they take turns.
    """

    def __init__(self, weights: Sequence[float], operations: int, users: int = 0) -> None:
        self._lanes: list[_Lane] = []
        self._lanes_of: list[list[int]] = []
        for agent, lanes in enumerate(_lanes(weights, users)):
            steps = min(lanes, operations)
            self._lanes_of.append([])
            for offset in range(steps):
                self._lanes_of[agent].append(len(self._lanes))
                count = len(range(offset, operations, steps))
                self._lanes.append(_Lane(agent, offset + 1, steps, count, weights[agent]))
        self._left = len(weights) * operations

    @property
    def complete(self) -> bool:
        """True once every operation was made."""
        return not self._left

    def take(self, holder: str) -> Stint | None:
        """The next operations for a user of `holder`; None when others are at work on all that are left."""
        free = [
            (lane.made / lane.pace, index)
            for index, lane in enumerate(self._lanes)
            if lane.holder is None and lane.made < lane.count
        ]
        if not free:
            return None
        index = min(free)[1]
        lane = self._lanes[index]
        lane.holder = holder
        first = lane.first + lane.made * lane.step
        return Stint(index, lane.agent, first, lane.step, min(STINT, lane.count - lane.made))

    def made(self, agent: int, number: int) -> bool:
        """Operation `number` (from 1) of an agent was made; False when it was counted before, or is none."""
        if not 0 <= agent < len(self._lanes_of) or number < 1:
            return False
        lanes = self._lanes_of[agent]
        lane = self._lanes[lanes[(number - 1) % len(lanes)]]
        if number != lane.first + lane.made * lane.step or lane.made >= lane.count:
            return False
        lane.made += 1
        self._left -= 1
        return True

    def give_back(self, holder: str, lanes: Iterable[int]) -> None:
        """A holder's users are done with these lanes for now."""
        for index in lanes:
            if 0 <= index < len(self._lanes) and self._lanes[index].holder == holder:
                self._lanes[index].holder = None

    def lost(self, holder: str) -> bool:
        """A holder is gone: what it did not make is for the others. True when there was any."""
        held = [lane for lane in self._lanes if lane.holder == holder]
        for lane in held:
            lane.holder = None
        return bool(held)

    def holders(self) -> set[str]:
        """Those who are at work."""
        return {lane.holder for lane in self._lanes if lane.holder is not None}


def _lanes(weights: Sequence[float], users: int) -> list[int]:
    """How many users work for each agent: one at least, the rest by weight (largest remainders first)."""
    spare = max(users - len(weights), 0)
    total = sum(weights)
    ideal = [weight * (spare + len(weights)) / total for weight in weights]
    lanes = [max(int(part), 1) for part in ideal]
    while sum(lanes) < spare + len(weights):
        behind = max(range(len(lanes)), key=lambda agent: (ideal[agent] - lanes[agent], -agent))
        lanes[behind] += 1
    return lanes
