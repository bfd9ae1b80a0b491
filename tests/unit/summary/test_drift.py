"""Drifts are told with their confidence, under steady load, and leaks with the name of who leaks."""

from __future__ import annotations

import random
from typing import Any

import pytest

from agentlocust.summary import Summary
from agentlocust.summary.drift import drift_lines, drifts
from agentlocust.summary.load_model import PhaseModel
from agentlocust.summary.model import Point, TestInfo

MB = 10**6
SECONDS = 300


def a_summary(points: list[Point], monitor: dict[str, Any] | None = None, warmup: float = 0.0) -> Summary:
    info = TestInfo(id="t", locustfile="a.py", started="", duration_s=SECONDS, host="mock", workers=1, users=10, seed=1)
    phases = [PhaseModel(name="main", start_s=warmup, end_s=SECONDS)]
    if warmup:
        phases.insert(0, PhaseModel(name="warm-up", start_s=0, end_s=warmup))
    return Summary(test=info, series=points, phases=phases, monitor={"subjects": monitor or {}})


def series(**growing: float) -> list[Point]:
    """Five minutes at 20 calls a second; `latency=0.2` grows by a fifth from start to end."""
    chance = random.Random(7)
    points = []
    for t in range(SECONDS):
        grown = {name: 1 + by * t / SECONDS for name, by in growing.items()}
        expected = 4 * (grown.get("failed", 1.0) - 1)
        failed = int(expected) + (chance.random() < expected % 1)
        points.append(
            Point(
                t=t,
                users=10,
                calls=20,
                failed=failed,
                output_tokens=round(50 * (20 - failed) * chance.uniform(0.9, 1.1) * grown.get("tokens", 1.0)),
                latency_p50=2.0 * chance.uniform(0.9, 1.1) * grown.get("latency", 1.0),
                ttft_p50=0.2 * chance.uniform(0.9, 1.1) * grown.get("ttft", 1.0),
            )
        )
    return points


def verdicts(summary: Summary) -> dict[str, str]:
    return {f"{entry['subject']} {entry['metric']}".strip(): entry["verdict"] for entry in drifts(summary)}


def test_a_steady_test_has_no_drift() -> None:
    """Noise of 10% from second to second is no drift, and says nothing."""
    summary = a_summary(series())
    assert set(verdicts(summary).values()) == {"steady"}
    assert drift_lines(summary) == []


@pytest.mark.parametrize(
    ("growing", "metric", "verdict"),
    [
        ({"latency": 0.2}, "latency", "rising"),
        ({"ttft": 0.2}, "ttft", "rising"),
        ({"ttft": -0.2}, "ttft", "falling"),
        ({"failed": 1.0}, "error_rate", "rising"),
        ({"tokens": -0.3}, "output_tokens", "falling"),
    ],
)
def test_a_drift_is_found_where_it_is(growing: dict[str, float], metric: str, verdict: str) -> None:
    """The one that drifts, and its direction; tokens a call are told of either way."""
    summary = a_summary(series(**growing))
    found = verdicts(summary)
    assert {name: told for name, told in found.items() if told != "steady"} == {metric: verdict}
    assert len(drift_lines(summary)) == (0 if (metric, verdict) == ("ttft", "falling") else 1)


def test_a_drift_tells_its_slope_with_confidence() -> None:
    """Two seconds that grow by a fifth in five minutes: 4.8 s an hour, and its interval around it."""
    (entry,) = [entry for entry in drifts(a_summary(series(latency=0.2))) if entry["metric"] == "latency"]
    assert entry["slope_per_h"] == pytest.approx(4.8, rel=0.1)
    assert entry["low"] < 4.8 < entry["high"]
    assert entry["growth"] == pytest.approx(0.2, rel=0.1)
    assert entry["p"] < 0.001
    assert entry["sentence"].startswith("latency (p50) rose from 2.0")
    assert "95% sure of" in entry["sentence"]


def test_the_error_rate_counts_by_calls() -> None:
    """The few calls of quiet seconds do not weigh as much as those of busy ones."""
    points = [Point(t=t, calls=1 if t % 2 else 99, failed=t % 2 if t > 150 else 0) for t in range(SECONDS)]
    assert verdicts(a_summary(points))["error_rate"] == "steady"


def test_what_changed_with_the_load_is_no_drift() -> None:
    """While users rise latency may: only the longest stretch of steady users is looked at."""
    points = series()
    for point in points[:100]:
        point.users, point.latency_p50 = int(point.t), 0.02 * point.t
    for point in points[100:]:
        point.users = 100
    assert verdicts(a_summary(points))["latency"] == "steady"


def test_the_warm_up_is_left_out() -> None:
    """Cold caches are what a warm-up is for."""
    points = series()
    for point in points[:250]:
        point.latency_p50 = 9.0 - point.t / 36
    assert verdicts(a_summary(points))["latency"] == "falling"
    assert verdicts(a_summary(points, warmup=250))["latency"] == "steady"


def test_a_short_test_says_that_it_was_too_short() -> None:
    """A few points are no trend, and what was never measured is not mentioned."""
    summary = a_summary([Point(t=t, calls=1, latency_p50=1.0) for t in range(5)])
    assert verdicts(summary) == dict.fromkeys(("latency", "error_rate", "output_tokens"), "not enough data")
    assert drifts(a_summary([])) == []


def test_leaks_are_named_with_their_subject() -> None:
    """Each watched process has a verdict for its memory, descriptors and threads; sentences say whose."""
    monitor = {
        "target:8000": {
            "memory": {"points": [[t, 100 * MB + t * MB] for t in range(SECONDS)]},
            "fds": {"points": [[t, 20] for t in range(SECONDS)]},
            "threads": {"points": [[t, 5 + t // 2] for t in range(SECONDS)]},
        },
        "generator:local": {"memory": {"points": [[t, 90 * MB] for t in range(SECONDS)]}},
        "machine": {"memory": {"points": [[t, t * MB] for t in range(SECONDS)]}},
    }
    summary = a_summary([], monitor)
    assert verdicts(summary) == {
        "target:8000 memory": "leaking",
        "target:8000 fds": "steady",
        "target:8000 threads": "leaking",
        "generator:local memory": "steady",
    }
    memory, threads = drift_lines(summary)
    assert memory.startswith("target:8000: memory grew 60.0 MB/min, from ")
    assert threads.startswith("target:8000: threads grew 30/min, from ")
    assert [entry["metric"] for entry in drifts(summary) if entry["matters"]] == ["memory", "threads"]


def test_thinned_readings_are_judged_by_their_lows() -> None:
    """Means over teeth of different heights may rise while nothing stays."""
    points = [[t, 100 * MB + t * MB // 3] for t in range(SECONDS)]
    low = [100 * MB] * SECONDS
    watched = {"target:a": {"memory": {"points": points, "low": low}}}
    assert verdicts(a_summary([], watched)) == {"target:a memory": "steady"}


@pytest.mark.parametrize("monitor", [{"target:a": None}, {"target:a": {"memory": {}}}, {"target:a": {"fds": []}}])
def test_a_part_that_is_missing_is_no_crash(monitor: dict[str, Any]) -> None:
    """A target that could not be read has no verdict."""
    assert drifts(a_summary([], monitor)) == []
