"""Curves and tables: the levels over time are those that were drawn."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.errors import ConfigError
from agentlocust.shapes.spec import describe, parse_shape
from agentlocust.shapes.stage import Load, Seen, Shape, Stage


def shape(text: str, **options: Any) -> Shape:
    return parse_shape(text, **({"users": None, "spawn_rate": None, "run_time": None} | options))


def stages(asked: Shape) -> list[Stage]:
    program, found = asked.run(), []
    stage = next(program)
    while True:
        found.append(stage)
        try:
            stage = program.send(Seen(stage, stage.seconds))
        except StopIteration:
            return found


def test_a_ramp_is_a_straight_line() -> None:
    """From, to, and as long as was said, by key or -t."""
    assert stages(shape("ramp:from=5,to=50,duration=2m")) == [Stage("ramp", 120, 5, 50)]
    assert stages(shape("ramp:from=50,to=5")) == [Stage("ramp", 60, 50, 5)]
    assert stages(shape("ramp", users=20, run_time=33.0)) == [Stage("ramp", 33, 0, 20)]
    assert shape("ramp:from=50,to=5").most == 50


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("steps", [10, 20, 30, 40, 50]),
        ("steps:from=10,to=35,step=10", [10, 20, 30, 35]),
        ("steps:from=30,to=10,step=10", [30, 20, 10]),
        ("steps:from=1,to=10,count=4", [1, 4, 7, 10]),
        ("steps:from=1/s,to=2/s,count=3", [1, 1.5, 2]),
        ("steps:from=5,to=5", [5]),
    ],
)
def test_steps_go_from_level_to_level(text: str, levels: list[float]) -> None:
    """The last level is always reached; each step has its name."""
    found = stages(shape(text))
    assert [stage.end for stage in found] == levels
    assert [stage.seconds for stage in found] == [30] * len(levels)
    assert found[0].phase == ("1/s" if "/s" in text else f"{levels[0]} users" if levels[0] > 1 else "1 user")


@given(
    st.integers(0, 50), st.integers(51, 500), st.floats(8, 5000), st.integers(1, 5), st.sampled_from(["sine", "daily"])
)
def test_a_wave_is_whole(low: int, high: int, period: float, cycles: int, name: str) -> None:
    """It has no jumps, stays within its bounds, reaches both, and lasts as long as its cycles."""
    own = f",period={period:.3f}s" if name == "sine" else ""
    asked = shape(f"{name}:min={low},max={high},cycles={cycles}{own}")
    found = stages(asked)
    for one, later in pairwise(found):
        assert one.end == pytest.approx(later.start)
    levels = [stage.start for stage in found]
    assert min(levels) == pytest.approx(low, abs=1e-6)
    assert max(levels) == pytest.approx(high)
    assert sum(stage.seconds for stage in found) == pytest.approx(asked.settings["period_s"] * cycles)
    assert [stage.phase for stage in found[: len(found) // cycles // 2]] != []
    assert {stage.phase for stage in found} == {"low", "rising", "high", "falling"}


def test_a_wave_s_mean_is_the_mean() -> None:
    """Given in place of one bound, or alone from 0; -t cuts a wave short."""
    assert shape("sine:mean=20").most == 40
    assert shape("sine:mean=20,max=30").settings["min"] == 10
    assert shape("sine:mean=20,min=15").most == 25
    assert sum(stage.seconds for stage in stages(shape("sine", run_time=100.0))) == pytest.approx(100)


def test_a_day_is_scaled() -> None:
    """A day in 24 minutes."""
    assert shape("daily", time_scale=1 / 60).seconds == pytest.approx(1440)


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder


def test_stages_are_read_from_a_list(tmp_path: Path) -> None:
    """A ramp is part of its stage's time and a phase of its own."""
    folder = write(
        tmp_path, "day.yaml", "- {users: 10, duration: 1m}\n- {name: peak, users: 50, duration: 2m, ramp: 30s}\n"
    )
    asked = shape("stages:day.yaml", folder=folder)
    assert stages(asked) == [
        Stage("10 users", 60, 10, 10),
        Stage("peak (ramp)", 30, 10, 50),
        Stage("peak", 90, 50, 50),
    ]
    assert (asked.load, asked.most, asked.seconds) == (Load.USERS, 50, 180)
    assert stages(shape("stages:file=day.yaml", folder=folder, time_scale=0.1))[1].seconds == 3
    assert "up to 50 users, 3m00s in all" in describe(asked)
    with pytest.raises(ConfigError, match="holds users, and --rate"):
        shape("stages:day.yaml", folder=folder, rate=5)


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        ("- {users: 1, duration: 1m}\n- {user: 10, duration: 1m}\n", "2:user", "did you mean 'users'?"),
        ("- {duration: 1m}\n", "1:0", "users or a rate"),
        ("- {users: 1, duration: 1m}\n- {rate: 1/s, duration: 1m}\n", "2:1", "do not mix"),
        ("- {users: 1, duration: 1m, ramp: 1m}\n", "1:0.ramp", "leaves nothing"),
        ("- {name: 'a;b', users: 1, duration: 1m}\n", "1:0.name", "not a phase's name"),
        ("- {users: 0, duration: 1m}\n", "", "no load at all"),
        ("users: 5\n", "1", "not a list"),
        ("[]\n", "1", "not a list"),
    ],
)
def test_a_bad_stage_is_named_with_its_line(tmp_path: Path, text: str, where: str, says: str) -> None:
    """File, line and key."""
    write(tmp_path, "bad.yaml", text)
    with pytest.raises(ConfigError) as caught:
        shape("stages:bad.yaml", folder=tmp_path)
    assert caught.value.where.startswith(f"{tmp_path / 'bad.yaml'}{':' if where else ''}{where}")
    assert says in str(caught.value)


