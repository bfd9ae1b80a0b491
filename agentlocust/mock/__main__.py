"""`python -m agentlocust.mock`: what the embedded mock runs; people use `agentlocust mock`."""

from __future__ import annotations

import argparse
import sys

from agentlocust.errors import ConfigError
from agentlocust.mock.serve import serve


def main() -> int:
    """Serve until stopped; the exit code is 2 when it could not start."""
    parser = argparse.ArgumentParser(prog="python -m agentlocust.mock")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--spec", default="")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faults", default="")
    parser.add_argument("--instance", default="mock")
    parser.add_argument("--with-parent", action="store_true")
    given = parser.parse_args()
    try:
        serve(
            given.host,
            given.port,
            given.spec,
            given.seed,
            given.instance,
            faults=given.faults,
            with_parent=given.with_parent,
        )
    except ConfigError as error:
        print(f"agentlocust mock: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
