"""Does a target that leaks get flagged, and a healthy one not? Verdicts over many real processes.

    python tests/reliability/leaks.py [--runs 20] [--seconds 40] [--interval 0.2] [--pace 5]

Each run watches one process of each mode of `leaky.py` with psutil, as the monitor does: 40 s at a pace of
5 and 5 readings a second are 200 s at 1. The verdicts are of memory, descriptors and threads; a run is right
when `leaking` is said of what leaks and of nothing else. Four runs are watched at a time.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator

import psutil

from agentlocust.trend import judge_leak
from leaky import MODES, PROGRAM

LEAKS = {"memory": "memory", "fds": "fds", "threads": "threads"}  # mode: which figure leaks
ALSO = {"threads": {"memory"}}  # what leaks with it: each thread has a stack
TOGETHER = 4  # runs at a time: their processes mostly sleep
UNITS = {"memory": "bytes", "fds": "count", "threads": "count"}


@contextlib.contextmanager
def running(mode: str, seconds: float, pace: float, seed: int) -> Iterator[psutil.Process]:
    """One program of a mode, ready, and gone afterwards."""
    command = [sys.executable, str(PROGRAM), mode]
    command += ["--seconds", str(seconds + 30), "--pace", str(pace), "--seed", str(seed)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        try:
            assert program.stdout is not None
            program.stdout.readline()
            yield psutil.Process(program.pid)
        finally:
            program.kill()


def watch(seeds: range, seconds: float, interval: float, pace: float) -> Iterator[tuple[str, dict[str, str]]]:
    """The verdict on each figure of one process of each mode and seed, all watched at once."""
    with contextlib.ExitStack() as stack:
        watched: list[tuple[str, psutil.Process, dict[str, list[tuple[float, float]]]]] = [
            (mode, stack.enter_context(running(mode, seconds, pace, seed)), {figure: [] for figure in UNITS})
            for seed in seeds
            for mode in MODES
        ]
        begun = time.monotonic()
        while (now := time.monotonic() - begun) < seconds:
            for _, process, read in watched:
                at = (time.monotonic() - begun) * pace
                with process.oneshot():
                    read["memory"].append((at, float(process.memory_info().rss)))
                    read["fds"].append((at, float(process.num_fds())))
                    read["threads"].append((at, float(process.num_threads())))
            time.sleep(max(interval - (time.monotonic() - begun - now), 0.0))
    for mode, _, read in watched:
        yield mode, {figure: judge_leak(read[figure], unit=unit).verdict for figure, unit in UNITS.items()}


def main() -> None:
    """Watch all, print a row for each mode, end with 1 when a verdict was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--interval", type=float, default=0.2)
    parser.add_argument("--pace", type=float, default=5.0)
    options = parser.parse_args()
    verdicts: dict[str, Counter[str]] = {mode: Counter() for mode in MODES}
    right: Counter[str] = Counter()
    for first in range(0, options.runs, TOGETHER):
        seeds = range(first, min(first + TOGETHER, options.runs))
        for mode, found in watch(seeds, options.seconds, options.interval, options.pace):
            flagged = {figure for figure, verdict in found.items() if verdict == "leaking"}
            right[mode] += flagged - ALSO.get(mode, set()) == ({LEAKS[mode]} if mode in LEAKS else set())
            verdicts[mode].update(f"{figure} {verdict}" for figure, verdict in found.items() if verdict != "steady")
    print(f"{'target':<9} {'should leak':<12} {'right':>7}  verdicts other than steady")
    for mode in MODES:
        told = ", ".join(f"{verdict}: {n}" for verdict, n in sorted(verdicts[mode].items()))
        print(f"{mode:<9} {LEAKS.get(mode, 'no'):<12} {right[mode]:>3}/{options.runs:<3}  {told}")
    sys.exit(0 if all(right[mode] == options.runs for mode in MODES) else 1)


if __name__ == "__main__":
    main()
