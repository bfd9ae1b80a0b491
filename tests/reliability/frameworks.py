"""Every framework example against the mock's truth: `python tests/reliability/frameworks.py --seconds 60`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from framework_trials import EXAMPLES, Trial, missing, try_example

PACKAGES = (
    "openai-agents langgraph langchain-openai pydantic-ai-slim anthropic smolagents openai httpx httpx2 gevent locust"
)


def main() -> None:
    """Try each example and print a row for it; ends with 1 when a number was not the truth's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    print(" ".join(f"{name} {_version(name)}" for name in PACKAGES.split()), end="\n\n")
    print(
        f"{'example':<24}{'runs':>7}{'calls':>8}{'calls/s':>9}{'tokens':>10}{'dollars':>12}{'tools':>7}  {'wrong':>5}"
    )
    wrong: list[str] = []
    for name in EXAMPLES:
        if options.only not in name:
            continue
        if reason := missing(name):
            print(f"{name:<24}  {reason}")
            continue
        with tempfile.TemporaryDirectory(prefix="agentlocust-") as directory:
            trial = try_example(Path(directory), name, users=options.users, run_time=f"{options.seconds}s", pause=1)
        print(_row(trial, options.seconds), flush=True)
        wrong += [f"{name}: {problem}" for problem in trial.problems]
    print("".join(f"\n{line}" for line in wrong))
    sys.exit(1 if wrong else 0)


def _row(trial: Trial, seconds: int) -> str:
    if not trial.summary:
        return f"{trial.name:<24}  no summary"
    totals = trial.summary["totals"]
    tokens = totals["tokens"]["input"] + totals["tokens"]["output"]
    return (
        f"{trial.name:<24}{totals['runs']:>7,}{totals['calls']:>8,}{totals['calls'] / seconds:>9.1f}{tokens:>10,}"
        f"{totals['cost_usd']:>12}{totals['tool_calls']:>7,}{len(trial.problems):>7}"
    )


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "-"


if __name__ == "__main__":
    main()