def test_a_csv_is_straight_lines_between_its_rows(tmp_path: Path) -> None:
    """Time counts from the first row; two rows of one second are a jump."""
    write(tmp_path, "load.csv", "\ufeffsecond, users,note\n100,0,a\n110,20,b\n110,5,c\n\n130,5,d\n")
    asked = shape("csv:load.csv", folder=tmp_path)
    assert stages(asked) == [Stage("csv", 10, 0, 20), Stage("csv", 20, 5, 5)]
    assert (asked.most, asked.seconds) == (20, 30)
    write(tmp_path, "rate.csv", "second,rate\n0,0.5\n60,2\n")
    assert stages(shape("csv:rate.csv", folder=tmp_path, time_scale=0.5)) == [Stage("csv", 30, 0.5, 2)]
    assert shape("csv:rate.csv", folder=tmp_path).load is Load.RATE


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        ("second,user\n0,1\n", ":1", "needs the columns"),
        ("0,1\n5,2\n", ":1", "begin with the line: second,users"),
        ("", ":1", "needs the columns"),
        ("second,users\n0,1\n5,x\n", ":3:users", "not a number"),
        ("second,users\n0,1\n5,-2\n", ":3:users", "out of range"),
        ("second,users\n0,1\n5,1.5\n", ":3:users", "whole"),
        ("second,users\n5,1\n4,2\n", ":3:second", "sort the rows"),
        ("second,users\n5\n", ":2", "1 columns of 2"),
        ("second,users\n5,1\n", "", "no time passes"),
        ("second,users\n0,0\n5,0\n", "", "no load at all"),
        ("second,users\n0,1\n9000000,1\n", "", "30 days"),
    ],
)
def test_a_bad_csv_is_named_with_its_line(tmp_path: Path, text: str, where: str, says: str) -> None:
    """File and line, and the column where there is one."""
    write(tmp_path, "bad.csv", text)
    with pytest.raises(ConfigError) as caught:
        shape("csv:bad.csv", folder=tmp_path)
    assert caught.value.where == f"{tmp_path / 'bad.csv'}{where}"
    assert says in str(caught.value)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_csv_or_a_config_error(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    """A file from elsewhere makes no traceback."""
    path = tmp_path_factory.mktemp("csv") / "any.csv"
    path.write_bytes(b"second,users\n" + raw)
    try:
        asked = shape("csv:any.csv", folder=path.parent)
    except ConfigError:
        return
    assert stages(asked)
