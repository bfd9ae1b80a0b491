"""The same load for long. What it finds (drift, leaks) is read from the whole test's series afterwards."""

from __future__ import annotations

from agentlocust.shapes import patterns
from agentlocust.shapes.keys import Asked, Key, duration, pause, think
from agentlocust.shapes.levels import parse_rate_level, parse_users
from agentlocust.shapes.patterns import Pattern
from agentlocust.shapes.stage import Shape

KEYS = (
    Key("users", parse_users, "10, or -u", "users"),
    Key("rate", parse_rate_level, "--rate", "tasks a second, in place of users"),
    Key("duration", duration, "30m, or -t", "the whole of it, ramp-up included"),
    Key("ramp", pause, "30s, or users / -r", "the ramp-up"),
    Key("think", think, "own", "pause between tasks, `own`: the users'"),
)
_LONG = Pattern("endurance", 10, 1800.0, 30.0, None)


def build(asked: Asked) -> Shape:
    """One long phase, `steady`, behind its ramp-up. Raises ConfigError."""
    return patterns.build(_LONG, asked)
