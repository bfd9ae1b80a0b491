"""What does the monitor cost? CPU of the sampler and of its reader, and the longest block of the hub.

    python tests/benchmarks/monitor.py [--seconds 15] [--processes 5] [--sockets 1000] [--intervals 1,0.1]

Watches a tree of processes with many open sockets. The reader runs alone in this process, into a
monitor's series with an alert rule, so all of its CPU is the monitor's. The block is the longest time
in which a line was taken in, its JSON included; on a busy machine part of it is time in which others
ran, so its CPU time stands beside it. Meant: under 1% of a core for both at 1 s, blocks
under 1 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from typing import Any

import gevent
import psutil

from agentlocust.monitor import watch as module
from agentlocust.monitor.alerts import AlertState, parse_alert
from agentlocust.monitor.readings import Monitor
from agentlocust.monitor.series import MAX_POINTS
from agentlocust.monitor.wanted import Wanted
from agentlocust.monitor.watch import Watch

TREE = """
import socket, subprocess, sys, time
children, sockets = int(sys.argv[1]), int(sys.argv[2])
for _ in range(children):
    subprocess.Popen([sys.executable, "-c", sys.orig_argv[2], "0", str(sockets)])
held = [socket.socket() for _ in range(sockets)]
print("ready", flush=True)
time.sleep(3600)
"""


def measure(pid: int, interval_s: float, seconds: float) -> dict[str, float]:
    """One run: shares of a core, blocks in ms."""
    monitor = Monitor(time.monotonic(), interval_s)
    alert = AlertState(parse_alert("cpu(target) > 90% for 10s"))
    taken: list[float] = []
    cpu: list[float] = []
    parse = json.loads

    class Timed:
        """Stands in for json where the lines are read, to time a line from its first step."""

        dumps = staticmethod(json.dumps)

        @staticmethod
        def loads(line: bytes) -> Any:
            nonlocal began, cpu_began
            began, cpu_began = time.perf_counter(), time.thread_time()
            return parse(line)

    began = cpu_began = 0.0

    def tell(reading: dict[str, Any]) -> None:
        monitor.add(reading)
        alert.update(reading["t"], monitor.values())
        taken.append(time.perf_counter() - began)
        cpu.append(time.thread_time() - cpu_began)

    module.json = Timed  # type: ignore[assignment]
    watch = Watch(tell, interval_s=interval_s, targets=[Wanted("tree", "pid", str(pid))])
    watch.start()
    gevent.sleep(max(1.5, 2 * interval_s))  # past its start
    assert watch.pid is not None
    sampler = psutil.Process(watch.pid)
    mine, its, clock = time.process_time(), sum(sampler.cpu_times()[:2]), time.monotonic()
    ticks, taken[:], cpu[:] = len(taken), [], []
    gevent.sleep(seconds)
    spent = time.monotonic() - clock
    found = {
        "sampler": (sum(sampler.cpu_times()[:2]) - its) / spent,
        "reader": (time.process_time() - mine) / spent,
        "mean_ms": sum(taken) / len(taken) * 1e3,
        "worst_ms": max(taken) * 1e3,
        "cpu_ms": max(cpu) * 1e3,
        "readings": float(len(taken)),
        "memory_mb": sampler.memory_info().rss / 1e6,
    }
    assert ticks
    watch.stop()
    return found


def full_series() -> tuple[float, float]:
    """Mean and longest ms of CPU to take in a reading of 60 series that are full, and so are halved by turns."""
    monitor = Monitor(0.0)
    figures = {f"m{number}": number for number in range(15)}
    taken = []
    for second in range(3 * MAX_POINTS):
        reading = {"t": second, "events": [], "subjects": {f"target:{one}": figures for one in range(4)}}
        began = time.thread_time()
        monitor.add(reading)
        taken.append(time.thread_time() - began)
    return sum(taken) / len(taken) * 1e3, max(taken) * 1e3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--sockets", type=int, default=1000)
    parser.add_argument("--intervals", default="1,0.1")
    options = parser.parse_args()
    each = options.sockets // options.processes
    command = [sys.executable, "-c", TREE, str(options.processes - 1), str(each)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as tree:
        assert tree.stdout is not None
        for _ in range(options.processes):
            tree.stdout.readline()
        print("interval   readings   sampler   reader     both   line, mean   line, worst   its CPU   sampler's memory")
        try:
            for interval_s in map(float, options.intervals.split(",")):
                found = measure(tree.pid, interval_s, options.seconds)
                both = found["sampler"] + found["reader"]
                print(
                    f"{interval_s:>6g} s{found['readings']:>11.0f}{found['sampler']:>10.2%}{found['reader']:>9.2%}"
                    f"{both:>9.2%}{found['mean_ms']:>10.3f} ms{found['worst_ms']:>11.3f} ms"
                    f"{found['cpu_ms']:>9.3f} ms{found['memory_mb']:>16.0f} MB",
                    flush=True,
                )
        finally:
            for child in psutil.Process(tree.pid).children():
                child.kill()
            tree.kill()
    mean, worst = full_series()
    print(f"60 series for {3 * MAX_POINTS} readings: mean {mean:.3f} ms, worst {worst:.3f} ms")
    print(f"on {os.cpu_count()} cores, {len(psutil.net_if_stats())} network cards, {len(psutil.pids())} processes")


if __name__ == "__main__":
    main()
