"""Before, during and after a window of trouble: exact counts, recovery near the truth, storms and waves told apart."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.backoff import Repeats, Try
from agentlocust.failures import Failure, FailureKind
from agentlocust.ledger import Ledger
from agentlocust.ordeal import Ordeal, wasted
from agentlocust.pulse import MAX_BINS, Pulse
from agentlocust.records import WARMUP_PHASE, AgentRun, Call, EndReason, ToolCall
from agentlocust.report.console import MAX_LINES, render
from agentlocust.sla import due, evaluate, parse_check
from agentlocust.steps import CallStep, Done, RunStep, ToolStep
from agentlocust.summary import Summary, TestFacts, build_summary, dump_summary, parse_summary
from agentlocust.summary.resilience_model import WindowModel
from agentlocust.usage import Usage
from agentlocust.windows import Window, Windows

BAD = Failure(FailureKind.SERVER_ERROR, "overloaded", 503)
NS = 10**9


def a_call(start: float, latency: float, failure: Failure | None = None, **more: Any) -> Call:
    end_ns = round((start + latency) * NS)
    tries = (Try(round(start * NS), end_ns),) if failure is not None else ()
    return Call("ask", "m", start, latency, ttft=latency / 2, failure=failure, tries=tries, **more)


class Trial:
    """A test made of records; the monotonic clock began with it."""

    def __init__(self, *windows: Window, seconds: float = 60.0) -> None:
        self.ledger = Ledger()
        self.windows = Windows.of(windows)
        self.ordeal = Ordeal(self.ledger, self.windows, 0.0)
        self.seconds = seconds

    def call(self, call: Call, repeats: Repeats | None = None, body: bytes = b"x") -> None:
        self.ledger.add_call(call, int(call.started + call.latency))
        self.ordeal.call_ended(call, body, repeats)

    def run(self, run: AgentRun) -> None:
        self.ledger.add_run(run, int(run.started + run.latency))
        self.ordeal.run_ended(run)

    def summary(self) -> Summary:
        facts = TestFacts("t", "a.py", "2026-11-20T10:40:00Z", self.seconds, "mock", 1, windows=self.windows)
        return parse_summary(dump_summary(build_summary(self.ledger, facts)))

    def windows_found(self) -> list[WindowModel]:
        return self.summary().resilience.windows


def an_outage(end_s: float, window_end_s: float, rng: random.Random, organic: float = 0.0) -> Trial:
    """Ten users who ask each tenth of a second or so; from second 20 to `end_s` nothing works."""
    trial = Trial(Window("outage", 20.0, window_end_s))
    for _ in range(10):
        t = rng.uniform(0, 0.2)
        while t < 59.5:
            latency = rng.uniform(0.08, 0.12)
            out = 20.0 <= t < end_s or rng.random() < organic
            trial.call(a_call(t, 0.005 if out else latency, BAD if out else None))
            t += latency + 0.1
    return trial


@pytest.mark.parametrize("seed", range(10))
def test_recovery_is_within_a_second_of_the_truth(seed):
    """Outages of random length, some longer than their window; errors at any other time do not hide it."""
    rng = random.Random(seed)
    end_s = rng.uniform(22, 45)
    window_end_s = rng.uniform(21, end_s)
    (window,) = an_outage(end_s, window_end_s, rng, organic=0.01 * (seed % 3)).windows_found()
    assert window.recovery_s == pytest.approx(end_s - window_end_s, abs=0.5)
    assert window.target_back_s == pytest.approx(end_s - window_end_s, abs=0.5)
    assert window.detection_s == pytest.approx(0, abs=0.5)


def test_slow_calls_are_not_recovered():
    """Without an error, latency alone keeps it from being over; when it never falls, that is the answer."""
    for until, truth in ((40.0, 10.0), (60.0, None)):
        trial = Trial(Window("brownout", 20.0, 30.0))
        for tenth in range(590):
            t = tenth / 10
            trial.call(a_call(t, 0.5 if 20.0 <= t < until else 0.1))
        (window,) = trial.windows_found()
        assert window.recovery_s == (None if truth is None else pytest.approx(truth, abs=1.0))
        assert window.recovery == ("not recovered" if truth is None else "")


def test_what_its_callers_still_feel_is_told_apart():
    """The target answers at once after its window, its callers wait on: both times are in the sentence."""
    trial = Trial(Window("w", 20.0, 24.0))
    for tenth in range(590):
        t = tenth / 10
        trial.call(a_call(t, 0.1 if not 20.0 <= t < 30.0 else 2.0))
    (window,) = trial.windows_found()
    assert window.target_back_s == 0.0
    assert window.recovery_s > 5.0
    assert "the target was back at once" in window.sentence
    assert window.sentence.endswith(" lost")


def test_nothing_before_or_after_is_said():
    """No call before, none after, a test that ended in the window: each has its own words."""
    trial = Trial(Window("w", 0.0, 30.0))
    trial.call(a_call(40.0, 0.1))
    assert trial.windows_found()[0].recovery == "no call succeeded before it"
    trial = Trial(Window("w", 20.0, 30.0))
    trial.call(a_call(10.0, 0.1))
    assert trial.windows_found()[0].recovery == "no call ended after it"
    trial = Trial(Window("w", 20.0, 90.0), Window("later", 100.0, 110.0))
    trial.call(a_call(10.0, 0.1))
    (window,) = trial.windows_found()
    assert window.recovery == "the test ended before it"
    assert window.end_s == 60.0


def test_a_call_counts_where_it_lies():
    """Touched by a window is in it, warm-up in none; before, during and after are all calls."""
    trial = Trial(Window("w", 20.0, 30.0))
    for start, latency in ((5.0, 1.0), (19.9, 0.5), (25.0, 1.0), (29.9, 5.0), (15.0, 20.0), (30.0, 1.0)):
        trial.call(a_call(start, latency))
    trial.call(a_call(25.0, 1.0, phase=WARMUP_PHASE))
    (window,) = trial.windows_found()
    assert [span.calls for span in (window.before, window.during, window.after)] == [1, 4, 1]


CALLS = st.lists(st.tuples(st.floats(0, 59), st.floats(0.001, 9), st.booleans()), max_size=30)


@given(CALLS, st.integers(0, 30))
def test_workers_together_see_what_one_would(calls, cut):
    """Deltas of two workers, merged in any order, give the resilience of a single process."""
    windows = (Window("a", 10.0, 20.0), Window("b", 15.0, 25.0), Window("c", 40.0, 41.0))
    whole, *workers = (Trial(*windows) for _ in range(3))
    for number, (start, latency, failed) in enumerate(calls):
        call = a_call(round(start, 3), round(latency, 3), BAD if failed else None)
        whole.call(call)
        workers[number >= cut].call(call)
    master = Trial(*windows)
    for worker in reversed(workers):
        master.ledger.merge(worker.ledger.take())
    assert master.windows_found() == whole.windows_found()


def test_a_pulse_merges():
    """The same sums whoever reports first."""
    parts = [Pulse(), Pulse()]
    for second in range(2000):
        parts[second % 2].at(second).count("sent")
        parts[second % 2].at(second + 0.5).count("sent")
    deltas = [part.take() for part in parts]
    one, other = Pulse(), Pulse()
    for delta in deltas:
        one.merge(delta)
    for delta in reversed(deltas):
        other.merge(delta)
    assert one.width == other.width
    assert {index: row.counts for index, row in one.bins.items()} == {i: row.counts for i, row in other.bins.items()}


def test_a_pulse_is_bounded():
    """A bin too many halves it, and nothing is lost."""
    pulse = Pulse()
    for tenth in range(MAX_BINS + 1):
        pulse.at(tenth / 10 + 0.05).count("sent")
    assert pulse.width == 2
    assert len(pulse.bins) == MAX_BINS // 2 + 1
    assert sum(row.counts["sent"] for row in pulse.bins.values()) == MAX_BINS + 1


def a_storm(wait_s: Any, users: int = 20) -> WindowModel:
    """Users whose runs fail from second 20 to 30 and who try again as `wait_s(rng, n)` says."""
    rng = random.Random(3)
    trial = Trial(Window("storm", 20.0, 30.0))
    for _ in range(users):
        t, repeats, n = rng.uniform(0, 0.5), Repeats(), 0
        while t < 59:
            out = 20.0 <= t < 30.0
            call = a_call(t, 0.005 if out else 0.1, BAD if out else None)
            trial.call(call, repeats)
            n = n + 1 if out else 0
            t += call.latency + (wait_s(rng, n - 1) if out else 0.3)
    return trial.windows_found()[0]


def test_a_naive_agent_and_a_good_one_differ():
    """The report names each; tries a call and the rate at the target differ many times over."""
    naive = a_storm(lambda rng, n: 0.001, users=5)
    good = a_storm(lambda rng, n: min(0.5 * 2**n, 8) * rng.uniform(0.5, 1), users=5)
    assert (naive.retries.behaviour, good.retries.behaviour) == ("naive", "exponential with jitter")
    assert naive.retries.amplification > 50 * good.retries.amplification
    assert naive.peak_rate > 20 * naive.usual_rate
    assert good.peak_rate <= 2 * good.usual_rate
    assert good.lost_s > 5 * 5  # its users waited nearly all the time


def test_usual_traffic_after_the_storm_is_no_part_of_it():
    """Agents that wait it out send less than usual; what they send once it is over does not hide that."""
    patient = a_storm(lambda rng, n: rng.uniform(1.0, 3.0))
    assert patient.peak_rate < 0.75 * patient.usual_rate


def test_retries_in_step_are_a_wave_and_others_none():
    """Users thrown out together who wait equally long come back together; jitter scatters them."""
    rng = random.Random(1)
    for spread, is_wave in ((0.0, True), (1.0, False)):
        trial = Trial(Window("w", 20.0, 30.0))
        trial.call(a_call(10.0, 0.1))
        for _ in range(30):
            repeats = Repeats()
            t = 20.01
            for _ in range(6):
                trial.call(a_call(t, 0.01, BAD), repeats)
                t += 1.0 + spread * rng.uniform(-0.7, 0.7)
        wave = trial.windows_found()[0].wave
        assert (wave is not None) is is_wave
        if wave is not None:
            assert wave.users == 30
            assert wave.dispersion > 3


def test_poisson_retries_are_no_wave():
    """Chance alone crowds them a little; a storm that comes and goes is none either."""
    for seed in range(10):
        rng = random.Random(seed)
        trial = Trial(Window("w", 20.0, 40.0))
        trial.call(a_call(10.0, 0.1))
        for _ in range(400):
            repeats = Repeats()
            t = rng.triangular(20.0, 39.0, 30.0)
            trial.call(a_call(t, 0.01, BAD), repeats)
            trial.call(a_call(t + rng.uniform(0.2, 0.9), 0.01, BAD), repeats)
        assert trial.windows_found()[0].wave is None


def test_sdk_attempts_count_as_tries():
    """Three attempts of one call: one intended call, three requests, two waits, one of them as told."""
    trial = Trial(Window("w", 20.0, 30.0))
    tries = (Try(21 * NS, 21 * NS + 5, 1.0), Try(22 * NS + 5, 22 * NS + 9, 4.0), Try(24 * NS, 25 * NS))
    trial.call(Call("ask", "m", 21.0, 4.0, attempts=3, tries=tries))
    retries = trial.windows_found()[0].retries
    assert (retries.intended, retries.attempts, retries.amplification) == (1, 3, 3.0)
    assert (retries.waits, retries.told, retries.honoured) == (2, 2, 1)


def test_waste_is_told_once():
    """All of a failed run, the failed calls of any other, a failed call outside of runs; never twice."""
    usage = Usage(uncached_input=90, output=10)
    steps = (
        CallStep("a", "m", 0, 1, usage=usage, cost_picousd=5, failure="reset"),
        RunStep("in", 0, 1, steps=(CallStep("b", "m", 0, 1, usage=usage, cost_picousd=7, failure="reset"),)),
        CallStep("a", "m", 0, 1, usage=usage, cost_picousd=11),
    )
    good = AgentRun("r", 21.0, 1.0, usage=Usage(uncached_input=270, output=30), cost_picousd=23, steps=steps)
    assert wasted(good) == (200, 12)
    assert wasted(replace(good, error="wrong")) == (300, 23)
    trial = Trial(Window("w", 20.0, 30.0))
    trial.run(good)
    trial.run(replace(good, error="wrong"))
    trial.run(replace(good, error="wrong", inside=True))
    trial.call(a_call(22.0, 1.0, BAD, usage=usage, cost_picousd=100))
    trial.call(a_call(22.0, 1.0, BAD, usage=usage, cost_picousd=100), Repeats())  # its run tells it
    window = trial.windows_found()[0]
    assert window.wasted_tokens == 200 + 300 + 100
    assert window.wasted_cost_usd == "0.000000000135"
    assert (window.runs, window.runs_failed) == (3, 2)


def test_runs_that_hang_are_counted():
    """Those that somebody gave up after ten times what runs took before; slow ones that answered are none."""
    trial = Trial(Window("w", 20.0, 30.0), seconds=600.0)
    for _ in range(10):
        trial.run(AgentRun("r", 5.0, 2.0))
    trial.run(AgentRun("r", 25.0, 300.0, end_reason=EndReason.CANCELLED, cancelled=True))
    trial.run(AgentRun("r", 25.0, 60.0, end_reason=EndReason.TIMEOUT, error="timeout"))
    trial.run(AgentRun("r", 25.0, 5.0, end_reason=EndReason.CANCELLED, cancelled=True))
    trial.run(AgentRun("r", 25.0, 300.0))
    assert trial.windows_found()[0].runs_hung == 2


def a_step(started: float, latency: float, failure: str = "", **more: Any) -> CallStep:
    return CallStep("a", "m", started, latency, failure=failure, **more)


@pytest.mark.parametrize(
    ("steps", "more", "hung"),
    [
        ((a_step(25, 60, "timeout"), a_step(85, 1)), {}, 1),  # though it got over it
        ((a_step(25, 60), a_step(85, 1)), {}, 0),  # slow, and not in vain
        ((a_step(25, 60, "truncated_stream", ttft=55.0), a_step(85, 1)), {}, 0),  # it had tokens to the end
        (tuple(a_step(25 + n, 1, "server_error") for n in range(60)), {"error": "x"}, 0),  # busy failing
        ((a_step(25, 1), a_step(26, 60, "cancelled")), {"cancelled": True, "end_reason": EndReason.CANCELLED}, 1),
        ((a_step(25, 1), ToolStep("t", 26, 60)), {"cancelled": True, "end_reason": EndReason.CANCELLED}, 1),
        ((a_step(25, 1),), {"error": "x", "end_reason": EndReason.TIMEOUT}, 1),  # in its own code
        ((RunStep("in", 25, 61, "timeout"),), {"error": "x"}, 1),
        ((RunStep("in", 25, 61, steps=(a_step(25, 61, "timeout"),)),), {}, 1),
    ],
)
def test_a_run_that_gets_nothing_hangs(steps, more, hung):
    """What counts is the longest time for which it waited in vain: for a call, a tool, a run in it or itself."""
    trial = Trial(Window("w", 20.0, 30.0), seconds=600.0)
    for _ in range(10):
        trial.run(AgentRun("r", 5.0, 2.0))
    trial.run(AgentRun("r", 25.0, 61.0, steps=steps, **more))
    assert trial.windows_found()[0].runs_hung == hung


def test_the_end_of_the_test_needs_less_patience():
    """A run that it cut had waited ten times as long as usual; it hung, where one that goes on may not."""
    trial = Trial(Window("w", 20.0, 30.0), seconds=34.0)
    trial.run(AgentRun("r", 5.0, 0.2))
    trial.run(AgentRun("r", 29.0, 5.0, steps=(a_step(29, 5, "timeout"),)))
    cut = {"end_reason": EndReason.CANCELLED, "cancelled": True}
    trial.run(AgentRun("r", 29.0, 5.0, steps=(a_step(29, 5, "cancelled"),), **cut))
    trial.run(AgentRun("r", 29.0, 5.0, steps=(a_step(33, 1, "cancelled"),), **cut))  # it had only begun
    assert trial.windows_found()[0].runs_hung == 1


def test_a_run_hangs_in_one_window():
    """In that where it got stuck, though it may still be when the next begins."""
    trial = Trial(Window("a", 20.0, 30.0), Window("b", 40.0, 50.0), seconds=600.0)
    trial.run(AgentRun("r", 19.5, 60.0, end_reason=EndReason.TIMEOUT, error="timeout"))
    trial.run(AgentRun("r", 45.0, 60.0, end_reason=EndReason.TIMEOUT, error="timeout"))
    assert [window.runs_hung for window in trial.windows_found()] == [1, 1]
    assert seen("runs_hung <= 1", trial.summary()) == (2.0, False)
    assert not seen("runs_hung <= 1", Trial(Window("a", 20.0, 30.0)).summary())[1]  # nothing to judge


def test_what_was_done_twice():
    """Equal arguments in whatever spelling, or the same idempotency key; other arguments, or none, are not."""
    done = Done()
    assert not done.again("buy", '{"n": 1, "of": "BTC"}')
    assert done.again("buy", '{"of":"BTC","n":1}')
    assert not done.again("sell", '{"of":"BTC","n":1}')
    assert not done.again("buy", '{"n":2,"idempotency_key":"k1"}')
    assert done.again("buy", '{"n":3,"idempotency_key":"k1"}')
    assert not done.again("buy", '{"n":3,"idempotency_key":"k2"}')
    assert not done.again("ping", "")
    assert not done.again("ping", "")


def seen(text: str, summary: Summary) -> tuple[float | None, bool]:
    (result,) = evaluate([parse_check(text)], summary)
    return result.observed, result.ok


def test_checks_on_resilience():
    """availability, duplicates by tool, wasted_cost, and the slowest recovery of all windows."""
    trial = an_outage(25.0, 24.0, random.Random(0))
    trial.ledger.add_tool(ToolCall("buy", 21.0, 0.1, again=True))
    trial.ledger.add_tool(ToolCall("look", 21.0, 0.1))
    trial.ledger.count("wasted_picousd", 2 * 10**10)
    summary = trial.summary()
    availability = 1 - summary.totals.failed / summary.totals.calls
    assert seen("availability > 50%", summary) == (pytest.approx(availability), True)
    assert seen("recovery_time < 2s", summary) == (pytest.approx(1.0, abs=0.5), True)
    assert seen("sum(duplicates){name=buy} <= 0", summary) == (1.0, False)
    assert seen("sum(duplicates){name=look} <= 0", summary) == (0.0, True)


def test_wasted_cost_is_a_check():
    """In dollars; nothing measured is no pass."""
    ledger = Ledger()
    facts = TestFacts("t", "a.py", "2026-11-20T10:40:00Z", 60.0, "mock", 1)
    assert not seen("sum(wasted_cost) < $1", build_summary(ledger, facts))[1]
    ledger.add_call(replace(a_call(1.0, 1.0), cost_picousd=5), 2)
    assert seen("sum(wasted_cost) < $1", build_summary(ledger, facts)) == (0.0, True)
    ledger.count("wasted_picousd", 2 * 10**10)
    assert seen("sum(wasted_cost) < $0.01", build_summary(ledger, facts)) == (0.02, False)


def test_a_window_without_recovery_fails_its_check():
    """One that never recovered is worse than any number."""
    trial = an_outage(60.0, 24.0, random.Random(0))
    (result,) = evaluate([parse_check("recovery_time < 1h")], trial.summary())
    assert not result.ok
    assert result.reason == "outage: not recovered"
    aborting = replace(parse_check("recovery_time < 1h"), abort=True)
    assert not due([aborting], trial.summary(), 59.0)  # it may yet come


def test_the_console_shows_windows():
    """Before, during and after in a table that fits, and a sentence."""
    text = render(an_outage(25.0, 24.0, random.Random(0)).summary())
    lines = text.splitlines()
    assert len(lines) <= MAX_LINES
    assert all(len(line) <= 80 for line in lines)
    assert any(line.startswith("outage") for line in lines)
    assert "recovered in 1.0" in text or "recovered in 9" in text


def test_a_test_without_windows_says_nothing():
    """No section, no rows, no pulse."""
    ledger = Ledger()
    ledger.add_call(a_call(1.0, 1.0), 2)
    summary = build_summary(ledger, TestFacts("t", "a.py", "2026-11-20T10:40:00Z", 60.0, "mock", 1))
    assert summary.resilience.windows == []
    assert "pulse" not in ledger.take()
