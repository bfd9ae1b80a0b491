"""Recovery is judged second by second, and silence is not health."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.errors import ConfigError
from agentlocust.shapes.reading import Calm, longest_silence
from agentlocust.shapes.spec import parse_shape
from agentlocust.shapes.stage import Finding, Seen
from agentlocust.sketch import Sketch
from agentlocust.summary.model import Point

BASE = 0.2  # seconds of latency in the baseline


def point(t: float, latency: float | None = BASE, calls: int = 10, failed: int = 0) -> Point:
    """One second; no latency, no calls."""
    if latency is None:
        return Point(t=t)
    return Point(t=t, calls=calls, failed=failed, latency_p95=latency, ttft_p95=latency / 2)


def sketch(latency: float, count: int = 100) -> Sketch:
    found = Sketch()
    found.extend([round(latency * 1e9)] * count)
    return found


def play(
    points: list[Point],
    text: str = "spike",
    calm: list[Point] | None = None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> Finding:
    """What the spike finds when its recovery looks so."""
    program = parse_shape(text, users=None, spawn_rate=None, run_time=None).run()
    stage = next(program)
    usual = [point(float(t)) for t in range(30)] if calm is None else calm
    base = {"calls": 100, "latency": sketch(BASE), "ttft": sketch(BASE / 2), "points": usual} | (before or {})
    stage = program.send(Seen(stage, stage.seconds, **base))
    stage = program.send(Seen(stage, stage.seconds, 500, latency=sketch(2.0)))
    last = {"calls": 100, "latency": sketch(1.5), "ttft": sketch(0.7), "points": points} | (after or {})
    with pytest.raises(StopIteration) as end:
        program.send(Seen(stage, stage.seconds, **last))
    return end.value.value


def test_three_phases_step_from_level_to_level() -> None:
    """Up and down at once; the recovery is watched to its end."""
    shape = parse_shape("spike:baseline=5,spike=40,spike_time=10s", users=None, spawn_rate=None, run_time=None)
    program = shape.run()
    stages = [next(program)]
    for _ in range(2):
        stages.append(program.send(Seen(stages[-1], 1.0)))
    assert [(s.phase, s.start, s.end, s.seconds) for s in stages] == [
        ("baseline", 5, 5, 30),
        ("spike", 40, 40, 10),
        ("recovery", 5, 5, 60),
    ]
    assert (shape.most, shape.seconds) == (40, 100)


@given(st.integers(0, 55), st.floats(-0.99, 0))
def test_recovery_time_is_the_start_of_the_calm(drain: int, offset: float) -> None:
    """Slow until the queue is empty, then as before: the truth to within a second, never below 0."""
    points = [point(t + offset, 1.0 if t < drain else BASE) for t in range(60)]
    finding = play(points)
    assert finding.metrics["recovery_time"] == pytest.approx(max(drain + offset, 0.0))
    assert finding.sentences[0].startswith("recovered ")


def test_not_recovered_is_said_with_what_kept_it() -> None:
    """The metric is None, so a check on it fails."""
    finding = play([point(float(t), 1.0) for t in range(60)])
    assert finding.metrics == {"recovery_time": None}
    assert finding.sentences == ("not recovered within 1m00s: p95(latency) 1.50 s, 200 ms in the baseline",)


def test_a_relapse_starts_the_count_anew() -> None:
    """Two calm seconds, a slow one, then three: it is the three that count."""
    slow = [point(float(t), 1.0) for t in range(10)]
    calm = [point(10.0), point(11.0), point(12.0, 1.0), point(13.0), point(14.0), point(15.0)]
    assert play(slow + calm).metrics["recovery_time"] == 13
    assert play(slow + calm, "spike:seconds=2").metrics["recovery_time"] == 10


def test_quick_failures_are_not_recovery() -> None:
    """A second is calm when its errors are back too."""
    points = [point(float(t), BASE, failed=5 if t < 20 else 0) for t in range(60)]
    assert play(points).metrics["recovery_time"] == 20
    of = {"calls": 300, "failed": 150, "failures": {"server_error": 150}}
    finding = play([point(float(t), BASE, failed=5) for t in range(60)], after=of)
    assert finding.sentences == ("not recovered within 1m00s: server_error 50.0%",)


def test_a_usual_share_of_errors_is_calm() -> None:
    """What the baseline had too is no sign of trouble."""
    points = [point(float(t), BASE, failed=1) for t in range(60)]
    assert play(points, before={"failed": 10}).metrics["recovery_time"] == 0


def test_a_silent_second_breaks_the_calm_of_a_busy_target() -> None:
    """No call ended: a target that hangs looks like this."""
    points = [point(0.0), point(1.0), point(2.0, None), point(3.0), point(4.0), point(5.0)]
    assert play(points).metrics["recovery_time"] == 3
    assert play([p for p in points if p.calls]).metrics["recovery_time"] == 3  # a second without a point is the same


def test_silence_as_the_baseline_had_it_is_passed_over() -> None:
    """A call every third second: the gaps neither count nor break."""
    sparse = [point(float(t), BASE if t % 3 == 0 else None, calls=1) for t in range(30)]
    later = [point(float(t), (1.0 if t < 12 else BASE) if t % 3 == 0 else None, calls=1) for t in range(60)]
    assert longest_silence(sparse) == 2
    assert play(later, calm=sparse).metrics["recovery_time"] == 12


def test_a_longer_silence_than_ever_before_breaks_it() -> None:
    """Also a sparse target can hang."""
    sparse = [point(float(t), BASE if t % 3 == 0 else None, calls=1) for t in range(30)]
    ends = {0, 3, 15, 18, 21}
    later = [point(float(t), BASE if t in ends else None, calls=1) for t in range(60)]
    assert play(later, calm=sparse).metrics["recovery_time"] == 15


def test_the_metric_can_be_ttft() -> None:
    """What is judged is what was asked for."""
    points = [Point(t=t, calls=10, latency_p95=9.0, ttft_p95=1.0 if t < 7 else BASE / 2) for t in range(60)]
    assert play(points, "spike:metric=ttft").metrics["recovery_time"] == 7
    assert play(points).metrics["recovery_time"] is None


def test_tolerance_is_how_much_slower() -> None:
    """30% slower is within 50% and not within 20%."""
    points = [point(float(t), 1.3 * BASE) for t in range(60)]
    assert play(points).metrics["recovery_time"] is None
    assert play(points, "spike:tolerance=50%").metrics["recovery_time"] == 0


def test_points_of_two_seconds_count_as_two() -> None:
    """In a long test a point is more than a second."""
    points = [point(2.0 * t, 1.0 if t < 5 else BASE) for t in range(30)]
    calm = Calm("latency", BASE, 1.2 * BASE, 0.0, 0.0)
    assert calm.back_after(points, 3) == 10
    assert calm.back_after(points[:6], 3) is None


def test_without_a_good_call_nothing_can_be_judged() -> None:
    """A baseline of failures alone is no measure."""
    program = parse_shape("spike", users=None, spawn_rate=None, run_time=None).run()
    stage = next(program)
    stage = program.send(Seen(stage, 30.0, 10, 10))
    stage = program.send(Seen(stage, 20.0))
    with pytest.raises(StopIteration) as end:
        program.send(Seen(stage, 60.0))
    assert end.value.value.sentences == ("recovery cannot be judged: no call succeeded in the baseline",)
    assert end.value.value.metrics == {"recovery_time": None}


def test_a_target_that_dies_is_told() -> None:
    """Before the spike it ends the test; after it, it is why there is no recovery."""
    program = parse_shape("spike", users=None, spawn_rate=None, run_time=None).run()
    stage = next(program)
    with pytest.raises(StopIteration) as end:
        program.send(Seen(stage, 3.0, target_gone="connection refused"))
    assert end.value.value.sentences == ("the target died before the spike: connection refused",)
    finding = play([], after={"calls": 0, "target_gone": "connection refused"})
    assert finding.sentences == ("not recovered within 1m00s: connection refused",)


def test_a_saturated_generator_is_said() -> None:
    """Its own delay would be taken for the target's."""
    finding = play([point(float(t)) for t in range(60)], after={"saturated": True})
    assert "the generator was saturated" in finding.sentences[1]


def test_a_spike_below_its_baseline_is_refused() -> None:
    """That would be a dip."""
    with pytest.raises(ConfigError, match="not above the baseline"):
        parse_shape("spike:baseline=50,spike=20", users=None, spawn_rate=None, run_time=None)
