"""Totals against the mock's truth, in every mode: `python tests/reliability/totals.py --runs 10`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from studies import study  # isort: skip  # puts the harness on the path

from harness import WAYS, MockServer, run
from oracle import differences, unaccounted
from sample_locustfiles import AGENTS, AGENTS_SPEC, SLOW_AGENTS, SLOW_SPEC


def drained(directory: Path, way: str) -> list[str]:
    """Every call finishes: all counts equal the truth."""
    with MockServer(directory, AGENTS_SPEC) as server:
        result = run(directory, AGENTS, "--host", server.url, way=way, users=8).expect(0)
        return differences(result.summary, server.final_truth())


def cut(directory: Path, way: str) -> list[str]:
    """The end cuts calls: the cancelled ones explain every difference."""
    with MockServer(directory, SLOW_SPEC) as server:
        result = run(directory, SLOW_AGENTS, "--host", server.url, way=way, users=8, run_time="3s", stop_timeout="1")
        idle = [] if result.summary["totals"]["cancelled"] else ["no call was cut"]
        return idle + unaccounted(result.summary, server.final_truth())


if __name__ == "__main__":
    trials = [(f"{trial.__name__} {way}", partial(trial, way=way)) for trial in (drained, cut) for way in WAYS]
    study("Totals against the mock's truth", trials)
