"""When each piece of a reply is due: absolute times, so that a late one makes no later one late."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Sequence

from agentlocust.mock.behaviour import Behaviour


def due_times(behaviour: Behaviour, weights: Sequence[int], rng: random.Random) -> Iterator[float]:
    """Seconds from the request's arrival at which each piece is due.

    The first token is due after ttft, each later one an itl after the one before; a piece of several
    tokens is due with its last token.
    """
    due = behaviour.ttft.draw(rng)
    itl = behaviour.itl
    pace = itl.a if itl.constant else None
    first = True
    for weight in weights:
        gaps = weight - 1 if first else weight
        due += gaps * pace if pace is not None else sum(itl.draw(rng) for _ in range(gaps))
        first = False
        yield due


def slowed_times(
    behaviour: Behaviour, weights: Sequence[int], rng: random.Random, slowness: Callable[[], float]
) -> Iterator[float]:
    """As `due_times`, each gap as many times longer as `slowness` says when its piece is drawn."""
    due = before = 0.0
    first = True
    for plain in due_times(behaviour, weights, rng):
        due += plain - before if first else (plain - before) * slowness()
        before, first = plain, False
        yield due


async def until(due: float) -> bool:
    """Sleep until `due` on the monotonic clock, not a moment less; False when it was past already."""
    left = due - time.monotonic()
    if left <= 0:
        return False
    while left > 0:
        await asyncio.sleep(max(0.001, left))  # the loop's timers count milliseconds
        left = due - time.monotonic()
    return True
