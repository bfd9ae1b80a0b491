"""Capacity is found against queues whose capacity is known by formula."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentlocust.shapes.search import MAX_TRIALS, enough, why_not
from agentlocust.shapes.spec import parse_shape
from agentlocust.shapes.stage import Finding, Load, Seen, Shape, Stage
from agentlocust.sketch import Sketch, bucket_of
from agentlocust.summary.model import CheckResult, Point


def same(seconds: float, count: int) -> Sketch:
    """`count` samples of one value."""
    value = round(seconds * 1e9)
    return Sketch.decode([count, count * value, value, value, bucket_of(value), count]) if count else Sketch()


def check(text: str, observed: float | None, limit: float, samples: int) -> CheckResult:
    """The result of an upper limit."""
    return CheckResult(
        check=text,
        observed=observed,
        observed_text="-" if observed is None else f"{observed:.3g} s",
        limit=limit,
        limit_text=f"< {limit:.3g} s",
        ok=observed is not None and observed < limit,
        samples=samples,
    )


@dataclass
class Queue:
    """N slots of `service` seconds behind a FIFO queue, as a fluid: what waits outlives its stage."""

    slots: float
    service: float
    load: Load
    limit: float | None = None  # of p95(latency); None: no check on it
    per_task: float = 1.0
    pool: float = float("inf")
    waiting: float = 0.0
    stages: list[Stage] = field(default_factory=list)

    def hold(self, stage: Stage) -> Seen:
        """Play a stage as the driver would."""
        self.stages.append(stage)
        state = _Played(stage, self.waiting)
        while state.seconds < stage.seconds - 1e-9:
            self._second(state, min(1.0, stage.seconds - state.seconds))
            if stage.enough and state.seconds >= stage.at_least and stage.enough(self._seen(state)):
                break
        return self._seen(state)

    def _second(self, state: _Played, span: float) -> None:
        level = state.stage.end
        rate = self.slots / self.service  # calls a second at most
        if self.load is Load.USERS:
            latency, done = self.service * max(1.0, level / self.slots), min(level, self.slots) / self.service * span
            state.own += done
        else:
            asked = level * span * self.per_task
            before = self.waiting
            self.waiting = max(before + asked - rate * span, 0.0)
            over = max(self.waiting - self.pool, 0.0)
            self.waiting -= over
            state.late += over / self.per_task
            done = before + asked - over - self.waiting
            latency = self.service + self.waiting / rate
            state.ahead, fresh = max(state.ahead - done, 0.0), max(done - state.ahead, 0.0)
            state.own += fresh
        state.arrivals += level * span
        state.points.append(Point(t=state.seconds, calls=round(done), latency_p95=latency, ttft_p95=latency))
        state.latency = latency
        state.seconds += span

    def _seen(self, state: _Played) -> Seen:
        calls = int(state.own)
        checks = [check("error_rate < 1%", 0.0 if calls else None, 0.01, calls)]
        if self.limit is not None:
            checks.append(check("p95(latency) < 1 s", state.latency if calls else None, self.limit, calls))
        return Seen(
            state.stage,
            state.seconds,
            calls=calls,
            latency=same(state.latency, calls),
            checks=checks,
            points=list(state.points),
            arrivals=round(state.arrivals) if self.load is Load.RATE else 0,
            arrivals_late=round(state.late),
        )


@dataclass
class _Played:
    """A stage while it is played."""

    stage: Stage
    ahead: float  # calls that wait since before it
    seconds: float = 0.0
    own: float = 0.0
    late: float = 0.0
    arrivals: float = 0.0
    latency: float = 0.0
    points: list[Point] = field(default_factory=list)


def found(shape: Shape, hold: Callable[[Stage], Seen]) -> Finding:
    """What the shape finds out about a target."""
    program = shape.run()
    stage = next(program)
    for _ in range(10_000):
        try:
            stage = program.send(hold(stage))
        except StopIteration as end:
            return end.value
    raise AssertionError("a search without an end")


def shape(text: str, rate: float | None = None) -> Shape:
    """The shape without options."""
    return parse_shape(text, users=None, spawn_rate=None, run_time=None, rate=rate)


@settings(max_examples=100, deadline=None)
@given(slots=st.integers(2, 500), service=st.floats(0.05, 2))
def test_the_users_that_a_queue_holds_are_found(slots: int, service: float) -> None:
    """Closed loop: N slots hold N users within the SLA of little more than one service time."""
    target = Queue(slots, service, Load.USERS, limit=1.02 * service)
    finding = found(shape("capacity"), target.hold)
    assert abs(finding.metrics["capacity"] - slots) <= max(0.1 * slots, 1)
    assert finding.figures["fails_at"] > finding.figures["holds"]
    assert finding.figures["confirmed"] == 2


@settings(max_examples=100, deadline=None)
@given(
    rate=st.floats(8, 500),  # with fewer calls a second, a trial of ten seconds holds too few for 10%
    service=st.floats(0.05, 1.5),
    per_task=st.sampled_from([1.0, 3.0]),
    limited=st.booleans(),
)
def test_the_rate_that_a_queue_holds_is_found(rate: float, service: float, per_task: float, limited: bool) -> None:
    """Open loop: N slots hold N / service time, told by the SLA or by keeping up alone; a backlog is waited for."""
    slots = rate * service * per_task
    target = Queue(slots, service, Load.RATE, limit=1.5 * service if limited else None, per_task=per_task)
    finding = found(shape("capacity:from=1/s,to=1000/s"), target.hold)
    assert finding.metrics["capacity_rate"] == pytest.approx(rate, rel=0.1)
    assert finding.figures["unit"] == "/s"


def test_the_finding_is_a_sentence_with_both_levels() -> None:
    """What holds, what does not, and by how much."""
    finding = found(shape("capacity:precision=1%"), Queue(42, 0.5, Load.USERS, limit=0.51).hold)
    assert finding.sentences[0].startswith("holds 42 users; at 43 p95(latency) 0.512 s > 0.51 s")
    curve = finding.figures["curve"]
    assert curve[0]["level"] == 1
    assert curve[0]["throughput"] == pytest.approx(2.0)
    assert {"latency_p50_s", "latency_p95_s", "ttft_p95_s", "error_rate", "ok", "samples"} <= set(curve[0])
    assert [row["ok"] for row in curve[-2:]] == [True, True]


def test_each_trial_is_a_phase_behind_a_settled_start() -> None:
    """Trials are numbered, so that no two share a phase; what settles is not judged."""
    target = Queue(5, 0.1, Load.USERS, limit=0.11)
    found(shape("capacity:to=16"), target.hold)
    names = [stage.phase for stage in target.stages]
    trials = [name for name in names if name != "settle"]
    assert trials[:3] == ["trial 1: 1 user", "trial 2: 2 users", "trial 3: 4 users"]
    assert len(set(trials)) == len(trials)
    assert all(names[index - 1] == "settle" for index, name in enumerate(names) if name != "settle")


def test_what_holds_to_the_end_is_a_lower_bound() -> None:
    """Nothing failed: the answer says that it is the most that was tried."""
    finding = found(shape("capacity:to=20"), Queue(500, 0.1, Load.USERS, limit=0.11).hold)
    assert finding.sentences == ("holds 20 users at least: the most that was tried",)
    assert finding.metrics == {"capacity": 20}
    assert finding.figures["fails_at"] is None


def test_a_target_that_holds_nothing_has_no_capacity() -> None:
    """The first trial fails, and there is nothing below it."""
    finding = found(shape("capacity"), Queue(5, 0.1, Load.USERS, limit=0.05).hold)
    assert finding.metrics == {"capacity": 0.0}
    assert finding.sentences[0].startswith("holds nothing that was tried; at 1 p95(latency)")


@pytest.mark.parametrize(("text", "slots"), [("capacity:from=100", 30), ("capacity:from=100/s,to=200/s", 30)])
def test_the_search_goes_below_a_first_level_that_fails(text: str, slots: int) -> None:
    """A first level above the capacity is no dead end."""
    asked = shape(text)
    finding = found(asked, Queue(slots, 1.0, asked.load, limit=1.5 if asked.load is Load.RATE else 1.02).hold)
    assert finding.figures["holds"] == pytest.approx(30, rel=0.1)


def test_a_saturated_generator_ends_the_search() -> None:
    """What the generator cannot do says nothing of the target: the answer is a lower bound."""
    target = Queue(500, 0.1, Load.USERS, limit=0.2)

    def hold(stage: Stage) -> Seen:
        seen = target.hold(stage)
        return Seen(
            stage, seen.seconds, seen.calls, latency=seen.latency, checks=seen.checks, saturated=stage.end >= 64
        )

    finding = found(shape("capacity"), hold)
    assert finding.metrics == {"capacity": 32}
    assert finding.sentences == (
        "holds 32 users at least",
        "the generator was the limit at 64 users: this is a lower bound",
    )


def test_a_dead_target_ends_the_search() -> None:
    """There is nothing left to search in."""
    target = Queue(500, 0.1, Load.USERS, limit=0.2)

    def hold(stage: Stage) -> Seen:
        return target.hold(stage) if stage.end < 16 else Seen(stage, 1.0, target_gone="connection refused for 5 s")

    finding = found(shape("capacity"), hold)
    assert finding.metrics == {"capacity": 8}
    assert finding.sentences[0] == "holds 8 users; at 16 the target died: connection refused for 5 s"


def test_a_level_that_does_not_hold_again_is_left_for_one_below() -> None:
    """Confirmation fails at first; what is reported has passed twice."""
    target = Queue(100, 0.1, Load.USERS, limit=0.101)
    times: dict[float, int] = {}

    def hold(stage: Stage) -> Seen:
        if stage.phase.startswith("trial"):
            times[stage.end] = times.get(stage.end, 0) + 1
            target.slots = 100 if times[stage.end] == 1 else 80  # it only holds the first time
        return target.hold(stage)

    finding = found(shape("capacity"), hold)
    assert finding.metrics["capacity"] <= 80
    assert finding.metrics["capacity"] >= 70
    assert finding.figures["confirmed"] == 2


def test_a_target_that_does_not_hold_still_is_not_searched_for_ever() -> None:
    """The trials are bounded and the finding says so."""
    times = 0

    def hold(stage: Stage) -> Seen:
        nonlocal times
        times += stage.phase.startswith("trial")
        ok = times < 12 or times % 2 == 0
        return Seen(
            stage, 10.0, 1000, latency=same(0.1, 1000), checks=[check("p95(latency) < 1 s", 2 - ok * 1.5, 1, 1000)]
        )

    finding = found(shape("capacity:to=1000000,precision=0.5%"), hold)
    assert len(finding.figures["curve"]) <= MAX_TRIALS


def test_a_trial_runs_until_its_percentile_has_enough_samples() -> None:
    """p95 takes 200 samples, p99 takes 1,000; calls that are long make a trial long."""
    stage = Stage.hold("trial 1: 1 user", 60, 1)

    def seen(calls: int, text: str, seconds: float = 10.0) -> Seen:
        return Seen(stage, seconds, calls, latency=same(1.0, calls), checks=[check(text, 0.1, 1.0, calls)])

    assert not enough(seen(199, "p95(ttft) < 1 s"))
    assert enough(seen(200, "p95(ttft) < 1 s"))
    assert not enough(seen(999, "p99(ttft) < 1 s"))
    assert enough(seen(1000, "p99(ttft) < 1 s"))
    assert not enough(seen(19, "error_rate < 1%"))
    assert enough(seen(20, "error_rate < 1%"))
    assert not enough(seen(20, "error_rate < 1%", seconds=4.0))


def test_too_few_samples_are_said() -> None:
    """A slow target does not give p99 its thousand in a minute."""

    def hold(stage: Stage) -> Seen:
        calls = int(stage.end * stage.seconds)
        return Seen(
            stage, stage.seconds, calls, latency=same(1, calls), checks=[check("p99(latency) < 1 s", 0.5, 1, calls)]
        )

    finding = found(shape("capacity:to=2"), hold)
    assert finding.sentences[1] == "judged on 120 samples of the 1000 its checks need: a longer max_hold"


def test_arrivals_that_pile_up_fail_a_trial() -> None:
    """In the open loop an SLA on errors alone would never notice."""
    stage = Stage.hold("trial 1: 20/s", 10, 20)
    full = {"calls": 200, "latency": same(0.1, 200), "arrivals": 200}
    assert why_not(Seen(stage, 10.0, **full), Load.RATE) == ""
    assert "found no free user" in why_not(Seen(stage, 10.0, **full, arrivals_late=11), Load.RATE)
    assert why_not(Seen(stage, 10.0, **full, arrivals_late=10), Load.RATE) == ""
    slow = {"calls": 150, "latency": same(0.1, 150), "arrivals": 200}
    assert why_not(Seen(stage, 10.0, **slow), Load.RATE) == "could not keep up: 15/s of 20/s"
    assert why_not(Seen(stage, 10.0, **slow), Load.USERS) == ""
