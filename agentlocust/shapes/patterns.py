"""Fixed patterns: ramp up, hold, done. Seven come with the package, others from a file of one's own."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from agentlocust.config import Duration, Rate, load_yaml, validate
from agentlocust.errors import ConfigError
from agentlocust.shapes.keys import MAX_SECONDS, OWN, Asked, Key, duration, pause, refused, think
from agentlocust.shapes.levels import MAX_LEVEL, MIN_RATE, parse_rate_level, parse_users, shown
from agentlocust.shapes.stage import Finding, Load, Program, Shape, Stage
from agentlocust.units import parse_duration, show_span

MAX_PATTERNS = 1000
# What a pattern cannot be called: the names of the other shapes.
RESERVED = frozenset(
    {"ramp", "steps", "stages", "sine", "daily", "csv", "spike", "stress", "capacity", "scalability", "endurance"}
)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,59}\Z")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A level held for a while: `duration` and the `ramp` it includes in seconds, `think` None for users' own."""

    name: str
    level: float
    duration: float
    ramp: float
    think: float | None
    load: Load = Load.USERS


BUILTIN = MappingProxyType(
    {
        pattern.name: pattern
        for pattern in (
            Pattern("baseline", 1, 30.0, 5.0, 1.0),
            Pattern("light_load", 5, 60.0, 10.0, 1.0),
            Pattern("normal_load", 10, 120.0, 20.0, 1.0),
            Pattern("heavy_load", 25, 180.0, 30.0, 0.5),
            Pattern("stress_test", 50, 300.0, 60.0, 0.2),
            Pattern("spike_test", 100, 60.0, 5.0, 0.1),
            Pattern("endurance_test", 10, 1800.0, 30.0, 2.0),
        )
    }
)

KEYS = (
    Key("users", parse_users, "the pattern's, or -u", "users at its height"),
    Key("rate", parse_rate_level, "--rate", "tasks a second at its height, in place of users"),
    Key("duration", duration, "the pattern's, or -t", "the whole of it, ramp-up included"),
    Key("ramp", pause, "the pattern's, or users / -r", "the ramp-up"),
    Key("think", think, "the pattern's; none of its own in the open loop", "pause between tasks, `own`: the users'"),
)


def build(pattern: Pattern, asked: Asked) -> Shape:
    """The pattern as it was asked for. Raises ConfigError when its ramp-up leaves nothing of it."""
    if pattern.load is Load.RATE and not asked.has("users"):
        asked = dataclasses.replace(asked, load=Load.RATE)
    load = asked.load
    level = asked.highest("rate" if load is Load.RATE else "users", pattern.level)
    if asked.has("duration") or asked.run_time is None:
        seconds = asked.seconds("duration", pattern.duration, floor=2.0)
    else:
        seconds = asked.run_time
    # Without one of its own the ramp-up keeps its share of a shorter pattern.
    ramp = asked.ramp("ramp", level, pattern.ramp)
    if not asked.has("ramp") and (asked.spawn_rate is None or load is Load.RATE):
        ramp = min(ramp, seconds * pattern.ramp / pattern.duration)
    if ramp >= seconds:
        what = f"a ramp-up of {show_span(ramp)} leaves nothing of {show_span(seconds)}"
        raise refused(what, "ramp", "a longer duration or -t, a shorter ramp or a larger -r")
    own = None if load is Load.RATE and pattern.load is Load.USERS else pattern.think
    pause_s: float | None = asked.get("think", own)
    stages = climb(level, ramp, seconds)
    settings = {"level": level, "unit": str(load), "duration_s": seconds, "ramp_s": ramp, "think_s": pause_s}
    return Shape(pattern.name, load, settings, level, seconds, lambda: play(stages), pause_s)


def climb(level: float, ramp: float, seconds: float) -> list[Stage]:
    """`ramp-up` from nothing, then `steady`: together `seconds`."""
    up = [Stage("ramp-up", ramp, 0.0, level)] if ramp else []
    return [*up, Stage.hold("steady", seconds - ramp, level)]


def play(stages: Iterable[Stage]) -> Program:
    """A program that is known beforehand and finds nothing out."""
    for stage in stages:  # noqa: UP028 - a list cannot be sent what was seen
        yield stage
    return Finding()


def tell(shape: Shape) -> str:
    """The pattern in a line, without its name."""
    settings = shape.settings
    pause_s = settings["think_s"]
    after = "" if pause_s is None else f", think time {pause_s:g} s"
    ramp = f" with {show_span(settings['ramp_s'])} of ramp-up" if settings["ramp_s"] else ""
    return f"{shown(shape.most, shape.load)} for {show_span(settings['duration_s'])}{ramp}{after}"


def load_patterns(path: str | Path) -> dict[str, Pattern]:
    """The patterns of a YAML file, by name: `patterns: {lunch: {users: 30, duration: 10m, ramp: 1m, think: 2s}}`.

    `rate: 20/s` stands in place of users; ramp is none and think the users' own where they are left
    out. Raises ConfigError with file, line and key.
    """
    document = load_yaml(path)
    found: dict[str, Pattern] = {}
    for name, form in validate(document, _File).patterns.items():
        where = document.where("patterns", name)
        if _NAME.match(name) is None:
            raise ConfigError(f"{name[:60]!r} is not a name", where=where, hint="letters, digits, _ - and .")
        if name in RESERVED:
            raise ConfigError(f"{name} is a shape of another kind", where=where, hint="choose another name")
        if (form.users is None) == (form.rate is None):
            raise ConfigError(f"{name} needs users or a rate, one of them", where=where, hint="write users: 30")
        if form.ramp >= form.duration:
            raise ConfigError(
                f"the ramp-up leaves nothing of {show_span(form.duration)}",
                where=document.where("patterns", name, "ramp"),
                hint="the duration includes it",
            )
        load = Load.USERS if form.rate is None else Load.RATE
        level = float(form.users or form.rate or 0)
        found[name] = Pattern(name, level, form.duration, form.ramp, form.think, load)
    return found


def _think(value: object) -> float | None:
    try:
        return None if value is None or value == OWN else parse_duration(value)
    except ConfigError as error:
        raise ValueError(str(error)) from error


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    users: int | None = Field(default=None, ge=1, le=MAX_LEVEL)
    rate: Annotated[Rate, Field(ge=MIN_RATE, le=MAX_LEVEL)] | None = None
    duration: Annotated[Duration, Field(gt=0, le=MAX_SECONDS)]
    ramp: Duration = 0.0
    think: Annotated[float | None, BeforeValidator(_think)] = None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    patterns: dict[str, _Form] = Field(max_length=MAX_PATTERNS)
