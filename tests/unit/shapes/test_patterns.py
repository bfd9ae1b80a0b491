"""Patterns: the seven of the package, their plans, and those of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentlocust.errors import ConfigError
from agentlocust.shapes.patterns import BUILTIN, load_patterns
from agentlocust.shapes.spec import parse_shape
from agentlocust.shapes.stage import Finding, Load, Seen, Shape

NONE: dict[str, Any] = {"users": None, "spawn_rate": None, "run_time": None}


def plan(asked: Shape) -> list[tuple[str, float, float, float]]:
    """Phase, seconds, first and last level of each stage."""
    program, found = asked.run(), []
    stage = next(program)
    while True:
        found.append((stage.phase, stage.seconds, stage.start, stage.end))
        try:
            stage = program.send(Seen(stage, stage.seconds))
        except StopIteration:
            return found


@pytest.mark.parametrize(
    ("name", "users", "seconds", "ramp", "think"),
    [
        ("baseline", 1, 30, 5, 1.0),
        ("light_load", 5, 60, 10, 1.0),
        ("normal_load", 10, 120, 20, 1.0),
        ("heavy_load", 25, 180, 30, 0.5),
        ("stress_test", 50, 300, 60, 0.2),
        ("spike_test", 100, 60, 5, 0.1),
        ("endurance_test", 10, 1800, 30, 2.0),
    ],
)
def test_the_patterns_are_these(name: str, users: int, seconds: float, ramp: float, think: float) -> None:
    """Up in a straight line, then held; the duration includes the ramp-up."""
    asked = parse_shape(name, **NONE)
    assert plan(asked) == [("ramp-up", ramp, 0, users), ("steady", seconds - ramp, users, users)]
    assert (asked.think_s, asked.most, asked.seconds, asked.load) == (think, users, seconds, Load.USERS)


def test_a_pattern_finds_nothing_out() -> None:
    """Its phases speak for themselves; it is not an experiment."""
    program = parse_shape("baseline:ramp=0", **NONE).run()
    stage = next(program)
    with pytest.raises(StopIteration) as end:
        program.send(Seen(stage, stage.seconds))
    assert end.value.value == Finding()


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("normal_load", {"users": 50}, [("ramp-up", 20, 0, 50), ("steady", 100, 50, 50)]),
        ("normal_load", {"spawn_rate": 5.0}, [("ramp-up", 2, 0, 10), ("steady", 118, 10, 10)]),
        ("normal_load", {"run_time": 60.0}, [("ramp-up", 10, 0, 10), ("steady", 50, 10, 10)]),
        ("normal_load:duration=1m", {}, [("ramp-up", 10, 0, 10), ("steady", 50, 10, 10)]),
        ("normal_load:ramp=0", {}, [("steady", 120, 10, 10)]),
        ("normal_load", {"time_scale": 0.1}, [("ramp-up", 2, 0, 10), ("steady", 10, 10, 10)]),
        ("normal_load", {"run_time": 60.0, "time_scale": 0.1}, [("ramp-up", 2, 0, 10), ("steady", 58, 10, 10)]),
        ("normal_load:rate=30/s", {}, [("ramp-up", 20, 0, 30), ("steady", 100, 30, 30)]),
        ("endurance:users=4,duration=1h", {}, [("ramp-up", 30, 0, 4), ("steady", 3570, 4, 4)]),
    ],
)
def test_each_number_can_be_set(
    text: str, options: dict[str, Any], expected: list[tuple[str, float, float, float]]
) -> None:
    """By key or by option; an option is taken as it is, whatever the time scale."""
    assert plan(parse_shape(text, **(NONE | options))) == expected


def test_a_ramp_that_never_arrives_is_refused() -> None:
    """1,000 users at 10/s are not there within a minute."""
    with pytest.raises(ConfigError, match="a ramp-up of 1m40s leaves nothing of 1m00s"):
        parse_shape("spike_test", users=1000, spawn_rate=10, run_time=None)


def test_think_time_can_be_the_users_own() -> None:
    """`own` keeps wait_time; in the open loop the arrivals pace the users, unless a think time is asked for."""
    assert parse_shape("baseline:think=own", **NONE).think_s is None
    assert parse_shape("baseline:think=250ms", **NONE).think_s == 0.25
    assert parse_shape("baseline", **NONE, rate=5).think_s is None
    assert parse_shape("baseline:think=1s", **NONE, rate=5).think_s == 1
    assert parse_shape("endurance", **NONE).think_s is None


def test_patterns_are_read_from_a_file(tmp_path: Path) -> None:
    """Users or a rate; ramp and think may be left out."""
    path = tmp_path / "patterns.yaml"
    path.write_text(
        "patterns:\n  lunch: {users: 30, duration: 10m, ramp: 1m, think: 2s}\n"
        "  night: {rate: 6/min, duration: 1h, think: own}\n"
    )
    own = load_patterns(path)
    lunch = parse_shape("lunch", **NONE, patterns={**BUILTIN, **own})
    assert plan(lunch) == [("ramp-up", 60, 0, 30), ("steady", 540, 30, 30)]
    assert lunch.think_s == 2
    night = parse_shape("night", **NONE, patterns=own)
    assert (night.load, night.most, night.think_s) == (Load.RATE, pytest.approx(0.1), None)
    assert parse_shape("night:users=3", **NONE, patterns=own).load is Load.USERS


@pytest.mark.parametrize(
    ("line", "where", "says"),
    [
        ("lunch: {user: 30, duration: 10m}", "2:patterns.lunch.user", "did you mean 'users'?"),
        ("lunch: {users: 30}", "2:patterns.lunch", "missing key 'duration'"),
        ("lunch: {users: 0, duration: 1m}", "2:patterns.lunch.users", "greater than or equal to 1"),
        ("lunch: {users: 3, duration: 60}", "2:patterns.lunch.duration", "no unit"),
        ("lunch: {duration: 1m}", "2:patterns.lunch", "needs users or a rate"),
        ("lunch: {users: 3, rate: 3/s, duration: 1m}", "2:patterns.lunch", "needs users or a rate"),
        ("lunch: {users: 3, duration: 1m, ramp: 1m}", "2:patterns.lunch.ramp", "leaves nothing"),
        ("lunch: {users: 3, duration: 1m, think: never}", "2:patterns.lunch.think", "not a duration"),
        ("spike: {users: 3, duration: 1m}", "2:patterns.spike", "another name"),
        ("'a b': {users: 3, duration: 1m}", "2:patterns.a b", "is not a name"),
    ],
)
def test_a_bad_pattern_is_named_with_its_line(tmp_path: Path, line: str, where: str, says: str) -> None:
    """File, line and key, and what would be right."""
    path = tmp_path / "patterns.yaml"
    path.write_text(f"patterns:\n  {line}\n")
    with pytest.raises(ConfigError) as caught:
        load_patterns(path)
    assert caught.value.where.startswith(f"{path}:{where}")
    assert says in str(caught.value)
