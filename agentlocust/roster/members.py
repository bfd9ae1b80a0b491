"""Who is on a roster and what is asked of them, read from options or arguments and validated."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agentlocust.errors import ConfigError

MOST_AGENTS = 10_000
MOST_OPERATIONS = 10_000_000  # of all agents together
LONGEST_NAME = 200
LONGEST_DELAY_S = 3600.0


@dataclass(frozen=True, slots=True)
class Member:
    """One agent of a roster.

    `tasks` maps the names of its own tasks to their weights; empty: all tasks of the test, equally
    often. `weight` is its part of the users, against that of the others. `model` "" is the User
    class's. `hand_offs` maps a task that it does with another agent to that agent's name; without
    that agent in the test it does the task alone.
    """

    name: str
    tasks: Mapping[str, float] = field(default_factory=dict)
    weight: float = 1.0
    model: str = ""
    hand_offs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Roster:
    """What a test of named agents is to do: `operations` by each of them.

    Delays are seconds. `missing_data` and `failure` are the probabilities that an operation finds no
    data and that what it does fails; no operation meets both.
    """

    members: tuple[Member, ...]
    operations: int = 100
    min_delay: float = 0.05
    max_delay: float = 0.15
    missing_data: float = 0.2
    failure: float = 0.1

    @property
    def total(self) -> int:
        """Operations of all agents."""
        return len(self.members) * self.operations


@dataclass(frozen=True, slots=True)
class Names:
    """What the settings of a roster are called where they were written, for messages."""

    agents: str = "agents"
    tasks: str = "tasks"
    operations: str = "operations_per_agent"
    min_delay: str = "min_delay"
    max_delay: str = "max_delay"
    missing_data: str = "missing_data_prob"
    failure: str = "failure_prob"


def read_roster(
    agents: str | Iterable[str | Member],
    tasks: str | Iterable[str] | Mapping[str, float],
    *,
    operations: int = 100,
    min_delay: float = 0.05,
    max_delay: float = 0.15,
    missing_data: float = 0.2,
    failure: float = 0.1,
    known: Sequence[Member] = (),
    names: Names = Names(),
) -> Roster:
    """A roster of these agents, `known` ones with what is known of them. Raises ConfigError.

    Agents and tasks are names, or one text of names between commas.
    """
    weights = _tasks(tasks, names)
    by_name = {member.name: member for member in known}
    members = []
    for agent in _listed(agents):
        member = (
            agent if isinstance(agent, Member) else by_name.get(_name(agent, names.agents), Member(_stripped(agent)))
        )
        members.append(_fit(member, weights, names))
    _check_names([member.name for member in members], names.agents)
    count = _whole(operations, names.operations)
    if not 0 < count * len(members) <= MOST_OPERATIONS:
        what = f"{count:,} operations by {len(members):,} agents"
        raise ConfigError(what, where=names.operations, hint=f"at least 1, at most {MOST_OPERATIONS:,} in all")
    low = _number(min_delay, names.min_delay, LONGEST_DELAY_S)
    high = _number(max_delay, names.max_delay, LONGEST_DELAY_S)
    if low > high:
        raise ConfigError(
            f"{low:g} s is more than the longest delay, {high:g} s", where=names.min_delay, hint="swap them"
        )
    missing, failing = _number(missing_data, names.missing_data, 1.0), _number(failure, names.failure, 1.0)
    if missing + failing > 1 + 1e-9:
        what = f"{missing:g} and {failing:g} are more than 1 together"
        raise ConfigError(what, where=names.failure, hint="an operation meets missing data or a failure, never both")
    return Roster(tuple(members), count, low, high, missing, failing)


def _fit(member: Member, weights: Mapping[str, float], names: Names) -> Member:
    """The member with those of its own tasks that the test has."""
    _number(member.weight, f"{names.agents}: weight of {member.name[:40]!r}", 1e6, least=1e-6)
    if not member.tasks:
        return replace(member, tasks=dict(weights))
    own = {task: float(weight) for task, weight in member.tasks.items() if task in weights}
    for task, weight in own.items():
        _number(weight, f"{names.tasks}: weight of {task[:40]!r}", 1e6)
    if not any(own.values()):
        what = f"{member.name[:40]!r} does none of {', '.join(repr(task[:40]) for task in weights)}"
        raise ConfigError(what, where=names.tasks, hint=f"it does {', '.join(member.tasks)}")
    return replace(member, tasks=own)


def _tasks(tasks: str | Iterable[str] | Mapping[str, float], names: Names) -> dict[str, float]:
    if isinstance(tasks, Mapping):
        weights = {_name(task, names.tasks): _number(weight, names.tasks, 1e6) for task, weight in tasks.items()}
        if not any(weights.values()):
            raise ConfigError("no task has a weight", where=names.tasks, hint="give one a weight above 0")
        return weights
    found = [_name(task, names.tasks) for task in _listed(tasks)]
    _check_names(found, names.tasks)
    return dict.fromkeys(found, 1.0)


def _listed(given: Any) -> list[Any]:
    return [part.strip() for part in given.split(",")] if isinstance(given, str) else list(given)


def _stripped(name: object) -> str:
    return name.strip() if isinstance(name, str) else ""


def _name(name: object, where: str) -> str:
    text = _stripped(name)
    if not text:
        raise ConfigError("a name is empty", where=where, hint="write names between commas, such as A,B,C")
    if len(text) > LONGEST_NAME:
        raise ConfigError(f"{text[:40]!r}… is longer than {LONGEST_NAME} characters", where=where)
    return text


def _check_names(found: Sequence[str], where: str) -> None:
    if not found:
        raise ConfigError("nobody is named", where=where, hint="write names between commas, such as A,B,C")
    if len(found) > MOST_AGENTS:
        raise ConfigError(f"more than {MOST_AGENTS:,} names", where=where)
    seen: set[str] = set()
    for name in found:
        _name(name, where)
        if name in seen:
            raise ConfigError(f"{name[:40]!r} is named twice", where=where, hint="each name once")
        seen.add(name)


def _whole(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{str(value)[:40]!r} is not a whole number", where=where, hint="write 100")
    return value


def _number(value: object, where: str, most: float, least: float = 0.0) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ConfigError(f"{str(value)[:40]!r} is not a number", where=where, hint=f"from {least:g} to {most:g}")
    if not least <= value <= most:
        raise ConfigError(f"{value:g} is not between {least:g} and {most:g}", where=where)
    return float(value)
