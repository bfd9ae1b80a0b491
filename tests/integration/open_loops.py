"""Open-loop tests whose users write down when each task was to begin and when it did, and what must hold of that."""

from __future__ import annotations

import math
import signal
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from harness import LocustTest, Result, wait_until

SPEC = "ttft=10ms,itl=1ms,tokens=5"
LOCUSTFILE = """\
import os
import time

from locust import constant, task

from agentlocust import OpenAIUser


class Chat(OpenAIUser):
    model = "gpt-4o-mini"
    wait_time = constant(0)

    @task
    def ask(self):
        began = time.monotonic_ns()
        with open(f"starts-{os.getpid()}.txt", "a") as file:
            file.write(f"{self.start_of_task.intended_ns} {began}\\n")
        self.chat("Hello")
"""

Start = tuple[int, int]  # intended, began: the machine's monotonic nanoseconds, the same in all its processes


def play(directory: Path, *args: str, way: str, users: int, run_time: str = "", locustfile: str = LOCUSTFILE) -> Result:
    """A test from its start to its own end, in `web` as the form starts it."""
    with LocustTest(directory, locustfile, *args, way=way, users=users, run_time=run_time) as test:
        if way == "web":
            test.wait_for_ui()
            test.swarm(run_time=run_time)
            wait_until(test.summary_files, "summary.json", 120)
            test.signal(signal.SIGINT, group=False)
        return test.finish(120)


def starts_in(directory: Path) -> list[Start]:
    """All that the users wrote down, by intended start."""
    files = directory.glob("starts-*.txt")
    return sorted((int(a), int(b)) for path in files for a, b in map(str.split, path.read_text().splitlines()))


def beyond_schedule(starts: Sequence[Start], rate: int, seconds: int) -> list[str]:
    """What does not keep to constant arrivals of `rate` a second for `seconds`, in words."""
    first_ns = starts[0][0] - round(0.5e9 / rate)  # the schedule's first is due after half a gap
    intended = Counter((due - first_ns) // 10**9 for due, _ in starts)
    began = Counter((at - first_ns) // 10**9 for _, at in starts)
    found = [f"second {s}: {n} starts intended" for s, n in sorted(intended.items()) if n > rate]
    # A start that came late may fall into the next second, and none can come early.
    found += [f"second {s}: {n} starts" for s, n in sorted(began.items()) if n > rate * 1.2]
    if early := sum(at < due for due, at in starts):
        found.append(f"{early} began early")
    within = sum(intended[second] for second in range(seconds))
    if abs(within - rate * seconds) > max(0.01 * rate * seconds, 1):
        found.append(f"{within} starts in {seconds} s")
    return found


def offered_rate(summary: dict[str, Any]) -> float:
    """Arrivals a second that came due, over all User classes and phases."""
    seconds = sum({row["phase"]: row["seconds"] for row in summary["arrivals"]}.values())
    return float(sum(row["offered"] for row in summary["arrivals"]) / seconds)


def distance(gaps: Sequence[float]) -> float:
    """Kolmogorov's distance of the gaps from exponential ones of mean 1."""
    n = len(gaps)
    shares = [1 - math.exp(-gap) for gap in sorted(gaps)]
    return max(max((i + 1) / n - share, share - i / n) for i, share in enumerate(shares))


def critical_distance(n: int) -> float:
    """What the distance exceeds in one of a thousand samples of n (Smirnov 1948, for n over 35)."""
    return 1.949 / math.sqrt(n)


def gaps_of(starts: Sequence[Start], rate: float) -> list[float]:
    """The gaps between intended starts in units of the mean that the rate gives."""
    due = [start for start, _ in starts]
    return [(later - earlier) / 1e9 * rate for earlier, later in pairwise(due)]
