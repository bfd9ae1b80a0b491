"""What a shape can be told, and what it was told: the keys of its spec beside -u, -r, -t and --rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentlocust import units
from agentlocust.errors import ConfigError
from agentlocust.shapes.levels import Level, level_name, parse_level, rounded
from agentlocust.shapes.stage import Load

WHERE = "--shape"
MAX_SECONDS = 30 * 86_400.0
MAX_STAGES = 10_000
OWN = "own"  # think time: the users' own

FLOOR_S = 1.0  # no stage is scaled below it: series and decisions go by the second


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a spec: how its text is read, its default as people read it, and what it means.

    One that is `repeated` may be given more than once and holds the list of its values.
    """

    name: str
    read: Callable[[str], Any]
    default: str
    meaning: str
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked of a shape. A key of the spec wins over an option; an option is never scaled.

    `users`, `spawn_rate`, `run_time` are Locust's -u, -r, -t where given; `rate` is the open loop's.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    load: Load = Load.USERS
    users: int | None = None
    spawn_rate: float | None = None
    run_time: float | None = None
    rate: float | None = None
    time_scale: float = 1.0
    folder: Path = Path()

    def get(self, key: str, default: Any) -> Any:
        """The key's value, or `default`."""
        return self.values.get(key, default)

    def has(self, key: str) -> bool:
        """True when the spec gives the key."""
        return key in self.values

    def level(self, key: str, default: float) -> float:
        """The key's level, or `default` made one."""
        found: Level | None = self.values.get(key)
        return rounded(default, self.load) if found is None else found.number

    def highest(self, key: str, default: float) -> float:
        """The highest level: the key's, else --rate in the open loop or -u in the closed one."""
        option = self.rate if self.load is Load.RATE else self.users
        return self.level(key, default if option is None else option)

    def seconds(self, key: str, default: float, floor: float = FLOOR_S) -> float:
        """The key's time, or `default`, scaled."""
        return self.scaled(float(self.values.get(key, default)), floor)

    def scaled(self, seconds: float, floor: float = FLOOR_S) -> float:
        """A time of the shape's own, scaled; not below `floor`, or below itself where it is shorter."""
        return max(seconds * self.time_scale, min(seconds, floor))

    def ramp(self, key: str, level: float, default: float) -> float:
        """The ramp-up in seconds: the key's, else as long as -r makes it (closed loop), else `default`."""
        if key not in self.values and self.spawn_rate is not None and self.load is Load.USERS:
            return level / self.spawn_rate
        return float(self.values.get(key, default)) * self.time_scale


def refused(what: str, key: str = "", hint: str = "") -> ConfigError:
    """The error of a spec, with its key."""
    return ConfigError(what, where=f"{WHERE}:{key}" if key else WHERE, hint=hint)


def whole_users(asked: Asked, *names: str) -> None:
    """See that the levels of `names` are whole users in the closed loop. Raises ConfigError."""
    for name in names:
        level: Level | None = asked.values.get(name)
        if level is not None and asked.load is Load.USERS and level.number != int(level.number):
            raise refused(f"{level_name(level.number, Load.USERS)} cannot be", name, "users are whole; rates end in /s")


def at_least_one(text: str) -> Level:
    """A level above 0. Raises ConfigError."""
    level = parse_level(text)
    if not level.number:
        raise ConfigError("a level of 0 is no load", hint="write 50 or 20/s")
    return level


def duration(text: str) -> float:
    """Seconds above 0, from `30s` or `5m`. Raises ConfigError."""
    seconds = units.parse_duration(text)
    if not 0 < seconds <= MAX_SECONDS:
        raise ConfigError(f"{text} is not a time to hold a load", hint="more than 0, at most 30 days")
    return seconds


def pause(text: str) -> float:
    """Seconds, also 0: a ramp or a settling time. Raises ConfigError."""
    seconds = 0.0 if text == "0" else units.parse_duration(text)
    if seconds > MAX_SECONDS:
        raise ConfigError(f"{text} is too long", hint="at most 30 days")
    return seconds


def think(text: str) -> float | None:
    """Seconds between tasks, or None for `own`. Raises ConfigError."""
    return None if text == OWN else pause(text)


def share(low: float, high: float) -> Callable[[str], float]:
    """A reader of percentages from `low` to `high`, given as ratios."""

    def read(text: str) -> float:
        ratio = units.parse_percent(text)
        if not low <= ratio <= high:
            raise ConfigError(
                f"{text} is out of range", hint=f"from {units.show_percent(low)} to {units.show_percent(high)}"
            )
        return ratio

    return read


def whole(low: int, high: int) -> Callable[[str], int]:
    """A reader of whole numbers from `low` to `high`."""

    def read(text: str) -> int:
        number = units.parse_number(text)
        if number != int(number) or not low <= number <= high:
            raise ConfigError(f"{text} is not a whole number from {low} to {high:,}")
        return int(number)

    return read


def number(low: float, high: float) -> Callable[[str], float]:
    """A reader of numbers from `low` to `high`."""

    def read(text: str) -> float:
        found = units.parse_number(text)
        if not low <= found <= high:
            raise ConfigError(f"{text} is not a number from {low:g} to {high:g}")
        return found

    return read


def one_of(*words: str) -> Callable[[str], str]:
    """A reader of one of these words."""

    def read(text: str) -> str:
        if text not in words:
            raise ConfigError(f"{text[:40]!r} is not a choice", hint=f"write {' or '.join(words)}")
        return text

    return read
