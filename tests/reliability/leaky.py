"""A program that leaks, or only looks as if it did: what `leaks.py` watches.

    python tests/reliability/leaky.py MODE [--seconds 45] [--pace 5]

Prints `ready` and then behaves until its time is over or its standard input ends. MODE is one of:
memory (leaks 1 MB a second), cache (fills 30 MB, then settles), saw (fills 30 MB, drops it, again
and again), fds (1 descriptor a second), threads (1 thread each 2 s), healthy (works and gives back).
With a pace of 5 all happens five times as fast.
"""

from __future__ import annotations

import argparse
import mmap
import os
import random
import select
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

MB = 10**6
CACHE_MB = 30
FILLS_S = 60.0  # until the cache is full
SAW_S = 20.0  # between two drops


def block(megabytes: float) -> mmap.mmap:
    """Memory that is resident at once and goes back to the system as soon as it is dropped."""
    size = round(megabytes * MB)
    memory = mmap.mmap(-1, size)
    memory.write(b"x" * size)
    return memory


class Leaky:
    """Holds what it should have given back; each mode says what is held at a moment."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._blocks: list[mmap.mmap] = []
        self._files: list[int] = []
        self._threads: list[threading.Thread] = []
        self._teeth = 0

    def memory(self, now: float) -> None:
        """A megabyte a second."""
        self._hold(now)

    def cache(self, now: float) -> None:
        """Fills in a minute, then is full."""
        self._hold(min(now / FILLS_S, 1.0) * CACHE_MB)

    def saw(self, now: float) -> None:
        """Fills for 20 s, give or take, and drops all of it."""
        if now / SAW_S > self._teeth + self._random.uniform(0.85, 1.15):
            self._teeth += 1
            self._blocks.clear()
        else:
            self._hold((now / SAW_S - self._teeth + 0.2) * CACHE_MB)

    def fds(self, now: float) -> None:
        """A descriptor a second."""
        while len(self._files) < now:
            self._files.append(os.open(os.devnull, os.O_RDONLY))

    def threads(self, now: float) -> None:
        """A thread each two seconds."""
        while len(self._threads) < now / 2:
            thread = threading.Thread(target=threading.Event().wait, daemon=True)
            thread.start()
            self._threads.append(thread)

    def healthy(self, now: float) -> None:
        """Takes up to 3 MB, some files and a thread for its work, and gives all back."""
        del now
        memory = block(self._random.uniform(0.5, 3))
        files = [os.open(os.devnull, os.O_RDONLY) for _ in range(self._random.randrange(4))]
        worker = threading.Thread(target=time.sleep, args=(self._random.uniform(0, 0.05),))
        worker.start()
        worker.join()
        for file in files:
            os.close(file)
        memory.close()

    def _hold(self, megabytes: float) -> None:
        while len(self._blocks) * 0.25 < megabytes:
            self._blocks.append(block(0.25))


MODES: dict[str, Callable[[Leaky, float], None]] = {
    "memory": Leaky.memory,
    "cache": Leaky.cache,
    "saw": Leaky.saw,
    "fds": Leaky.fds,
    "threads": Leaky.threads,
    "healthy": Leaky.healthy,
}
PROGRAM = Path(__file__)


def main() -> None:
    """Behave as asked until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("--seconds", type=float, default=45.0, help="how long it lives")
    parser.add_argument("--pace", type=float, default=5.0, help="how many seconds of the mode pass in one")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    leaky, begun = Leaky(options.seed), time.monotonic()
    print("ready", flush=True)
    while (passed := time.monotonic() - begun) < options.seconds:
        MODES[options.mode](leaky, passed * options.pace)
        if select.select([sys.stdin], [], [], 0.1)[0]:
            return


if __name__ == "__main__":
    main()
