"""Is an agent's way of trying again named, and its storm measured? `python tests/reliability/backoff.py --runs 10`.

A naive agent tries again at once, a good one after waits that double and differ; one waits a whole second each time,
as all its like do, and one as long as Retry-After says. Each meets the same storm: of sixteen users four requests a
second pass, the rest get a 429. What the wire saw is counted by a relay before the mock.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from storms import BEHAVIOURS, Storm, storm, unlike

HEAD = ("agent", "run", "tries/call", "peak req/s", "wire req/s", "named", "wave")


def tried(manner: str) -> tuple[Storm | None, list[str]]:
    """One storm, and what was wrong with what the report says of it."""
    with tempfile.TemporaryDirectory(prefix="agentlocust-") as directory:
        try:
            found = storm(Path(directory), manner)
        except AssertionError as error:
            return None, [str(error)]
    return found, found.problems()


def row(found: Storm, number: int) -> str:
    """A line of the table."""
    wave = f"{found.window['wave']['users']} users" if found.window["wave"] else "-"
    return (
        f"{found.manner:<8} {number:>4} {found.amplification:>11.1f} {found.peak_rate:>11.0f} {found.wire_rate:>11.0f}"
        f"   {found.behaviour:<25} {wave}"
    )


def main() -> None:
    """Print a row for each storm; end with 1 when a report was wrong."""
    parser = argparse.ArgumentParser(description="Storms of 429s")
    parser.add_argument("--runs", type=int, default=10, help="how many storms each agent meets (10)")
    runs: int = parser.parse_args().runs
    print(f"{HEAD[0]:<8} {HEAD[1]:>4} {HEAD[2]:>11} {HEAD[3]:>11} {HEAD[4]:>11}   {HEAD[5]:<25} {HEAD[6]}")
    right, wrong = dict.fromkeys(BEHAVIOURS, 0), list[str]()
    for number in range(1, runs + 1):
        storms: dict[str, Storm] = {}
        for manner in BEHAVIOURS:
            found, problems = tried(manner)
            if found is not None:
                print(row(found, number), flush=True)
                storms[manner] = found
            if manner == "jitter" and {"naive", "jitter"} <= storms.keys():
                problems += unlike(storms["naive"], storms["jitter"])
            right[manner] += not problems
            wrong += [f"{manner}, run {number}: {problem}" for problem in problems]
    print("\nright: " + ", ".join(f"{manner} {count}/{runs}" for manner, count in right.items()))
    print("".join(f"\n{line}" for line in wrong))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
