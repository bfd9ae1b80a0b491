"""The generator's own health in the real `locust` command: told always, fatal when it lied."""

from __future__ import annotations

import sys

import pytest

from agentlocust.calibration import run as calibration
from agentlocust.calibration.table import HEAD, rating_line, step_line
from agentlocust.rating import load_rating, save_rating
from harness import ROOT, run
from sample_locustfiles import CHAT_SPEC, chat

STRICT = {"AGENTLOCUST_ALLOW_SATURATED": "false"}
BURN = 'self.chat("Hello"); self.burn()'
BURNING = """
    import time


    def burn(self):
        end = time.monotonic() + 0.05
        while time.monotonic() < end:
            pass


    Chat.burn = burn
    Chat.wait_time = constant(0.05)
"""


@pytest.mark.parametrize("way", ["local", "processes"])
def test_every_summary_tells_of_its_generator(tmp_path, way):
    """Lag, CPU, clock, sockets and memory, for the test and in its series; connections add up."""
    result = run(tmp_path, chat("error_rate < 1%"), "--mock", CHAT_SPEC, way=way, run_time="3s").expect(0)
    summary = result.summary
    generator = summary["generator"]
    assert generator["grade"] in ("valid", "strained", "saturated")
    assert generator["lag_s"]["count"] >= 100
    assert summary["validity"]["lag_p99_s"] == generator["lag_s"]["p99"]
    assert 0 < generator["cpu_mean"] <= generator["cpu_max"]
    assert generator["rss_max_bytes"] > 10_000_000
    assert generator["sockets_max"] >= 5
    assert sum(generator["grades"].values()) >= 2
    if sys.platform == "linux":
        assert generator["stamps"]["kernel"] > generator["stamps"].get("hub", 0)
        assert "kernel" in generator["clock"]
    graded = [point for point in summary["series"] if point["grade"] is not None]
    assert len(graded) >= 2
    assert all(point["lag_p99_s"] is not None and point["cpu"] >= 0 for point in graded)
    (row,) = [row for row in summary["rows"] if row["kind"] == "LLM"]
    assert sum(row["connections"].values()) == row["count"] - row["failed"]
    assert 1 <= row["connections"]["new"] <= 5 + row["cancelled"]
    assert row["connect"]["count"] == row["connections"]["new"]
    assert row["first_byte"]["count"] == row["count"]
    if way == "local":  # with workers a long seed may leave it no room
        assert "lag p99" in result.stdout


@pytest.mark.parametrize("way", ["local", "processes"])
def test_a_hub_that_is_burnt_is_no_valid_generator(tmp_path, way):
    """A task that keeps the hub for 50 ms at a time: the test is not valid, and says what to do."""
    text = chat("p95(ttft) < 30s", "error_rate < 50%", body=BURN, extra=BURNING)
    result = run(tmp_path, text, "--mock", CHAT_SPEC, way=way, users=10, run_time="6s", env=STRICT)
    validity = result.summary["validity"]
    assert validity["status"] in ("strained", "saturated")
    (reason,) = [reason for reason in validity["reasons"] if reason.startswith("the generator was")]
    assert reason.endswith("use --processes, more machines or fewer users")
    assert result.exit_code == (3 if validity["status"] == "saturated" else 0)
    assert "fewer users" in result.stdout  # not cut off
    assert "generator  lag p99" in result.stdout
    if way == "local":  # ten such users want more than one core
        assert validity["status"] == "saturated"
        assert result.summary["verdict"]["status"] == "invalid"


@pytest.mark.parametrize(
    ("how", "check", "exit_code"),
    [
        ("option", "p95(ttft) < 30s", 0),
        ("environment", "p95(ttft) < 1us", 99),
        pytest.param("option", "p95(ttft) < 1us", 99, marks=pytest.mark.long),
        pytest.param("environment", "p95(ttft) < 30s", 0, marks=pytest.mark.long),
    ],
)
def test_allow_saturated_leaves_the_verdict_to_the_checks(tmp_path, how, check, exit_code):
    """The status stays what it is; the exit code is that of the checks."""
    text = chat(check, "error_rate < 50%", body=BURN, extra=BURNING)
    option = ["--allow-saturated"] if how == "option" else []
    env = STRICT if how == "option" else {"AGENTLOCUST_ALLOW_SATURATED": "true"}
    result = run(tmp_path, text, "--mock", CHAT_SPEC, *option, users=10, run_time="6s", env=env).expect(exit_code)
    assert result.summary["validity"]["status"] == "saturated"
    assert result.summary["validity"]["saturated_allowed"]


def test_the_example_is_valid_with_ten_users(tmp_path):
    """What the README runs first does not strain a generator."""
    result = run(tmp_path, ROOT / "locustfiles" / "agent.py", users=10, run_time="5s", env=STRICT)
    assert result.summary["generator"]["grade"] == "valid", result.output
    assert result.summary["validity"]["status"] == "valid"


def test_statistics_that_are_reset_forget_the_generators_past(tmp_path):
    """With --reset-stats what came before the users were there is not told, neither are its seconds."""
    extra = """
        import time


        @events.spawning_complete.add_listener
        def burn(**_):
            time.sleep(3.5)
    """
    result = run(tmp_path, chat(extra=extra), "--mock", CHAT_SPEC, "--reset-stats", run_time="7s", env=STRICT)
    summary = result.summary
    assert sum(summary["generator"]["grades"].values()) <= summary["test"]["duration_s"] + 1
    last = max(point["t"] for point in summary["series"])
    assert max(point["t"] for point in summary["series"] if point["grade"]) <= last


def test_a_machine_is_rated_and_its_tests_quote_it(tmp_path, monkeypatch):
    """A short calibration, from the mock's first step to the file among the results and the next summary."""
    monkeypatch.setattr(calibration, "MAX_STREAMS", 16)
    # A busy machine may miss what is asked of a rating: here the way is tested, not the machine.
    monkeypatch.setattr(calibration, "MAX_P50_BIAS_MS", 1000.0)
    monkeypatch.setattr(calibration, "MAX_P99_BIAS_MS", 1000.0)
    monkeypatch.setattr(calibration, "MIN_ACHIEVED", 0.01)
    told = []
    rating = calibration.calibrate(20, 5, 4, told.append)
    assert told == rating.steps
    assert told[0].streams == 16
    assert rating.rated_streams == 16
    assert rating.rated_tokens_per_s > 100
    assert abs(told[0].ttft_p50_bias_ms) < 20
    assert len(step_line(told[0])) <= len(HEAD) + 12
    assert "16 streams" in rating_line(rating)
    save_rating(rating, tmp_path / "results")
    assert load_rating(tmp_path / "results") == rating
    result = run(tmp_path, chat(), "--mock", CHAT_SPEC).expect(0)
    quoted = result.summary["generator"]["rating"]
    assert quoted["rated_streams"] == 16
    best = max(point["output_tokens"] for point in result.summary["series"])
    assert quoted["share"] == pytest.approx(best / rating.rated_tokens_per_s)
    assert "of its rating" in result.stdout


def test_a_machine_too_busy_to_rate_is_told_so(monkeypatch):
    """No rating is better than a wrong one."""
    from click.testing import CliRunner

    from agentlocust.cli import main

    monkeypatch.setattr(calibration, "MIN_ACHIEVED", 99.0)
    result = CliRunner().invoke(main, ["calibrate", "--ttft", "20", "--itl", "2", "--seconds", "3", "--out", "none"])
    assert result.exit_code == 1
    assert "not even 16 streams were read truly" in result.output
    assert "Traceback" not in result.output
