"""Every fixed pattern in every mode, on a small scale of time: `python tests/reliability/patterns.py --runs 3`."""

from __future__ import annotations

from functools import partial

from studies import study  # isort: skip  # puts the harness on the path

from harness import WAYS
from plans import PATTERNS, keeps_to

LONGEST_S = 16.0  # of a trial: half an hour is not needed to see that users follow their plan


def scale_of(pattern: str) -> float:
    """A twentieth of the time, less for what would still be long."""
    return min(0.05, LONGEST_S / PATTERNS[pattern][1])


if __name__ == "__main__":
    trials = [
        (f"{pattern} {way}", partial(keeps_to, pattern=pattern, scale=scale_of(pattern), way=way))
        for pattern in PATTERNS
        for way in WAYS
    ]
    study("Users and counts of the fixed patterns", trials)
