"""At what lag do the generator's numbers stop being true? The study behind the grades in `agentlocust/health.py`.

    python tests/benchmarks/lag.py [--streams 64] [--seconds 8] [--burns 0,5,10,20,50,100]

Beside N streams one user burns the hub: B milliseconds at a time, at random, a fifth of the time in all. Each row
tells the lag the probe saw and how far the reported TTFT and ITL are from the mock's truth, with the kernel's stamps
and with the hub's own clock.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from harness import LocustTest, MockServer  # the harness of the integration tests

TOKENS = 64
TTFT_MS = 200
ITL_MS = 20
SPREAD_S = (TTFT_MS + TOKENS * ITL_MS) / 1000

LOCUSTFILE = """
import random
import time

import gevent
from locust import User, constant, task

from agentlocust import OpenAIUser
from agentlocust.wire import connection

if {hub_clock}:
    connection.ask_for_stamps = lambda raw: False


class Stream(OpenAIUser):
    weight = 1
    wait_time = constant(0)

    def on_start(self):
        gevent.sleep(random.uniform(0, {spread_s}))

    @task
    def ask(self):
        self.chat([{{"role": "user", "content": "Tell me a story."}}])


class Burner(User):
    fixed_count = 1

    def wait_time(self):
        # At random: in step with the replies it would meet all of them, or none.
        return random.expovariate(1 / ({burn_s} * 4)) if {burn_s} else 1

    @task
    def burn(self):
        until = time.monotonic() + {burn_s}
        while time.monotonic() < until:
            pass
"""


def measure(burn_ms: float, streams: int, seconds: float, *, hub_clock: bool) -> dict[str, Any]:
    """One run; times in milliseconds."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        directory = Path(folder)
        mock = stack.enter_context(MockServer(directory, f"ttft={TTFT_MS}ms,itl={ITL_MS}ms,tokens={TOKENS}"))
        text = LOCUSTFILE.format(hub_clock=hub_clock, spread_s=SPREAD_S, burn_s=burn_ms / 1000)
        args = ("--host", mock.url, "--allow-saturated", "--only-summary", "-r", "1000")
        run_time = f"{seconds + 2 * SPREAD_S:.0f}s"
        test = stack.enter_context(
            LocustTest(directory, text, *args, users=streams + 1, run_time=run_time, stop_timeout="20")
        )
        while test.main.poll() is None and mock.truth()["completed"] < streams:
            time.sleep(0.1)
        summary = test.finish(90).summary
        truth = mock.truth()
    row, generator = summary["rows"][0], summary["generator"]
    return {
        "lag": generator["lag_s"]["p99"] * 1e3,
        "cpu": generator["cpu_mean"],
        "grade": generator["grade"],
        "p50": (row["ttft"]["p50"] - truth["ttft_s"]["p50"]) * 1e3,
        "p99": (row["ttft"]["p99"] - truth["ttft_s"]["p99"]) * 1e3,
        "itl": (row["itl"]["p99"] - truth["itl_s"]["p99"]) * 1e3,
    }


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--burns", default="0,5,10,20,50,100")
    options = parser.parse_args()
    print("burn    clock    lag p99      CPU   TTFT p50 bias   TTFT p99 bias   ITL p99 bias   grade")
    for burn_ms in map(float, options.burns.split(",")):
        for hub_clock in (False, True):
            found = measure(burn_ms, options.streams, options.seconds, hub_clock=hub_clock)
            clock = "hub" if hub_clock else "kernel"
            print(
                f"{burn_ms:>3g} ms  {clock:<7}{found['lag']:>6.1f} ms{found['cpu']:>9.0%}{found['p50']:>+13.2f} ms"
                f"{found['p99']:>+13.2f} ms{found['itl']:>+12.2f} ms   {found['grade']}",
                flush=True,
            )


if __name__ == "__main__":
    main()
