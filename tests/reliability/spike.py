"""Is the recovery time true? `python tests/reliability/spike.py --runs 5`.

The mock serves so many a second and queues the rest, first come, first served. What a spike of
constant arrivals leaves in the queue, and how long it takes to go, is arithmetic: it grows by what
comes above that rate and falls by what the baseline leaves of it.
"""

from __future__ import annotations

import random
import time
from functools import partial
from pathlib import Path

from studies import study  # isort: skip  # puts the harness on the path

from experiments import asking, experiment, finding, told, unreadable
from harness import LocustTest, MockServer

WITHIN_S = 1.0
SPEC, REPLY_S = "ttft=100ms,itl=10ms,tokens=11", 0.2
SLOTS, SERVED = 16, 80.0  # at once, and a second
BASE = 40.0


def recovered(directory: Path, way: str = "local") -> list[str]:
    """The last that had to wait has its reply after a known time."""
    seconds, rate = random.randint(3, 6), random.choice((110, 120, 130))
    true = seconds * (rate - SERVED) / (SERVED - BASE) + REPLY_S
    shape = f"spike:baseline={BASE:g}/s,spike={rate}/s,baseline_time=8s,spike_time={seconds}s,recovery_time=20s"
    args = ("--mock", f"{SPEC},slots={SLOTS}", "--arrivals", "constant", "--sla", "recovery_time < 20s")
    result = experiment(directory, shape, *args, way=way, users=400, timeout_s=120.0).expect(0)
    found = finding(result)["recovery_time_s"]
    wrong = [] if found is not None and abs(found - true) <= WITHIN_S else [f"{true:.1f} s true: {told(result)}"]
    return wrong + unreadable(result)


def closed(directory: Path) -> list[str]:
    """Users who leave let their calls end: it is over when the last call that had to wait has its reply."""
    slots, users, reply_s = 8, random.randint(40, 72), 0.5
    shape = f"spike:baseline={slots // 2},spike={users},baseline_time=8s,spike_time=8s,recovery_time=15s"
    with MockServer(directory, f"ttft=400ms,itl=10ms,tokens=11,slots={slots}") as server:
        test = LocustTest(directory, asking(), "--shape", shape, "--host", server.url, users=None, run_time="")
        with test:
            queued = ended = 0.0  # when somebody last waited, and when the spike ended
            while test.main.poll() is None:
                now = time.monotonic()
                queued = now if server.truth()["queue"]["now"] else queued
                ended = ended or (now if "phase recovery" in test.output() else 0.0)
                time.sleep(0.02)  # the length of a look
            result = test.finish().expect(0)
    true = queued + reply_s - ended
    found = finding(result)["recovery_time_s"]
    wrong = [] if found is not None and abs(found - true) <= WITHIN_S else [f"{true:.1f} s true: {told(result)}"]
    return wrong + unreadable(result)


def never(directory: Path) -> list[str]:
    """The queue is longer than recovery is watched: not recovered, and a check on it fails."""
    shape = f"spike:baseline={BASE:g}/s,spike=160/s,baseline_time=8s,spike_time=6s,recovery_time=6s"
    args = ("--mock", f"{SPEC},slots={SLOTS}", "--arrivals", "constant", "--sla", "recovery_time < 20s")
    result = experiment(directory, shape, *args, users=800, timeout_s=120.0).expect(99)
    check = next(check for check in result.summary["verdict"]["checks"] if check["metric"] == "recovery_time")
    wrong = [] if finding(result)["recovery_time_s"] is None else [told(result)]
    return wrong + ([] if "not recovered" in check["reason"] else [check["reason"]]) + unreadable(result)


TRIALS = {
    "open loop": recovered,
    "open loop, processes": partial(recovered, way="processes"),
    "closed loop": closed,
    "not recovered": never,
}

if __name__ == "__main__":
    study("Recovery from a spike", TRIALS.items())
