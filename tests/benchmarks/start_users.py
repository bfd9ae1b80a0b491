"""What two hundred Users, each with an SDK `client` of its own, cost over two hundred plain Locust ones.

`python tests/benchmarks/start_users.py` runs the real `locust` and prints, for each User class, the
seconds from the process's start and from the test's start until every user has its client, the
resident memory of the process by then, and which SDKs it imported. Limits over plain Locust: 3 s, 60 MB.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from harness import LocustTest

LIMIT_S = 3.0
LIMIT_MB = 60.0
CASES = {
    "plain Locust": ("from locust import User as Base", ""),
    "OpenAIUser": ("from agentlocust import OpenAIUser as Base", "self.client"),
    "AnthropicUser": ("from agentlocust import AnthropicUser as Base", "self.client"),
}
LOCUSTFILE = """\
import json
import os
import sys
import time

import gevent
import psutil
from locust import constant, events, task

{base}

USERS = {users}
began = ready = 0


@events.test_start.add_listener
def note(**_):
    global began
    began = time.time()


class Starting(Base):
    wait_time = constant(60)

    def on_start(self):
        global ready
        {client}
        ready += 1
        if ready == USERS:
            gevent.spawn(tell, self.environment, time.time())

    @task
    def idle(self):
        pass


def tell(environment, now):
    gevent.sleep(1)  # every user has gone to sleep in its task
    process = psutil.Process()
    told = {{
        "process_s": now - float(os.environ["BENCHMARK_STARTED"]),
        "test_s": now - began,
        "rss_mb": process.memory_info().rss / 1e6,
        "modules": [name for name in ("openai", "anthropic", "agentlocust") if name in sys.modules],
    }}
    with open("told.json", "w") as file:
        json.dump(told, file)
    environment.runner.quit()
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """The medians of several runs: seconds since the process and since the test started, megabytes, modules."""

    process_s: float
    test_s: float
    rss_mb: float
    modules: list[str]


def measure(case: str, users: int, runs: int) -> Measured:
    """Start that many users, several times."""
    base, client = CASES[case]
    text = LOCUSTFILE.format(base=base, users=users, client=client or "pass")
    told = [_run(text, users) for _ in range(runs)]
    process_s, test_s, rss_mb = (
        statistics.median(run[key] for run in told) for key in ("process_s", "test_s", "rss_mb")
    )
    return Measured(process_s, test_s, rss_mb, told[0]["modules"])


def _run(text: str, users: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="agentlocust-") as folder:
        directory = Path(folder)
        started = {"BENCHMARK_STARTED": repr(time.time())}
        # A host that is never called: the embedded mock is a process of its own and not what is measured.
        host = ("--host", "http://127.0.0.1:9", "-r", str(users))
        with LocustTest(directory, text, *host, users=users, run_time="60s", stop_timeout="1", env=started) as test:
            result = test.finish(90)
        path = directory / "told.json"
        assert path.is_file(), result.output
        found: dict[str, Any] = json.loads(path.read_text())
        return found


def main() -> None:
    """Print the table; end with 1 when a limit is missed or an SDK that is not in use was imported."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    print(f"{options.users} users, medians of {options.runs} runs; over plain Locust: {LIMIT_S:g} s, {LIMIT_MB:g} MB\n")
    print(f"{'users':<14} {'from process':>13} {'over':>8} {'from test':>10} {'rss':>10} {'over':>9}  imported")
    plain: Measured | None = None
    missed = False
    for case in CASES:
        found = measure(case, options.users, options.runs)
        plain = plain or found
        over_s, over_mb = found.process_s - plain.process_s, found.rss_mb - plain.rss_mb
        sdks = {"OpenAIUser": ["openai"], "AnthropicUser": ["anthropic"]}.get(case, [])
        wrong = over_s > LIMIT_S or over_mb > LIMIT_MB or [sdk for sdk in found.modules if sdk != "agentlocust"] != sdks
        missed |= wrong
        print(
            f"{case:<14} {found.process_s:>11.2f} s {over_s:>+6.2f} s {found.test_s:>8.2f} s {found.rss_mb:>7.1f} MB"
            f" {over_mb:>+6.1f} MB  {', '.join(found.modules) or '-'}{'  MISSED' if wrong else ''}",
            flush=True,
        )
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
