"""Is it told when a target was back, and when it was felt? `python tests/reliability/recovery.py --outages 10`.

Each outage lasts a random time from two to eight seconds, most of them longer than the window that the test is told
of. `target back` is when the target answered again, by its own clock or the mock's plan; `felt` is from when on calls
ended as well as before, which an SDK that waits between its tries feels later. Reported are `target_back_s` and
`recovery_s`, both counted from the window's end. All times in seconds of the test.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from recoveries import recovery


def main() -> None:
    """Print a row for each outage; end with 1 when a time was more than a second off."""
    parser = argparse.ArgumentParser(description="Outages of random length")
    parser.add_argument("--outages", type=int, default=10, help="how many (10)")
    parser.add_argument("--seed", type=int, default=0, help="of the first, the others follow it (0)")
    options = parser.parse_args()
    words = ("lasted", "target back", "reported", "felt", "reported")
    print(f"{'outage':<16}" + "".join(f"{word:>13}" for word in words))
    right, wrong = 0, list[str]()
    for seed in range(options.seed, options.seed + options.outages):
        with tempfile.TemporaryDirectory(prefix="agentlocust-") as directory:
            try:
                found = recovery(Path(directory), seed)
            except AssertionError as error:
                wrong.append(f"seed {seed}: {error}")
                continue
        times = (found.lasted_s, found.back_s, found.told_back_s, found.felt_s, found.told_felt_s)
        cells = ("-" if time is None else f"{time:.2f}" for time in times)
        print(f"{found.kind:<16}" + "".join(f"{cell:>13}" for cell in cells), flush=True)
        problems = found.problems()
        right += not problems
        wrong += [f"seed {seed}, {found.kind}: {problem}" for problem in problems]
    print(f"\nwithin a second: {right} of {options.outages}")
    print("".join(f"\n{line}" for line in wrong))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
