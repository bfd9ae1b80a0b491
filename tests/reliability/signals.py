"""Interrupted tests, in every mode: `python tests/reliability/signals.py --runs 10`."""

from __future__ import annotations

import signal
import time
from functools import partial
from pathlib import Path

from studies import study  # isort: skip  # puts the harness on the path

from harness import WAYS, LocustTest, MockServer, wait_until
from oracle import differences
from sample_locustfiles import AGENTS, AGENTS_SPEC


def interrupted(directory: Path, way: str, number: signal.Signals, *, group: bool) -> list[str]:
    """A signal in the middle: exact totals, the right exit code, nothing left, within 10 s."""
    with (
        MockServer(directory, AGENTS_SPEC) as server,
        LocustTest(directory, AGENTS, "--host", server.url, way=way, run_time="60s", users=8) as test,
    ):
        if way == "web":
            test.wait_for_ui()
            test.swarm()
        wait_until(lambda: server.truth()["requests"] >= 30, "thirty requests")
        signalled = time.monotonic()
        test.signal(number, group=group)
        result = test.finish().expect(128 + number)
        took_s = time.monotonic() - signalled
        slow = [f"took {took_s:.1f} s"] if took_s >= 10 else []
        return slow + differences(result.summary, server.final_truth())


if __name__ == "__main__":
    trials = [
        (
            f"{way} {number.name} {'group' if group else 'master'}",
            partial(interrupted, way=way, number=number, group=group),
        )
        for way in WAYS
        for number in (signal.SIGINT, signal.SIGTERM)
        for group in (False, True)
    ]
    study("Interrupted tests", trials)
