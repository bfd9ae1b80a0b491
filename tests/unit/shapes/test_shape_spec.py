"""The grammar of --shape: what it reads, what it refuses, and what the options mean to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.errors import ConfigError
from agentlocust.shapes.patterns import BUILTIN, RESERVED, Pattern
from agentlocust.shapes.spec import NAMES, describe, parse_shape, shapes_markdown
from agentlocust.shapes.stage import Load, Seen, Shape, Stage

NONE: dict[str, Any] = {"users": None, "spawn_rate": None, "run_time": None}
WITHOUT_FILE = [name for name in NAMES if NAMES[name].bare == ""]


def shape(text: str, **options: Any) -> Shape:
    return parse_shape(text, **(NONE | options))


def stages(asked: Shape, most: int = 2000) -> list[Stage]:
    """The stages of a shape at a target that answers nothing."""
    program = asked.run()
    found = []
    try:
        stage = next(program)
        while len(found) < most:
            found.append(stage)
            stage = program.send(Seen(stage, stage.seconds))
    except StopIteration:
        pass
    return found


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("spkie", "did you mean 'spike'?"),
        ("", "the shapes are"),
        ("spike:spikes=5", "did you mean 'spike'?"),
        ("spike:spike=5,spike=6", "given twice"),
        ("spike:spike=", "has no value"),
        ("spike:20", "has no key"),
        ("spike:spike_time=20", "no unit"),
        ("spike:spike=0", "is no load"),
        ("spike:spike=2.5", "users are whole"),
        ("spike:metric=itl", "write latency or ttft"),
        ("spike:seconds=0", "whole number"),
        ("spike:tolerance=2000%", "out of range"),
        ("spike:baseline=5/s,spike=50", "50 is users and baseline a rate"),
        ("spike:seconds=30,recovery_time=20s", "too short"),
        ("normal_load:users=20/s", "a rate is rate=20/s"),
        ("normal_load:rate=20", "write 20/s"),
        ("normal_load:users=5,rate=20/s", "both levels"),
        ("normal_load:ramp=2m", "leaves nothing"),
        ("normal_load:duration=0s", "more than 0"),
        ("normal_load:duration=31d", "30 days"),
        ("steps:step=5,count=3", "keep one"),
        ("steps:from=1,to=1000000,step=1", "steps"),
        ("stress:from=10,to=5", "below `from`"),
        ("stress:step=5,factor=2", "keep one"),
        ("stress:settle=40s", "settling leaves nothing"),
        ("stress:break=flatt", "did you mean 'flat'?"),
        ("capacity:hold=20s,max_hold=10s", "shorter than"),
        ("sine:mean=5,min=1,max=9", "keep two"),
        ("sine:mean=5,max=20", "lowest level"),
        ("sine:cycles=2,duration=1m", "keep one"),
        ("scalability:from=8,to=4", "below `from`"),
        ("csv", "needs a file"),
        ("csv:nothing.csv", "no such file"),
        ("stages:nothing.yaml", "no such file"),
        ("x" * 5000, "characters"),
    ],
)
def test_a_bad_shape_says_what_is_wrong(text: str, says: str) -> None:
    """Every mistake is one ConfigError that says what would be right."""
    with pytest.raises(ConfigError) as caught:
        shape(text)
    assert says in str(caught.value)


def test_errors_name_the_key() -> None:
    """The place is the option and its key."""
    with pytest.raises(ConfigError) as caught:
        shape("spike:spike_time=20")
    assert caught.value.where == "--shape:spike_time"


words = st.sampled_from([*NAMES, *{key.name for kind in NAMES.values() for key in kind.keys}])
values = st.sampled_from(
    ["5", "20/s", "30s", "0", "10%", "own", "2", "1h", "-1", "1e9", "9" * 15, "0.00001/s", "|", "/"]
)
specs = st.builds(
    lambda name, pairs: name + ":" + ",".join(f"{key}={value}" for key, value in pairs),
    st.sampled_from(list(NAMES)),
    st.lists(st.tuples(words, values | st.text(max_size=8)), max_size=4),
)
scales = st.sampled_from([1.0, 0.1, 0.001])


@given(specs | st.text(max_size=60), st.none() | st.integers(1, 10**6), st.none() | st.floats(0.01, 1000), scales)
def test_any_text_is_a_shape_or_a_config_error(text: str, users: int | None, rate: float | None, scale: float) -> None:
    """No input makes a traceback, an endless shape, a stage without time or a level out of bounds."""
    try:
        asked = shape(text, users=users, rate=rate, time_scale=scale, folder=Path("/nonexistent"))
    except ConfigError:
        return
    assert describe(asked).startswith(f"{asked.name}: ")
    for stage in stages(asked):
        assert stage.seconds > 0
        assert 0 <= stage.start <= asked.most + 1e-9
        assert 0 <= stage.end <= asked.most + 1e-9
        assert not set(stage.phase) & set(";{}=,")


@pytest.mark.parametrize("name", WITHOUT_FILE)
@pytest.mark.parametrize("options", [{}, {"users": 80}, {"time_scale": 0.1}], ids=str)
def test_every_shape_stands_by_itself(name: str, options: dict[str, Any]) -> None:
    """A name alone is enough; what was known before is what comes."""
    asked = shape(name, **options)
    held = stages(asked)
    assert asked.load is Load.USERS
    assert asked.most == options.get("users", asked.most)
    if asked.seconds is not None:
        assert sum(stage.seconds for stage in held) <= asked.seconds + 1e-6
    if name not in {"stress", "capacity"}:  # these end early at a target that answers nothing
        assert max(max(stage.start, stage.end) for stage in held) == pytest.approx(asked.most)


@pytest.mark.parametrize("name", [name for name in WITHOUT_FILE if name != "scalability"])
def test_a_rate_takes_the_place_of_users(name: str) -> None:
    """With --rate the highest level is that rate, and -u is only the pool."""
    asked = shape(name, rate=40.0, users=500)
    assert (asked.load, asked.most) == (Load.RATE, 40)


@pytest.mark.parametrize("name", WITHOUT_FILE)
def test_a_time_scale_shortens(name: str) -> None:
    """Every shape with a known length gets shorter, and no plan's level changes."""
    whole, short = shape(name), shape(name, time_scale=0.5)
    assert short.most == whole.most
    assert short.think_s == whole.think_s
    if whole.seconds is not None and short.seconds is not None:
        assert short.seconds < whole.seconds


