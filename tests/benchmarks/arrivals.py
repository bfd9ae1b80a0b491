"""How well the gate keeps its schedule: one process, tasks that do nothing, no network.

    python tests/benchmarks/arrivals.py [--seconds 5] [--rates 20,200,1000]

Each row tells the starts achieved of those offered, how late they came, and what share of a core that took.
"""

from __future__ import annotations

import argparse
import os
import random
import time

os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

import gevent
from gevent.pool import Group
from locust import User, task
from locust.env import Environment
from locust.event import Events

from agentlocust.shapes.arrivals import Law
from agentlocust.shapes.gate import Gate, install
from agentlocust.shapes.schedule import NS, Schedule, Segment
from agentlocust.sketch import Sketch


class Idle(User):
    """Does nothing, at once."""

    @task
    def nothing(self) -> None:
        """Nothing."""


def measure(law: str, rate: float, seconds: float, users: int) -> dict[str, float]:
    """One run; times in milliseconds."""
    lag = Sketch()
    schedule = Schedule(Law.parse(law), random.Random(42))
    gate = Gate(schedule, lambda lag_ns, late, intended_ns: lag.add(lag_ns))
    environment, group = Environment(events=Events()), Group()
    for _ in range(users):
        user = Idle(environment)
        user.gate = gate
        user.start(group)
    gate.open()
    gevent.sleep(0.1)
    begin, cpu = time.monotonic_ns(), time.process_time()
    schedule.follow(begin, Segment.hold(rate))
    gate.refresh()
    gevent.sleep(seconds)
    gate.close()
    wall, cpu = (time.monotonic_ns() - begin) / NS, time.process_time() - cpu
    group.kill(timeout=10)
    found = {"offered": gate.intended / wall, "achieved": gate.started / gate.intended, "cpu": cpu / wall}
    return found | {
        "late": gate.late,
        "p50": lag.percentile(50) / 1e6,
        "p99": lag.percentile(99) / 1e6,
        "max": lag.max / 1e6,
    }


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rates", default="20,200,1000")
    parser.add_argument("--users", type=int, default=50)
    options = parser.parse_args()
    install()
    print("law        rate     offered   achieved   late   lag p50   lag p99   lag max     CPU")
    for law in ("poisson", "constant"):
        for rate in map(float, options.rates.split(",")):
            found = measure(law, rate, options.seconds, options.users)
            print(
                f"{law:<9}{rate:>5g}/s{found['offered']:>9.1f}/s{found['achieved']:>11.2%}{found['late']:>7g}"
                f"{found['p50']:>7.2f} ms{found['p99']:>7.2f} ms{found['max']:>7.2f} ms{found['cpu']:>8.1%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
