"""What the reliability programs share: repeat a trial, print a table, end with 1 when a trial failed."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

Trial = Callable[[Path], list[str]]  # what was wrong, in words; nothing when all was right


def study(title: str, trials: Iterable[tuple[str, Trial]]) -> None:
    """Run each trial `--runs` times in a directory of its own and print a row for each."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--runs", type=int, default=10, help="how often each trial is repeated (10)")
    parser.add_argument("--only", default="", help="only trials whose name contains this")
    options = parser.parse_args()
    print(f"{title}, {options.runs} runs each\n")
    print(f"{'trial':<48} {'right':>7} {'slowest':>9}")
    wrong: list[str] = []
    for name, trial in trials:
        if options.only not in name:
            continue
        found, slowest_s = [], 0.0
        for number in range(1, options.runs + 1):
            started = time.monotonic()
            problems = _problems(trial)
            slowest_s = max(slowest_s, time.monotonic() - started)
            if problems:
                found.append(f"{name}, run {number}: {'; '.join(problems)}")
        print(f"{name:<48} {options.runs - len(found):>3}/{options.runs:<3} {slowest_s:>7.1f} s", flush=True)
        wrong += found
    print("".join(f"\n{line}" for line in wrong))
    sys.exit(1 if wrong else 0)


def _problems(trial: Trial) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="agentlocust-") as directory:
        try:
            return trial(Path(directory))
        except AssertionError as error:
            return [str(error)]
