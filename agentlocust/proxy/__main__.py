"""`python -m agentlocust.proxy`: what a test runs beside itself; people use `agentlocust proxy`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from agentlocust.budget import Budget
from agentlocust.errors import ConfigError
from agentlocust.faults.plan import FaultPlan
from agentlocust.proxy.serve import Plan, serve
from agentlocust.proxy.tools import read_tools
from agentlocust.wire.target import Target


def main() -> int:
    """Serve what the JSON object in the first argument says; the exit code is 2 when it could not start."""
    asked = json.loads(sys.argv[1])
    try:
        plan = Plan(
            Target.parse(asked["upstream"], where="--proxy"),
            asked["host"],
            asked["port"],
            tools=read_tools(asked["tools"], "--proxy"),
            budget=Budget(**asked["budget"]),
            pricing=tuple(Path(path) for path in asked["pricing"]),
            faults=FaultPlan.parse(asked["faults"]),
            seed=asked["seed"],
            pipe=True,
        )
        serve(plan)
    except ConfigError as error:
        print(f"agentlocust proxy: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
