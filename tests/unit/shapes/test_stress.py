"""Stress: where targets of each kind break, and the cause that is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agentlocust.errors import ConfigError
from agentlocust.shapes.breaks import parse_conditions
from agentlocust.shapes.spec import parse_shape
from agentlocust.shapes.stage import Finding, Seen, Shape, Stage
from agentlocust.sketch import Sketch, bucket_of
from agentlocust.summary.model import CheckResult, Point


def same(seconds: float, count: int) -> Sketch:
    """`count` samples of one value."""
    value = round(seconds * 1e9)
    return Sketch.decode([count, count * value, value, value, bucket_of(value), count]) if count else Sketch()


def seen(
    stage: Stage, rate: float, ttft: float = 0.2, itl: float = 0.02, failed: float = 0.0, kind: str = "", **other: Any
) -> Seen:
    """A stage of `rate` calls a second, with 50 gaps in each."""
    calls = round(rate * stage.seconds)
    bad = round(calls * failed)
    latency = ttft + 50 * itl
    points = [Point(t=t, calls=round(rate), latency_p95=latency, ttft_p95=ttft) for t in range(int(stage.seconds))]
    return Seen(
        stage,
        stage.seconds,
        calls,
        bad,
        {kind: bad} if bad else {},
        same(latency, calls - bad),
        same(ttft, calls - bad),
        same(itl, 50 * (calls - bad)),
        **({"points": points} | other),
    )


def shape(text: str, users: int | None = None) -> Shape:
    return parse_shape(text, users=users, spawn_rate=None, run_time=None)


def play(asked: Shape, target: Callable[[Stage], Seen]) -> tuple[Finding, list[Stage]]:
    """What the shape finds, and the stages that it held."""
    program = asked.run()
    stages = [next(program)]
    while True:
        try:
            stages.append(program.send(target(stages[-1])))
        except StopIteration as end:
            return end.value, stages


def queueing(stage: Stage) -> Seen:
    """200 slots: beyond them a call waits for its first token."""
    level = stage.end
    return seen(stage, min(level, 200), ttft=0.2 + max(level / 200 - 1, 0) * 1.2)


def decoding(stage: Stage) -> Seen:
    """Each token takes longer beyond 200 users."""
    return seen(stage, min(stage.end, 200), itl=0.02 * max(stage.end / 200, 1))


def limiting(stage: Stage) -> Seen:
    """More than 200 calls a second are refused."""
    return seen(stage, stage.end, failed=max(1 - 200 / stage.end, 0), kind="rate_limited")


def failing(stage: Stage) -> Seen:
    """It breaks inside beyond 200 users."""
    return seen(stage, stage.end, failed=0.3 if stage.end > 200 else 0, kind="server_error")


def dying(stage: Stage) -> Seen:
    """It is gone beyond 200 users."""
    return seen(stage, stage.end) if stage.end <= 200 else seen(stage, 0, target_gone="the port is closed")


def capped(stage: Stage) -> Seen:
    """No call is slower, but no more are done: what is not streamed shows no TTFT."""
    done = round(min(stage.end, 200) * stage.seconds)
    return Seen(stage, stage.seconds, done, latency=same(0.5, done))


@pytest.mark.parametrize(
    ("target", "cause"),
    [
        (queueing, "queueing"),
        (decoding, "decode slowed"),
        (limiting, "rate limited"),
        (failing, "errors"),
        (dying, "target dead"),
        (capped, "throughput no longer rising"),
    ],
)
def test_the_cause_is_named(target: Callable[[Stage], Seen], cause: str) -> None:
    """Each kind of target breaks at the step beyond 200 users, for its own reason."""
    finding, stages = play(shape("stress"), target)
    assert finding.figures["cause"] == cause
    assert finding.metrics == {"breaking_point": 250}
    assert finding.figures["last_good"] == 200
    assert finding.sentences[0].startswith("breaks at 250 users: ")
    assert finding.sentences[0].endswith("; last good 200 users")
    assert f"cause: {cause} (" in finding.sentences[1]
    assert (stages[-1].phase, stages[-1].end, stages[-1].seconds) == ("after the break", 200, 20)


def test_the_target_s_own_words_are_quoted() -> None:
    """Why it is believed dead stands in the cause."""
    finding, _ = play(shape("stress"), dying)
    assert "target dead (the port is closed)" in finding.sentences[1]


def test_a_failed_check_breaks_it() -> None:
    """The check is quoted; without a slower stage of the call it is its own cause."""

    def target(stage: Stage) -> Seen:
        ok = stage.end < 300
        check = CheckResult(
            check="p95(latency) < 1.3s",
            observed=1.2 if ok else 1.35,
            observed_text="1.35 s",
            limit=1.3,
            limit_text="< 1.30 s",
            ok=ok,
            samples=100,
        )
        return seen(stage, stage.end, checks=[check])

    finding, _ = play(shape("stress"), target)
    assert finding.sentences[0] == "breaks at 300 users: p95(latency) 1.35 s > 1.30 s; last good 250 users"
    assert finding.figures["cause"] == "check failed"


def test_a_saturated_generator_is_no_finding() -> None:
    """It ends there, without an aftermath; what was held stands."""
    finding, stages = play(shape("stress"), lambda s: seen(s, s.end, saturated=s.end >= 300 and s.phase != "settle"))
    assert finding.figures["cause"] == "generator saturated"
    assert finding.figures["breaking_point"] is None
    assert finding.metrics == {"breaking_point": 250}
    assert "no finding about the target" in finding.sentences[0]
    assert stages[-1].phase == "300 users"


def test_what_holds_to_the_end_has_no_breaking_point() -> None:
    """The metric is the highest level, so that `breaking_point > 200` holds."""
    finding, stages = play(shape("stress:to=400"), lambda stage: seen(stage, stage.end))
    assert finding.sentences == ("held 400 users: no breaking point found",)
    assert finding.metrics == {"breaking_point": 400}
    assert "after the break" not in {stage.phase for stage in stages}


@pytest.mark.parametrize(
    ("back", "says"), [(True, "it recovered after 4.0 s"), (False, "it did not recover within 20s")]
)
def test_what_happens_when_the_load_falls(back: bool, says: str) -> None:
    """The load falls to the last good level, and its latency is what is to come back."""

    def target(stage: Stage) -> Seen:
        if stage.phase != "after the break":
            return queueing(stage)
        points = [Point(t=t, calls=200, latency_p95=1.2 if back and t >= 4 else 5.0) for t in range(20)]
        return seen(stage, 200, points=points)

    finding, _ = play(shape("stress"), target)
    assert finding.sentences[2] == f"when the load fell to 200 users {says}"
    assert finding.figures["recovered"] is back
    assert finding.figures["recovery_time_s"] == (4 if back else None)


def test_a_first_step_that_breaks_has_nothing_below() -> None:
    """Half of it is held afterwards."""
    finding, stages = play(shape("stress:from=100"), lambda stage: seen(stage, 10, failed=0.5, kind="overloaded"))
    assert finding.sentences[0].endswith("nothing was held below")
    assert finding.figures["last_good"] is None
    assert stages[-1].end == 50
    assert finding.figures["recovered"] is False


def test_a_step_without_a_call_is_a_break() -> None:
    """Nothing came back: that is not health."""
    finding, _ = play(shape("stress:from=50"), lambda stage: seen(stage, stage.end if stage.end < 150 else 0))
    assert finding.figures["cause"] == "no call completed"
    assert finding.metrics == {"breaking_point": 150}


def test_steps_are_phases_behind_a_settling_part() -> None:
    """A fifth of the step is not judged; both make up its time."""
    _, stages = play(shape("stress:from=10,to=30,step=10,hold=20s"), lambda stage: seen(stage, stage.end))
    assert [(stage.phase, stage.seconds, stage.end) for stage in stages] == [
        ("settle", 4, 10),
        ("10 users", 16, 10),
        ("settle", 4, 20),
        ("20 users", 16, 20),
        ("settle", 4, 30),
        ("30 users", 16, 30),
    ]


def test_rates_step_too() -> None:
    """Levels in /s make it the open loop."""
    asked = shape("stress:from=5/s,to=20/s,factor=2,settle=0")
    finding, stages = play(asked, lambda stage: seen(stage, stage.end))
    assert [stage.phase for stage in stages] == ["5/s", "10/s", "20/s"]
    assert finding.metrics == {"breaking_rate": 20}


def test_few_calls_do_not_make_throughput_flat() -> None:
    """Where chance alone could hide the gain, nothing is concluded."""
    slow = iter([0.5, 0.5, 0.45, 0.5, 0.55])
    finding, _ = play(shape("stress:from=10,to=50,step=10,settle=0"), lambda stage: seen(stage, next(slow)))
    assert "no breaking point" in finding.sentences[0]


@pytest.mark.parametrize(
    ("text", "broken_at"),
    [
        ("break=error_rate>50%", None),
        ("break=error_rate>=30%", 250),
        ("break=error_rate>50%,break=p95(ttft)>190ms", 50),
        ("break=mean(latency)>1.1s|flat", 50),
        ("break=knee>2|sla", None),
    ],
)
def test_conditions_are_what_was_asked_for(text: str, broken_at: float | None) -> None:
    """Only the stated ones end it; given twice they add up."""
    finding, _ = play(shape(f"stress:from=50,to=300,step=50,{text}"), failing)
    assert finding.figures["breaking_point"] == broken_at


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("flatt", "did you mean 'flat'?"),
        ("", "not a breaking condition"),
        ("knee>1", "is none"),
        ("error_rate>5", "write 5%"),
        ("p95(ttft)>800", "no unit"),
        ("p0(ttft)>1s", "p0 is not a percentile"),
    ],
)
def test_bad_conditions_are_refused(text: str, says: str) -> None:
    """Before any load starts."""
    with pytest.raises(ConfigError) as caught:
        parse_conditions(text)
    assert says in str(caught.value)


LEAK = "mock: memory grew 60 MB/min, from 40 MB to 70 MB, and did not settle"


def leaking(stage: Stage) -> Seen:
    """It keeps what it should give back, and is none the slower."""
    return seen(stage, stage.end, leaks=LEAK if stage.end >= 200 and stage.phase != "settle" else "")


def test_a_leak_is_told_though_the_target_held() -> None:
    """It ends no test by itself, and it is the cause of what is to come."""
    finding, _ = play(shape("stress:to=400"), leaking)
    assert finding.sentences == (
        "held 400 users: no breaking point found",
        f"it leaks, so it will break in time: {LEAK}",
    )
    assert (finding.figures["cause"], finding.figures["breaking_point"]) == ("leak", None)


def test_a_leak_can_be_the_breaking_condition() -> None:
    """With `break=leak` the first step that shows one is the last."""
    finding, _ = play(shape("stress:from=50,to=400,step=50,break=leak"), leaking)
    assert finding.sentences[:2] == (f"breaks at 200 users: {LEAK}; last good 150 users", f"cause: leak ({LEAK})")


def test_a_leak_beside_another_cause_is_told_too() -> None:
    """What broke it is named first: that it leaks as well proves nothing."""

    def target(stage: Stage) -> Seen:
        return seen(stage, min(stage.end, 200), ttft=0.2 + max(stage.end / 200 - 1, 0) * 1.2, leaks=LEAK)

    finding, _ = play(shape("stress"), target)
    assert finding.figures["cause"] == "queueing"
    assert finding.sentences[-1] == f"it leaks: {LEAK}"


@pytest.mark.parametrize(
    ("kind", "cause"),
    [("rate_limited", "rate limited"), ("server_error", "errors"), ("timeout", "generator saturated")],
)
def test_calls_that_fail_at_once_may_saturate_the_generator(kind: str, cause: str) -> None:
    """Then they are the cause and not it; a timeout may be its own doing."""

    def target(stage: Stage) -> Seen:
        over = stage.end > 200
        return seen(stage, stage.end, failed=0.9 if over else 0.0, kind=kind, saturated=over)

    assert play(shape("stress"), target)[0].figures["cause"] == cause


def test_a_dead_target_saturates_the_generator_too() -> None:
    """Refused connections take no time."""
    finding, _ = play(
        shape("stress"), lambda s: seen(s, s.end) if s.end <= 200 else seen(s, 0, target_gone="gone", saturated=True)
    )
    assert finding.figures["cause"] == "target dead"


def test_a_target_that_died_late_in_the_step_is_known_by_the_next() -> None:
    """Refused connections are errors until it is clear that nothing comes back."""

    def target(stage: Stage) -> Seen:
        if stage.phase == "after the break":
            return seen(stage, 100, failed=1.0, kind="connect", target_gone="it refused every connection")
        return seen(stage, stage.end, failed=0.3 if stage.end > 200 else 0, kind="connect")

    finding, _ = play(shape("stress"), target)
    assert finding.figures["cause"] == "target dead"
    assert finding.sentences[1] == "cause: target dead (it refused every connection)"
