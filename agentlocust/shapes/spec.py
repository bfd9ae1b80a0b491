"""Reads `--shape NAME:key=value,…`: which shapes there are, what they can be told, and what they say of themselves."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from agentlocust.config import did_you_mean
from agentlocust.errors import ConfigError
from agentlocust.shapes import capacity, curves, endurance, patterns, scalability, spike, stress, tables
from agentlocust.shapes.keys import Asked, Key, refused
from agentlocust.shapes.levels import MAX_LEVEL, MIN_RATE, Level
from agentlocust.shapes.patterns import BUILTIN, Pattern
from agentlocust.shapes.stage import Load, Shape
from agentlocust.units import show_span

MAX_SPEC = 4096
_PART = re.compile(r"[,;](?![^(]*\))")  # a separator outside parentheses


@dataclass(frozen=True, slots=True)
class ShapeKind:
    """A shape that can be asked for: what it asks, its keys, how it is made and told.

    `bare` is the key that a value without one sets, as in `csv:load.csv`.
    """

    name: str
    asks: str
    keys: tuple[Key, ...]
    build: Callable[[Asked], Shape]
    tell: Callable[[Shape], str]
    bare: str = ""


def _pattern(pattern: Pattern) -> ShapeKind:
    own = "" if pattern.think is None else f", think time {pattern.think:g} s"
    level = f"{pattern.level:g}{'/s' if pattern.load is Load.RATE else ' user' + 's' * (pattern.level != 1)}"
    asks = f"{level} for {show_span(pattern.duration)} with {show_span(pattern.ramp)} of ramp-up{own}"
    return ShapeKind(pattern.name, asks, patterns.KEYS, partial(patterns.build, pattern), patterns.tell)


_OTHERS = (
    ShapeKind("ramp", "a straight line from one level to another", curves.RAMP_KEYS, curves.ramp, curves.tell_ramp),
    ShapeKind("steps", "levels one after the other, each a phase", curves.STEP_KEYS, curves.steps, curves.tell_steps),
    ShapeKind("stages", "the stages of a YAML list", tables.STAGES_KEYS, tables.stages, tables.tell, "file"),
    ShapeKind("sine", "waves between two levels", curves.SINE_KEYS, curves.sine, curves.tell_wave),
    ShapeKind("daily", "a wave of 24 h, from night to night", curves.DAILY_KEYS, curves.daily, curves.tell_wave),
    ShapeKind("csv", "straight lines between a CSV's rows", tables.CSV_KEYS, tables.table, tables.tell, "file"),
    ShapeKind("spike", "how long until it is itself again after a spike?", spike.KEYS, spike.build, spike.tell),
    ShapeKind("stress", "where does it break, why, and does it come back?", stress.KEYS, stress.build, stress.tell),
    ShapeKind("capacity", "what is the most that meets the SLA?", capacity.KEYS, capacity.build, capacity.tell),
    ShapeKind("endurance", "does it drift or leak over time?", endurance.KEYS, endurance.build, patterns.tell),
    ShapeKind("scalability", "what do more users bring?", scalability.KEYS, scalability.build, scalability.tell),
)

NAMES: Mapping[str, ShapeKind] = {
    **{name: _pattern(pattern) for name, pattern in BUILTIN.items()},
    **{kind.name: kind for kind in _OTHERS},
}


def parse_shape(
    text: str,
    *,
    users: int | None,
    spawn_rate: float | None,
    run_time: float | None,
    rate: float | None = None,
    time_scale: float = 1.0,
    patterns: Mapping[str, Pattern] = BUILTIN,
    folder: Path = Path(),
) -> Shape:
    """The shape that `NAME` or `NAME:key=value,key=value` asks for. Raises ConfigError.

    -u is its highest level (in the open loop `rate` is, and -u only bounds the users), -r the pace of
    a ramp-up and -t the duration of a shape that has one; the driver ends the others at -t. A key
    wins over an option. `time_scale` shrinks every time of the shape itself, not -r, -t or think time,
    and no stage below a second. `folder` is where its files are looked for.
    """
    if len(text) > MAX_SPEC:
        raise refused(f"a shape of {len(text)} characters", hint=f"at most {MAX_SPEC}")
    _options(users, spawn_rate, run_time, rate, time_scale)
    name, _, rest = text.partition(":")
    kind = _kind(name.strip(), patterns)
    values = _values(kind, rest)
    load = _load(values, rate)
    return kind.build(Asked(values, load, users, spawn_rate, run_time, rate, time_scale, folder))


def describe(shape: Shape) -> str:
    """The shape in a line: `spike: 10 users, 100 users for 20s, recovery 1m00s`."""
    kind = NAMES.get(shape.name)
    return f"{shape.name}: {(kind.tell if kind else patterns.tell)(shape)}"


def keys_text(name: str) -> str:
    """What a shape asks and all it can be told, for a terminal. Raises ConfigError for an unknown one."""
    kind = _kind(name, BUILTIN)
    rows = [f"  {key.name:<14} {key.meaning} ({key.default})" for key in kind.keys]
    return "\n".join([f"{kind.name}: {kind.asks}", *rows])


def shapes_markdown() -> str:
    """The Markdown that the documentation shows: every shape, then the keys of each."""
    lines = ["| shape | |", "|---|---|"]
    lines += [f"| `{kind.name}` | {kind.asks} |" for kind in NAMES.values()]
    lines += ["", "| of | key | default | |", "|---|---|---|---|"]
    lines += _key_lines("a pattern", patterns.KEYS)
    for kind in _OTHERS:
        lines += _key_lines(f"`{kind.name}`", kind.keys)
    return "\n".join(lines) + "\n"


def _key_lines(of: str, keys: Iterable[Key]) -> list[str]:
    rows = ([of, f"`{key.name}`", key.default, key.meaning] for key in keys)
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]


def _options(
    users: int | None, spawn_rate: float | None, run_time: float | None, rate: float | None, time_scale: float
) -> None:
    """See that the options around the shape can be."""
    if not 0 < time_scale <= 1:
        raise ConfigError(f"{time_scale:g} is not a time scale", where="--time-scale", hint="above 0, at most 1: 0.1")
    if users is not None and not 1 <= users <= MAX_LEVEL:
        raise ConfigError(f"{users} users cannot be", where="--users", hint=f"from 1 to {MAX_LEVEL:,}")
    if rate is not None and not MIN_RATE <= rate <= MAX_LEVEL:
        raise ConfigError(f"{rate:g}/s cannot be", where="--rate", hint=f"up to {MAX_LEVEL:,}/s, such as 20/s")
    for name, value in (("--spawn-rate", spawn_rate), ("--run-time", run_time)):
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise ConfigError(f"{value:g} is not above 0", where=name)


def _kind(name: str, own: Mapping[str, Pattern]) -> ShapeKind:
    if name in own:
        return _pattern(own[name])
    if name in NAMES and name not in BUILTIN:
        return NAMES[name]
    known = [*own, *(kind.name for kind in _OTHERS)]
    hint = did_you_mean(name, known) or f"the shapes are {', '.join(known)}"
    raise refused(f"there is no shape {name[:40]!r}", hint=hint)


def _values(kind: ShapeKind, rest: str) -> dict[str, Any]:
    keys = {key.name: key for key in kind.keys}
    values: dict[str, Any] = {}
    for number, part in enumerate(_PART.split(rest)):
        if not part.strip():
            continue
        name, equals, text = (piece.strip() for piece in part.partition("="))
        if kind.bare and not number and not equals:
            name, text = kind.bare, name
        key = keys.get(name)
        if key is None:
            hint = did_you_mean(name, keys) or f"its keys are {', '.join(keys)}"
            raise refused(f"{kind.name} has no key {name[:40]!r}", hint=hint)
        if not text:
            raise refused(f"{name} has no value", name, f"write {name}=VALUE")
        if name in values and not key.repeated:
            raise refused(f"{name} is given twice", name, "keep one of them")
        try:
            value = key.read(text)
        except ConfigError as error:
            raise refused(error.what, name, error.hint) from None
        values[name] = [*values.get(name, ()), value] if key.repeated else value
    return values


def _load(values: Mapping[str, Any], rate: float | None) -> Load:
    """Open or closed loop: open with --rate, or when the levels are written as rates."""
    if "users" in values and "rate" in values:
        raise refused("users and rate are both levels", "rate", "keep one of them; -u bounds the users")
    if "users" in values and rate is not None:
        raise refused("a number of users, and --rate asks for a rate", "users", "write rate=20/s; -u bounds the users")
    levels = {name: value for name, value in values.items() if isinstance(value, Level)}
    rates = [name for name, level in levels.items() if level.per_second]
    if rates and rate is None:
        for name, level in levels.items():
            if not level.per_second and level.number:
                raise refused(
                    f"{level.text} is users and {rates[0]} a rate", name, f"write {level.text}/s, or no rates"
                )
    return Load.RATE if rates or rate is not None else Load.USERS
