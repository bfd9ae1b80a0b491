"""Levels of load: so many users, or so many tasks a second, read, rounded and named in one place."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, log10

from agentlocust import units
from agentlocust.errors import ConfigError
from agentlocust.shapes.stage import Load

MAX_LEVEL = 1_000_000
MIN_RATE = 0.0001  # a task in three hours


@dataclass(frozen=True, slots=True)
class Level:
    """A level as it was written; without a unit it may stand for either load."""

    number: float
    per_second: bool

    @property
    def text(self) -> str:
        """The level as a person would write it."""
        return f"{plain(self.number)}/s" if self.per_second else plain(self.number)


def parse_level(text: str) -> Level:
    """A level from `50` or `20/s`; 0 is one too. Raises ConfigError."""
    per_second = "/" in text
    number = units.parse_rate(text) if per_second else units.parse_number(text)
    if not 0 <= number <= MAX_LEVEL or 0 < number < MIN_RATE:
        raise ConfigError(f"{text} is not a level of load", hint=f"from 0 to {MAX_LEVEL:,}, such as 50 or 20/s")
    return Level(number, per_second)


def parse_users(text: str) -> Level:
    """A whole number of users, at least one. Raises ConfigError."""
    level = parse_level(text)
    if level.per_second or not level.number or level.number != int(level.number):
        raise ConfigError(f"{text} is not a number of users", hint="write 50; a rate is rate=20/s")
    return level


def parse_rate_level(text: str) -> Level:
    """A rate above 0. Raises ConfigError."""
    if "/" not in text:
        raise ConfigError(f"{text} is not a rate", hint=f"write {text}/s")
    level = parse_level(text)
    if not level.number:
        raise ConfigError("a rate of 0 is no load", hint="write 20/s or 100/min")
    return level


def rounded(number: float, load: Load) -> float:
    """The nearest level that can be held and named: whole users (one at least), or a rate of four digits."""
    if load is Load.USERS:
        return float(max(round(number), 1))
    digits = 3 - floor(log10(number)) if number > 0 else 0
    return max(round(number, max(digits, 0)), MIN_RATE)


def plain(number: float) -> str:
    """A number without a comma, as it can stand in a label's value."""
    return f"{number:.0f}" if number >= 1000 or number == int(number) else f"{number:.4g}"


def level_name(number: float, load: Load) -> str:
    """`50 users`, `1 user` or `20/s`: fit for a phase's name and so for a filter in a check."""
    if load is Load.RATE:
        return f"{plain(number)}/s"
    return "1 user" if number == 1 else f"{plain(number)} users"


def shown(number: float, load: Load) -> str:
    """The level for a sentence: `1,000 users` or `20/s`."""
    if load is Load.RATE:
        return f"{units.show_count(number)}/s"
    return "1 user" if number == 1 else f"{units.show_count(number)} users"
