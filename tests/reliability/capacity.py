"""Is the capacity that is found the true one? `python tests/reliability/capacity.py --runs 5`.

The mock makes so many replies at once and queues the rest, first come, first served: in the closed
loop that many users are its capacity, in the open loop with constant arrivals that many divided by
the time of a reply. Each run draws another number; found within 10% is right.
"""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

from studies import study  # isort: skip  # puts the harness on the path

from experiments import LONG_LIMIT, LONG_SPEC, SERVICE_S, SPEC, experiment, finding, told, unreadable

WITHIN = 0.1
TIMEOUT_S = 240.0


def closed(directory: Path, way: str) -> list[str]:
    """As many users as there are slots."""
    slots = random.randint(6, 12)
    shape = f"capacity:from={slots // 2 + 1},to=50,hold=3s,settle=1s"
    result = experiment(
        directory, shape, "--mock", f"{LONG_SPEC},slots={slots}", "--sla", LONG_LIMIT, way=way, timeout_s=TIMEOUT_S
    ).expect(0)
    return _judged(finding(result)["holds"], slots, told(result)) + unreadable(result)


def opened(directory: Path, way: str) -> list[str]:
    """As many a second as the slots can serve."""
    slots = random.randint(6, 10)
    rate = slots / SERVICE_S
    shape = f"capacity:from={0.55 * rate:.0f}/s,to=400/s,hold=3s,settle=1s"
    args = ("--mock", f"{SPEC},slots={slots}", "--arrivals", "constant", "--sla", "p95(latency) < 130ms")
    result = experiment(directory, shape, *args, way=way, users=80, timeout_s=TIMEOUT_S).expect(0)
    return _judged(finding(result)["holds"], rate, told(result)) + unreadable(result)


def _judged(found: float, true: float, sentence: str) -> list[str]:
    return [] if abs(found - true) <= WITHIN * true else [f"{found:g} for {true:g}: {sentence}"]


if __name__ == "__main__":
    study(
        "Capacity against the truth",
        [
            (f"{trial.__name__}, {way}", partial(trial, way=way))
            for trial in (closed, opened)
            for way in ("local", "processes")
        ],
    )
