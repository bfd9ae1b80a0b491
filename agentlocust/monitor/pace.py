"""Slow readings are made seldom: each kind may take no more than a set share of one core."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Pace:
    """Runs a piece of work only as often as its share of a core allows, by what it cost the last time."""

    __slots__ = ("_next", "_share")

    def __init__(self, share: float) -> None:
        self._share = share
        self._next = float("-inf")

    def due(self, now: float) -> bool:
        """True when the share allows it again."""
        return now >= self._next

    def run(self, now: float, work: Callable[[], T]) -> T:
        """Do the work and set when the next one is due, `now` being seconds of any one clock.

        CPU time is what counts: a machine that is busy with others makes nothing rarer.
        """
        began = time.thread_time()
        try:
            return work()
        finally:
            self._next = now + (time.thread_time() - began) / self._share
