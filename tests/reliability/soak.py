"""Does memory stay flat while tokens flow? Resident memory of one `locust` process, read each second from outside.

    python tests/reliability/soak.py [--tokens 10000000] [--streams 256]

Streams that never pause read from `agentlocust mock` (64 tokens, TTFT 50 ms, 5 ms between tokens) until the mock has
served as many tokens. The first fifth is warm-up: what is printed is the growth of memory from its end to the end of
all, as the medians of the first and the last tenth of the rest.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from harness import ROOT, LocustTest, MockServer


def main() -> None:
    """Run the soak and print its growth."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--tokens", type=int, default=10_000_000)
    parser.add_argument("--streams", type=int, default=256)
    options = parser.parse_args()
    readings: list[tuple[int, float]] = []  # tokens served, MB
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        mock = stack.enter_context(MockServer(Path(folder), "ttft=50ms,itl=5ms,tokens=64"))
        args = ("--host", mock.url, "--only-summary", "-r", "1000")
        load = ROOT / "agentlocust/calibration/load.py"
        test = stack.enter_context(LocustTest(Path(folder), load, *args, users=options.streams, run_time="3600s"))
        process = psutil.Process(test.main.pid)
        begun = time.monotonic()
        while not readings or readings[-1][0] < options.tokens:
            time.sleep(1)
            readings.append((mock.truth()["tokens"]["output"], process.memory_info().rss / 1e6))
        took = time.monotonic() - begun
        test.signal(2, group=False)
        grade = test.finish(90).summary["generator"]["grade"]
    steady = [rss for tokens, rss in readings if tokens > options.tokens / 5]
    tenth = max(len(steady) // 10, 1)
    first, last = statistics.median(steady[:tenth]), statistics.median(steady[-tenth:])
    print(
        f"{readings[-1][0]:,} tokens in {took:.0f} s: {first:.1f} MB after warm-up, {last:.1f} MB at the end, ", end=""
    )
    print(f"growth {last - first:+.1f} MB, generator {grade}")


if __name__ == "__main__":
    main()
