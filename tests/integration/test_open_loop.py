"""Arrivals in the real `locust` command: nothing before its time, nothing left out, no stall hidden."""

from __future__ import annotations

import statistics

import pytest

from harness import WAYS, run
from open_loops import (
    SPEC,
    beyond_schedule,
    critical_distance,
    distance,
    gaps_of,
    offered_rate,
    play,
    starts_in,
)
from sample_locustfiles import chat

IN_ALL_WAYS = pytest.mark.parametrize(
    "way", [pytest.param(way, marks=[] if way in ("local", "processes") else [pytest.mark.long]) for way in WAYS]
)
FEW_SLOTS = "ttft=40ms,itl=1ms,tokens=5,slots=4"  # some 85 calls a second
FROZEN = f"{FEW_SLOTS},freeze=2s+4s"


@IN_ALL_WAYS
def test_no_second_has_more_starts_than_its_schedule(tmp_path, way):
    """Not the first either, in which 200 free users wait; and none is left out."""
    args = ("--rate", "20/s", "--arrivals", "constant", "--mock", SPEC)
    result = play(tmp_path, *args, way=way, users=200, run_time="4s").expect(0)
    starts = starts_in(tmp_path)
    (row,) = result.summary["arrivals"]
    assert beyond_schedule(starts, 20, 4) == []
    assert offered_rate(result.summary) == pytest.approx(20, rel=0.02)  # one of the 80 may fall beyond the end
    assert row["offered"] == row["started"] == len(starts) == result.summary["totals"]["calls"]
    assert row["schedule_lag"]["count"] == len(starts)


@IN_ALL_WAYS
def test_poisson_gaps_pass_the_test_of_kolmogorov_and_smirnov(tmp_path, way):
    """Those of all workers together."""
    args = ("--rate", "100/s", "--seed", "4", "--mock", SPEC)
    play(tmp_path, *args, way=way, users=100, run_time="4s").expect(0)
    gaps = gaps_of(starts_in(tmp_path), 100)
    assert len(gaps) > 300
    assert distance(gaps) < critical_distance(len(gaps))


@pytest.mark.parametrize(("law", "variance"), [("gamma(0.25)", 4.0), ("gamma(4)", 0.25), ("uniform", 1 / 3)])
def test_gaps_have_the_mean_and_the_spread_of_their_law(tmp_path, law, variance):
    """Of mean 1, gamma's variance is 1/k, and that of what lies between 0 and 2 is a third."""
    args = ("--rate", "200/s", "--arrivals", law, "--seed", "5", "--mock", SPEC)
    play(tmp_path, *args, way="local", users=100, run_time="3s").expect(0)
    gaps = gaps_of(starts_in(tmp_path), 200)
    assert statistics.mean(gaps) == pytest.approx(1, abs=4 * (variance / len(gaps)) ** 0.5)
    assert statistics.variance(gaps) == pytest.approx(variance, rel=0.5)


# -- coordinated omission ----------------------------------------------------------------------


def test_a_stall_is_in_every_latency_that_it_delayed(tmp_path):
    """A server that freezes for 4 of 7 s at 50/s, and then has 85/s to catch up with: the median is over 2 s."""
    args = ("--rate", "50/s", "--arrivals", "constant", "--mock", FROZEN)
    result = run(tmp_path, chat(), *args, users=500, run_time="7s").expect(0)
    (row,) = result.summary["rows"]
    assert row["latency"]["p50"] >= 2
    assert row["latency"]["p90"] >= 3
    assert offered_rate(result.summary) == pytest.approx(50, rel=0.01)


def test_a_closed_loop_hides_the_same_stall(tmp_path):
    """Its users wait with the server and ask for nothing meanwhile: the median does not notice."""
    result = run(tmp_path, chat(), "--mock", FROZEN, users=4, run_time="7s").expect(0)
    (row,) = result.summary["rows"]
    assert row["latency"]["p50"] < 0.2
    assert row["latency"]["max"] >= 3.5


def test_too_few_users_are_told_of_and_counted_against_the_target(tmp_path):
    """Two users who each need half a second can serve 4/s of 20/s: the rest is late, and its latency shows it."""
    checks = ("--sla", "sum(arrivals_late) < 5", "--sla", "p95(schedule_lag) < 100ms", "--sla", "rate(arrivals) > 19/s")
    args = ("--rate", "20/s", "--arrivals", "constant", "--mock", "ttft=500ms,itl=1ms,tokens=2", *checks)
    result = run(tmp_path, chat(), *args, users=2, run_time="4s").expect(99)
    (row,) = result.summary["arrivals"]
    assert row["late"] > 0.5 * row["offered"]
    assert row["started"] < 0.5 * row["offered"]
    assert row["schedule_lag"]["p95"] > 1
    assert [line.split()[1] for line in result.stdout.splitlines() if line.startswith("  FAIL")] == [
        "sum(arrivals_late)",
        "p95(schedule_lag)",
    ]
    assert result.summary["rows"][0]["latency"]["p90"] > 1.5
    assert "% found no user" in result.output


