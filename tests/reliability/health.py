"""Does a generator that lies say so, and one that does not keep quiet? Counts of grades over many real tests.

    python tests/reliability/health.py [--runs 10] [--only burn,agent,half,triple] [--rating results/calibration.json]

burn: a task that holds the hub 50 ms at a time (strained or saturated, each time). agent: `locustfiles/agent.py` with
10 users (never saturated; five times as many runs). half and triple: half and three times the streams that
`agentlocust calibrate` rated this machine for (never saturated, always saturated).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from harness import ROOT, LocustTest, MockServer, run

BURN = """
import time

from locust import constant, task

from agentlocust import OpenAIUser


class Burner(OpenAIUser):
    wait_time = constant(0.05)

    @task
    def ask(self):
        self.chat("Hello")
        until = time.monotonic() + 0.05
        while time.monotonic() < until:
            pass
"""


def grade_of(directory: Path, locustfile: str | Path, *args: str, **settings: object) -> str:
    """The grade of one test's generator."""
    result = run(directory, locustfile, "--allow-saturated", "--only-summary", *args, **settings)
    return str(result.summary["generator"]["grade"])


def burn(directory: Path) -> str:
    """Ten users that each hold the hub 50 ms at a time."""
    return grade_of(directory, BURN, "--mock", "ttft=50ms,itl=5ms,tokens=16", users=10, run_time="6s")


def agent(directory: Path) -> str:
    """The README's own example."""
    return grade_of(directory, ROOT / "locustfiles/agent.py", users=10, run_time="5s")


def streams(share: float, rating: Path) -> Callable[[Path], str]:
    """Streams that never pause, as calibration makes them: a share of those it rated."""

    def trial(directory: Path) -> str:
        number = round(json.loads(rating.read_text())["rated_streams"] * share)
        (directory / "results").mkdir()
        shutil.copy(rating, directory / "results")
        spec = "ttft=200ms,itl=20ms,tokens=64"
        with contextlib.ExitStack() as stack:
            mock = stack.enter_context(MockServer(directory, spec))
            args = ("--host", mock.url, "--allow-saturated", "--only-summary", "-r", "100000")
            load = ROOT / "agentlocust/calibration/load.py"
            env = {"AGENTLOCUST_CALIBRATION_SPREAD_S": "1.46"}
            test = stack.enter_context(
                LocustTest(directory, load, *args, users=number, run_time="9s", stop_timeout="20", env=env)
            )
            return str(test.finish(120).summary["generator"]["grade"])

    return trial


def main() -> None:
    """Run the trials and print how often each grade was given."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--only", default="burn,agent")
    parser.add_argument("--rating", type=Path, default=Path("results/calibration.json"), help="for half and triple")
    options = parser.parse_args()
    half, triple = streams(0.5, options.rating), streams(3, options.rating)
    trials = {"burn": burn, "agent": agent, "half": half, "triple": triple}
    for name in options.only.split(","):
        found: Counter[str] = Counter()
        for _ in range(options.runs * (5 if name == "agent" else 1)):
            with tempfile.TemporaryDirectory() as folder:
                found[trials[name](Path(folder))] += 1
        print(f"{name:<8}{dict(found)}", flush=True)


if __name__ == "__main__":
    main()
