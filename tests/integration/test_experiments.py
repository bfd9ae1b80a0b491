"""Capacity, stress and spike on targets with a known limit, what limited a test, and the watch of a target."""

from __future__ import annotations

import pytest

from experiments import LONG_SPEC, SPEC, asking, experiment, finding, told, unreadable
from harness import LocustTest, wait_until
from sample_locustfiles import CHAT_SPEC, chat

LIMIT = "p90(latency) < 120ms"
STEPS = "stress:from=3,to=12,step=3,hold=4s,recovery=0s"
WATCHED = ("--watch", "mock", "--watch-interval", "100ms")
PAUSES = asking(0.1)


@pytest.mark.parametrize(("least", "exit_code"), [(2, 0), (3, 99)], ids=["met", "not met"])
def test_capacity_is_judged_and_its_conditions_are_not(tmp_path, least, exit_code):
    """What a trial is held to is no verdict on the whole test; what the search found is."""
    shape = "capacity:from=2,to=2,hold=3s,max_hold=3s,settle=0s"
    result = experiment(tmp_path, shape, "--mock", SPEC, "--sla", LIMIT, "--sla", f"capacity >= {least}")
    result.expect(exit_code)
    assert finding(result)["holds"] == 2
    assert "holds 2 users at least: the most that was tried" in told(result)
    assert [check["check"] for check in result.summary["verdict"]["checks"]] == [f"capacity >= {least}"]
    assert result.summary["shape"]["conditions"] == [LIMIT]
    assert f"not judged, as the load sought the limit: {LIMIT}" in result.stdout
    assert unreadable(result) == []


@pytest.mark.long
def test_capacity_is_found(tmp_path):
    """4 slots hold 4 users; beyond them calls queue, and nothing of that fails the test."""
    shape = "capacity:from=3,to=12,hold=3s,settle=0s"
    result = experiment(tmp_path, shape, "--mock", f"{SPEC},slots=4", "--sla", LIMIT, timeout_s=90).expect(0)
    assert finding(result)["holds"] == 4
    assert "cause: queueing" in told(result)
    assert result.summary["bottleneck"]["limit"] == "queueing"
    assert unreadable(result) == []


@pytest.mark.parametrize(
    ("spec", "more", "cause"),
    [
        ("rate=20/s,burst=5", "", "rate limited"),
        pytest.param("slots=4", ",break=p95(latency)>150ms", "queueing", marks=pytest.mark.long),
        pytest.param("contention=0.2", ",break=p95(latency)>150ms", "decode slowed", marks=pytest.mark.long),
        pytest.param("leak_rate=10MB/s", ",break=leak", "leak", marks=pytest.mark.long),
    ],
    ids=lambda value: value.partition("=")[0],
)
def test_stress_names_the_cause(tmp_path, spec, more, cause):
    """Each kind of limit by its name; what failed on the way there failed on purpose."""
    result = experiment(tmp_path, STEPS + more, "--mock", f"{SPEC},{spec}", *WATCHED, locustfile=PAUSES).expect(0)
    assert finding(result)["cause"] == cause, told(result)
    assert f"cause: {cause}" in result.stdout
    assert unreadable(result) == []


def test_a_leak_is_told_though_nothing_breaks(tmp_path):
    """Memory that grows while the load stays is named; the target held all the same."""
    shape = "stress:from=4,to=4,hold=8s,break=error_rate>5%"
    result = experiment(tmp_path, shape, "--mock", f"{SPEC},leak_rate=10MB/s", *WATCHED).expect(0)
    assert finding(result)["cause"] == "leak"
    assert finding(result)["breaking_point"] is None
    assert "no breaking point found; it leaks, so it will break in time: mock: memory grew" in told(result)


@pytest.mark.parametrize("watched", [True, pytest.param(False, marks=pytest.mark.long)], ids=["watched", "not watched"])
def test_a_target_that_dies_is_the_cause_and_not_the_generator(tmp_path, mock_server, watched):
    """Users whose calls are refused at once saturate their process: the target is dead all the same."""
    server = mock_server(f"{SPEC},die=5s")
    watch = ("--watch", f"pid:{server.pid}", "--watch-interval", "100ms") if watched else ()
    shape = "stress:from=2,to=16,step=2,hold=4s,recovery=5s"
    result = experiment(tmp_path, shape, "--host", server.url, *watch).expect(0)
    assert finding(result)["cause"] == "target dead", told(result)
    assert not finding(result)["recovered"]
    assert result.summary["bottleneck"]["limit"] == "dead target"
    assert unreadable(result) == []


@pytest.mark.long
@pytest.mark.parametrize("watched_s", [12, 5], ids=["recovered", "not recovered"])
def test_a_spike_is_over_when_its_queue_is(tmp_path, watched_s):
    """80 a second are served: 4 s of 120 leave 160, which 40 of base load leave room for in 4 s more."""
    shape = f"spike:baseline=40/s,spike=120/s,baseline_time=6s,spike_time=5s,recovery_time={watched_s}s,seconds=2"
    args = ("--mock", f"{LONG_SPEC},slots=16", "--arrivals", "constant", "--sla", "recovery_time < 9s")
    result = experiment(tmp_path, shape, *args, users=300).expect(0 if watched_s > 6 else 99)
    found = finding(result)["recovery_time_s"]
    if watched_s > 6:
        assert 4.9 <= found <= 6.5
    else:
        assert found is None
        assert "not recovered within 5s" in told(result)
    assert unreadable(result) == []


def test_killing_what_is_watched_changes_nothing_else(tmp_path, mock_server):
    """It is an event of the Summary; the test goes on to its end and its checks are judged."""
    server, other = mock_server(CHAT_SPEC), mock_server("")
    args = ("--host", server.url, "--watch", f"pid:{other.pid}", "--watch-interval", "100ms")
    with LocustTest(tmp_path, chat("error_rate < 1%"), *args, run_time="5s") as test:
        wait_until(lambda: server.truth()["requests"] > 200, "a second of calls")
        other.kill()
        result = test.finish().expect(0)
    (event,) = result.summary["monitor"]["events"]
    assert (event["what"], event["pid"]) == ("died", other.pid)
    assert result.summary["test"]["duration_s"] > event["t"] + 1
    assert result.summary["totals"]["failed"] == 0
    assert result.summary["series"][-2]["calls"] > 0
    assert "died" in result.stdout
