"""What it costs to have an agent metered from underneath: calls a second, with the pack and without, side by side.

    python tests/benchmarks/async_bridge.py [--users 100] [--seconds 8] [--repeat 3]

The same agent (three calls in a row on one shared SDK client, no think time) in processes of its own, by turns:
async in plain asyncio without gevent, async through PythonAgentUser, sync on the bare SDK in gevent's greenlets, sync
through PythonAgentUser. The mock beside them counts; what is shown is the median, and the ratios that matter.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from harness import ROOT, MockServer, clean_environment, run

WARM_UP_S = 3.0
SPEC = "ttft=20ms,itl=0s,tokens=8"
ASK = 'model="gpt-4o-mini", messages=[{"role": "user", "content": "hello"}]'
PLAIN_ASYNC = f"""
import asyncio, sys, time
from openai import AsyncOpenAI

URL, USERS, SECONDS = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])


async def user(client, until):
    while time.monotonic() < until:
        for _ in range(3):
            await client.chat.completions.create({ASK})


async def main():
    client = AsyncOpenAI(base_url=URL + "/v1", api_key="none", max_retries=0)
    until = time.monotonic() + SECONDS
    await asyncio.gather(*(user(client, until) for _ in range(USERS)))


asyncio.run(main())
"""
PLAIN_SYNC = f"""
from gevent import monkey

monkey.patch_all()
import sys, time

import gevent, httpx2
from openai import OpenAI

URL, USERS, SECONDS = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
client = OpenAI(base_url=URL + "/v1", api_key="none", max_retries=0)
until = time.monotonic() + SECONDS


def user():
    while time.monotonic() < until:
        for _ in range(3):
            client.chat.completions.create({ASK})


gevent.joinall([gevent.spawn(user) for _ in range(USERS)])
"""
METERED = """
from locust import constant, task
from openai import {client}

from agentlocust import PythonAgentUser


class Agent(PythonAgentUser):
    wait_time = constant(0)
    build_once = "process"

    def build(self):
        client = {client}(base_url=self.openai_url, api_key=self.api_key, max_retries=0)

        {define} agent(question):
            for _ in range(3):
                {wait} client.chat.completions.create({ask})

        return agent

    @task
    def work(self):
        self.ask("go")
"""
METERED_ASYNC = METERED.format(client="AsyncOpenAI", define="async def", wait="await", ask=ASK)
METERED_SYNC = METERED.format(client="OpenAI", define="def", wait="", ask=ASK)


class Steady:
    """Calls a second while all are at work: from a warm-up after the mock's first reply, for some seconds.

    Neither the ramp nor the last round, which begins in time and ends after it, is in it.
    """

    def __init__(self, server: MockServer, seconds: float) -> None:
        self.rate = 0.0
        self._server = server
        self._seconds = seconds
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._server.truth()["completed"]:
            time.sleep(0.1)
        time.sleep(WARM_UP_S)
        before, began = self._server.truth()["completed"], time.monotonic()
        time.sleep(self._seconds)
        after, ended = self._server.truth()["completed"], time.monotonic()
        self.rate = (after - before) / (ended - began)

    def measured(self) -> float:
        """The rate; to be asked for once the load is over."""
        self._thread.join(30)
        assert self.rate, "the load was over before it was measured"
        return self.rate


def plain(script: str, users: int, seconds: float) -> float:
    """Calls a second of a script without the pack."""
    with tempfile.TemporaryDirectory() as folder, MockServer(Path(folder), SPEC) as server:
        path = Path(folder) / "plain.py"
        path.write_text(textwrap.dedent(script))
        environment = {**clean_environment("bench"), "PYTHONPATH": os.environ.get("PYTHONPATH", str(ROOT))}
        command = [sys.executable, str(path), server.url, str(users), str(seconds + WARM_UP_S + 1)]
        steady = Steady(server, seconds)
        subprocess.run(command, check=True, env=environment, timeout=seconds + 90)
        return steady.measured()


def metered(locustfile: str, users: int, seconds: float) -> float:
    """Calls a second of the same agent through PythonAgentUser."""
    with tempfile.TemporaryDirectory() as folder, MockServer(Path(folder), SPEC) as server:
        steady = Steady(server, seconds)
        run_time = f"{seconds + WARM_UP_S + 2:g}s"
        result = run(Path(folder), locustfile, "--host", server.url, "-r", "1000", users=users, run_time=run_time)
        truth = server.final_truth()
        told = {key: result.summary["totals"][key] for key in ("calls", "failed", "cancelled")}
        assert told["calls"] == truth["completed"], f"the pack: {told}; the mock: {truth}"
        return steady.measured()


SIDES = (
    ("plain asyncio", lambda n, s: plain(PLAIN_ASYNC, n, s)),
    ("PythonAgentUser, async", lambda n, s: metered(METERED_ASYNC, n, s)),
    ("SDK in greenlets", lambda n, s: plain(PLAIN_SYNC, n, s)),
    ("PythonAgentUser, sync", lambda n, s: metered(METERED_SYNC, n, s)),
)


def main() -> None:
    """Print calls a second of each side, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--repeat", type=int, default=3)
    asked = parser.parse_args()
    rates: dict[str, list[float]] = {name: [] for name, _ in SIDES}
    for _ in range(asked.repeat):
        for name, measure in SIDES:
            rates[name].append(measure(asked.users, asked.seconds))
    middle = {name: statistics.median(found) for name, found in rates.items()}
    print(f"{asked.users} users, {asked.seconds:g} s, median of {asked.repeat}\n")
    for name, found in rates.items():
        print(f"{name:<26} {middle[name]:8.1f} calls/s   ({', '.join(f'{rate:.0f}' for rate in found)})")
    for sync, ours, theirs in (
        ("async", "PythonAgentUser, async", "plain asyncio"),
        ("sync", "PythonAgentUser, sync", "SDK in greenlets"),
    ):
        print(f"{sync:<6} {middle[ours] / middle[theirs]:.0%} of it without the pack")


if __name__ == "__main__":
    main()
