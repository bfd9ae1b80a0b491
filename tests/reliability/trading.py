"""Every trading scenario with both agents: `python tests/reliability/trading.py --runs 10 [--only flash_crash]`.

A trial is right when the reference agent ends with exit code 0, or the bad one with 99 and the scenario's own reason.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from studies import study
from trading_trials import COMMANDS, try_scenario


def trial(name: str, agent: str, directory: Path) -> list[str]:
    """One locust command of the README."""
    return try_scenario(directory, name, agent).problems


if __name__ == "__main__":
    study(
        "trading scenarios",
        [
            (f"{name}, {agent} agent", partial(trial, name, agent))
            for name in COMMANDS
            for agent in ("reference", "bad")
        ],
    )
