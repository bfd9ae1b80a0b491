"""Agents under an outage, by the real command: the report names how they bore it, and equals what the server saw."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from harness import Result, run
from outages import AGENT, outages
from recoveries import recovery
from storms import storm, unlike

WINDOW = ("--resilience-windows", "outage@3s-6s")


def a_trial(directory: Path, manner: str, *args: str, retry_after: str = "", users: int = 20) -> tuple[Result, int]:
    """A test of ten seconds whose target is out for three, and how many requests that saw."""
    with outages([(3.0, 6.0)], retry_after) as target:
        environment = {"MANNER": manner, "OPENAI_API_KEY": "sk-none"}
        args = ("--host", target.url, *WINDOW, *args)
        result = run(directory, AGENT, *args, users=users, run_time="11s", env=environment)
    return result, len(target.arrived)


def the_window(result: Result) -> dict[str, Any]:
    (window,) = result.summary["resilience"]["windows"]
    found: dict[str, Any] = window
    return found


@pytest.mark.parametrize(
    ("manner", "retry_after", "behaviour"),
    [
        ("naive", "", "naive"),
        ("fixed", "", "fixed"),
        ("jitter", "", "exponential with jitter"),
        ("sdk", "1", "honours Retry-After"),
    ],
)
def test_the_report_names_the_manner(tmp_path: Path, manner: str, retry_after: str, behaviour: str) -> None:
    """Retries of an agent's own or of its SDK; every request of the server's is a try of the report's."""
    result, arrived = a_trial(tmp_path, manner, "--sla", "availability > 99.9%", retry_after=retry_after)
    window = the_window(result)
    retries = window["retries"]
    assert retries["behaviour"] == behaviour, window["sentence"]
    assert result.summary["totals"]["attempts"] == arrived
    assert sum(window[part]["calls"] for part in ("before", "during", "after")) == result.summary["totals"]["calls"]
    assert window["detection_s"] <= 1.0
    # A user who waits when it ends is back a wait later, and no wait here is longer than two seconds.
    assert window["target_back_s"] <= 1.0 or manner == "jitter"
    assert window["recovery_s"] is not None or manner == "sdk"
    assert window["sentence"].split(";")[0] in result.stdout
    if manner == "naive":
        assert retries["amplification"] > 50
        assert window["peak_rate"] > 4 * window["usual_rate"]
    else:
        assert retries["amplification"] < 12
    assert (window["wave"] is not None) >= (manner == "fixed")
    result.expect(0 if manner == "sdk" else 99)


def test_a_naive_agent_and_a_good_one_in_the_same_storm(tmp_path: Path) -> None:
    """Each is named, its rate is what the wire saw, and the naive one makes a storm of it."""
    for manner in ("naive", "jitter"):
        (tmp_path / manner).mkdir()
    naive, good = (storm(tmp_path / manner, manner) for manner in ("naive", "jitter"))
    assert naive.problems() + good.problems() + unlike(naive, good) == []


@pytest.mark.parametrize("seed", [1, 3])
def test_a_recovery_is_told_within_a_second(tmp_path: Path, seed: int) -> None:
    """When the target was back, and when its callers felt it: of a server's outage, and of the mock's."""
    assert recovery(tmp_path, seed).problems() == []


def test_the_mock_that_freezes_recovers_on_two_workers(tmp_path: Path) -> None:
    """What both saw adds up; calls hang for the length of the outage, none fails, and all is well at once after it."""
    result = run(
        tmp_path,
        AGENT,
        "--mock",
        "ttft=20ms,itl=2ms,tokens=4,freeze=3s+3s",
        *WINDOW,
        "--sla",
        "recovery_time < 2s",
        way="processes",
        users=8,
        run_time="11s",
        env={"MANNER": "naive"},
    ).expect(0)
    window = the_window(result)
    assert sum(window[part]["calls"] for part in ("before", "during", "after")) == result.summary["totals"]["calls"]
    assert window["during"]["availability"] == 1.0
    assert window["during"]["latency"]["max"] == pytest.approx(3.0, abs=1.0)
    assert window["recovery_s"] <= 1.5
    assert window["retries"]["behaviour"] == "no retries"


@pytest.mark.parametrize("way", ["local", "processes"])
def test_runs_that_hang_are_told(tmp_path: Path, way: str) -> None:
    """Calls that vanish into a black hole hold their runs until the end of the test cuts them: a check on it fails."""
    args = (
        "--mock",
        "ttft=20ms,itl=2ms,tokens=4",
        "--faults",
        "timeout()@3s-3.5s",
        "--sla",
        "runs_hung <= 0",
        "--sla",
        "error_rate < 100%",
    )
    env = {"MANNER": "naive"}
    result = run(tmp_path, AGENT, *args, way=way, users=6, run_time="7s", stop_timeout="1", env=env).expect(99)
    assert the_window(result)["runs_hung"] == 6
    assert "6 runs hung" in " ".join(result.stdout.split())


def test_a_window_that_is_none_is_refused(tmp_path: Path) -> None:
    """Before any load, with the option and what to write."""
    args = ("--resilience-windows", "outage@9s-3s")
    result = run(tmp_path, AGENT, *args, users=1, run_time="1s", env={"MANNER": "naive"}).expect(2)
    assert "--resilience-windows" in result.output


@pytest.mark.long
@pytest.mark.parametrize("seed", [11, 12])
def test_recovery_is_near_the_truth_over_five_outages(tmp_path: Path, seed: int) -> None:
    """Each outlasts the window that is told of it by a random time: that is the recovery time, within a second."""
    rng = random.Random(seed)
    starts = [4.0 + 7.5 * number for number in range(5)]
    told = [(start, start + rng.uniform(0.5, 1.5)) for start in starts]
    truth = [(start, end + rng.uniform(0.0, 2.5)) for start, end in told]
    windows = ",".join(f"outage{n}@{start:.3f}s-{end:.3f}s" for n, (start, end) in enumerate(told))
    with outages(truth) as target:
        checks = ("--sla", "recovery_time < 5s", "--sla", "availability > 50%")
        args = ("--host", target.url, "--resilience-windows", windows, *checks)
        result = run(tmp_path, AGENT, *args, users=10, run_time="43s", env={"MANNER": "fixed"}).expect(0)
    found = [window["recovery_s"] for window in result.summary["resilience"]["windows"]]
    assert found == [pytest.approx(out[1] - window[1], abs=1.0) for window, out in zip(told, truth, strict=True)]