# -- what users do -----------------------------------------------------------------------------

NESTED = """\
import time

from locust import SequentialTaskSet, TaskSet, constant, events, task

from agentlocust import OpenAIUser


class Inner(TaskSet):
    wait_time = constant(5)

    def on_start(self):
        self.user.chat("hello", name="inner start")

    @task
    def ask(self):
        self.user.chat("inner", name="inner")
        self.interrupt()


class Steps(SequentialTaskSet):
    wait_time = constant(5)

    @task
    def one(self):
        self.user.chat("one", name="one")

    @task
    def two(self):
        self.user.chat("two", name="two")
        self.interrupt()


class Nested(OpenAIUser):
    model = "gpt-4o-mini"
    wait_time = constant(5)
    tasks = [Inner, Steps]

    def on_start(self):
        assert self.chat("log in", name="login").ok
        self.logged_in = True
"""


@pytest.mark.parametrize("way", ["local", pytest.param("processes", marks=pytest.mark.long)])
def test_on_start_and_nested_tasksets_work(tmp_path, way):
    """Each user logs in before its first task; leaf tasks are what arrives, and nobody's wait_time is waited."""
    args = ("--rate", "20/s", "--arrivals", "constant", "--mock", SPEC)
    result = run(tmp_path, NESTED, *args, way=way, users=20, run_time="4s").expect(0)
    counts = {row["name"]: row["count"] for row in result.summary["rows"]}
    (row,) = result.summary["arrivals"]
    assert counts["login"] == 20
    assert counts["inner"] + counts["one"] + counts["two"] == row["started"] == row["offered"]
    assert row["offered"] == pytest.approx(80, abs=2)
    assert counts["inner start"] >= counts["inner"] > 0
    assert counts["one"] >= counts["two"] > 0


def test_classes_of_an_open_and_a_closed_loop_stand_side_by_side(tmp_path):
    """`--rate Class=20/s` leaves the others alone; the class attribute does the same, with its own law."""
    locustfile = (
        chat()
        + """
from agentlocust import constant as evenly


class Arriving(Chat):
    arrivals = evenly("20/s")
"""
    )
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    by_attribute = run(tmp_path / "a", locustfile, "--mock", SPEC, users=20, run_time="3s").expect(0).summary
    args = ("--rate", "Arriving=10/s", "--arrivals", "constant", "--mock", SPEC)
    by_option = run(tmp_path / "b", locustfile, *args, users=20, run_time="3s").expect(0).summary
    for summary, expected in ((by_attribute, 60), (by_option, 30)):
        (row,) = summary["arrivals"]
        assert row["name"] == "Arriving"
        assert row["started"] == pytest.approx(expected, abs=1)
        assert summary["totals"]["calls"] > 3 * expected  # ten users who pause for 20 ms


def test_latency_counts_from_the_intended_start(tmp_path):
    """Of a task's first call and of its first run; what comes later counts from its own start."""
    body = """
                with self.agent_run("first"):
                    self.chat("Hello", name="call 1")
                    self.chat("Hello", name="call 2")
                with self.agent_run("second"):
                    self.chat("Hello", name="call 3")
"""
    locustfile = chat(body=body.strip())
    args = ("--rate", "20/s", "--arrivals", "constant", "--mock", "ttft=200ms,itl=0ms,tokens=2")
    result = run(tmp_path, locustfile, *args, users=2, run_time="3s").expect(0)
    latency = {row["name"]: row["latency"] for row in result.summary["rows"]}
    lag = result.summary["arrivals"][0]["schedule_lag"]["p90"]
    assert lag > 1
    assert latency["call 1"]["p90"] == pytest.approx(lag + 0.2, rel=0.25)
    assert latency["first"]["p90"] > latency["call 1"]["p90"]
    for name in ("call 2", "call 3", "second"):
        assert 0.2 <= latency[name]["p50"] < 0.5


def test_prompts_and_replies_are_as_long_as_asked_for(tmp_path, mock_server):
    """`--prompt-tokens` and `--output-tokens`, to the token by the mock's books; three are a message's frame."""
    server = mock_server("ttft=1ms,itl=0ms,fill=yes")
    sizes = ("--prompt-tokens", "321", "--output-tokens", "17", "--calls", "50")
    locustfile = chat(body="self.chat(self.prompt())")
    run(tmp_path, locustfile, "--host", server.url, *sizes, run_time="30s").expect(0)
    truth = server.final_truth()
    assert truth["requests"] == 50
    assert (truth["tokens"]["input"], truth["tokens"]["output"]) == (50 * 324, 50 * 17)
