"""Scalability: the levels, the curve and the law in the finding."""

from __future__ import annotations

import math

import pytest

from agentlocust.errors import ConfigError
from agentlocust.shapes.spec import parse_shape
from agentlocust.shapes.stage import Finding, Seen, Shape, Stage
from agentlocust.shapes.usl import Law


def shape(text: str, users: int | None = None) -> Shape:
    return parse_shape(text, users=users, spawn_rate=None, run_time=None)


def play(asked: Shape, law: Law, saturated_from: float = math.inf, dead_from: float = math.inf) -> Finding:
    """What the shape finds at a target that keeps to the law."""
    program = asked.run()
    stage = next(program)
    while True:
        calls = round(law.throughput(stage.end) * stage.seconds * 100)
        level = stage.end
        gone = "no answer" if level >= dead_from else ""
        seen = Seen(stage, stage.seconds * 100, calls, target_gone=gone, saturated=level >= saturated_from)
        try:
            stage = program.send(seen)
        except StopIteration as end:
            return end.value


def test_levels_double_up_to_the_last() -> None:
    """The last level is the one that was asked for, whatever the factor."""
    assert shape("scalability").settings["levels"] == [1, 2, 4, 8, 16, 32, 64]
    assert shape("scalability:to=50").settings["levels"] == [1, 2, 4, 8, 16, 32, 50]
    assert shape("scalability:factor=1.2,to=5").settings["levels"] == [1, 2, 3, 4, 5]
    assert shape("scalability", users=10).settings["levels"] == [1, 2, 4, 8, 10]


def test_each_level_is_a_phase_that_has_settled() -> None:
    """Only the settled part is measured."""
    program = shape("scalability:to=2").run()
    stages: list[Stage] = [next(program)]
    while len(stages) < 4:
        stages.append(program.send(Seen(stages[-1], stages[-1].seconds)))
    assert [stage.phase for stage in stages] == ["settle", "1 user", "settle", "2 users"]


def test_the_law_is_in_the_finding() -> None:
    """The coefficients, the peak and the efficiency against linear are reported."""
    law = Law(10, 0.05, 0.0095)
    finding = play(shape("scalability:to=32"), law)
    assert finding.figures["usl"]["sigma"] == pytest.approx(0.05, abs=0.002)
    assert finding.figures["usl"]["kappa"] == pytest.approx(0.0095, abs=0.0005)
    assert finding.figures["usl"]["peak_users"] == pytest.approx(10, abs=0.5)
    assert finding.figures["curve"][1]["efficiency"] == pytest.approx(law.throughput(2) / 20, rel=0.01)
    assert "throughput peaks at 10 users" in finding.sentences[1]
    assert finding.sentences[0].endswith("% of linear")


def test_a_peak_out_of_reach_is_not_told() -> None:
    """What lies far beyond the levels is a guess."""
    finding = play(shape("scalability:to=8"), Law(10, 0.01, 1e-6))
    assert "no peak within reach" in finding.sentences[-1]


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        ({"saturated_from": 8}, "the generator was saturated at 8 users"),
        ({"dead_from": 8}, "died at 8 users: no answer"),
    ],
)
def test_trouble_ends_it_with_what_was_measured(trouble: dict[str, float], says: str) -> None:
    """The levels below still give a law."""
    finding = play(shape("scalability"), Law(10, 0.05, 0.001), **trouble)
    assert says in finding.sentences[0]
    assert [row["level"] for row in finding.figures["curve"]] == [1, 2, 4]
    assert finding.figures["usl"] is not None


def test_no_successful_call_is_no_law() -> None:
    """Nothing is divided by nothing."""
    finding = play(shape("scalability:to=8"), Law(0, 0, 0))
    assert finding.figures["usl"] is None
    assert finding.figures["curve"][0]["efficiency"] is None


def test_rates_are_refused() -> None:
    """The law is about how many work at once."""
    with pytest.raises(ConfigError, match="counts users"):
        parse_shape("scalability", users=None, spawn_rate=None, run_time=None, rate=20)