def test_a_key_wins_over_an_option() -> None:
    """-u, -r and -t speak where the spec is silent."""
    asked = shape("normal_load:users=7,duration=40s,ramp=3s", users=50, spawn_rate=1, run_time=500)
    assert (asked.most, asked.seconds, stages(asked)[0].seconds) == (7, 40, 3)


def test_own_patterns_are_known_by_name() -> None:
    """They are suggested too."""
    own = {"lunch": Pattern("lunch", 3, 60.0, 0.0, None)}
    assert shape("lunch", patterns=own).most == 3
    with pytest.raises(ConfigError, match="did you mean 'lunch'"):
        shape("lnuch", patterns=own)


def test_the_table_shows_every_shape_and_key() -> None:
    """It is made from the code, and a bar in a cell does not break it."""
    table = shapes_markdown()
    for kind in NAMES.values():
        assert f"| `{kind.name}` |" in table
        for key in kind.keys:
            assert f"| `{key.name}` |" in table
    assert "sla\\|error_rate>5%" in table


def test_names_of_other_shapes_are_reserved() -> None:
    """No pattern of one's own hides a shape."""
    assert {name for name in NAMES if name not in BUILTIN} == RESERVED


@pytest.mark.parametrize(
    "options",
    [{"time_scale": 0}, {"time_scale": 2}, {"users": 0}, {"rate": 0}, {"spawn_rate": 0}, {"run_time": -1}],
    ids=str,
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    """Whoever passes them on need not look."""
    with pytest.raises(ConfigError):
        shape("baseline", **options)
