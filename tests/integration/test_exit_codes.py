"""The exit code says how the test went, in every mode, and no process stays behind."""

from __future__ import annotations

import re

import pytest

from harness import run
from sample_locustfiles import CHAT_SPEC, chat

EVERYWHERE = [
    pytest.param("local", False, id="local"),
    pytest.param("processes", False, id="processes"),
    pytest.param("distributed", False, id="distributed", marks=pytest.mark.long),
    pytest.param("local", True, id="local-autoquit", marks=pytest.mark.long),
    pytest.param("processes", True, id="processes-autoquit", marks=pytest.mark.long),
    pytest.param("distributed", True, id="distributed-autoquit", marks=pytest.mark.long),
]
everywhere = pytest.mark.parametrize(("way", "autostart"), EVERYWHERE)
WORKERS_ONLY = [param for param in EVERYWHERE if param.values[0] != "local"]


@everywhere
def test_a_pass_is_0_even_with_a_tolerated_failed_request(tmp_path, way, autostart):
    """Failed requests within the SLA's bounds do not fail the process."""
    text = chat("error_rate < 90%", "p95(ttft) < 30s")
    spec = f"{CHAT_SPEC},errors=server_error:0.3"
    result = run(tmp_path, text, "--mock", spec, way=way, autostart=autostart).expect(0)
    assert result.summary["totals"]["failed"] > 0
    assert result.summary["verdict"]["status"] == "passed"
    assert result.summary["verdict"]["exit_code"] == 0


@everywhere
def test_a_failed_check_is_99(tmp_path, way, autostart):
    """A check that does not hold fails the process with 99, and says what was observed."""
    result = run(tmp_path, chat("p95(ttft) < 1ms"), "--mock", CHAT_SPEC, way=way, autostart=autostart).expect(99)
    check = next(check for check in result.summary["verdict"]["checks"] if "ttft" in check["check"])
    assert not check["ok"]
    assert check["samples"] > 0
    assert "p95(ttft) < 1ms" in result.stdout


@pytest.mark.parametrize("place", ["user", "option"])
@pytest.mark.parametrize("way", ["local", "processes"])
def test_a_misspelt_metric_is_2_before_any_request(tmp_path, mock_server, way, place):
    """A typo in an SLA stops everything before the load starts, suggests the right word, orphans nobody."""
    server = mock_server(CHAT_SPEC)
    typo = "p95(tfft) < 1s"
    sla, option = ([typo], []) if place == "user" else ([], ["--sla", typo])
    result = run(tmp_path, chat(*sla), "--host", server.url, *option, way=way).expect(2)
    assert "tfft" in result.output
    assert "did you mean 'ttft'" in result.output
    assert "Traceback" not in result.output
    assert server.truth()["requests"] == 0
    assert result.summaries == []


@everywhere
def test_most_calls_failing_is_99_without_an_error_check(tmp_path, way, autostart):
    """An SLA that forgets errors gets an error check, marked as ours."""
    spec = f"{CHAT_SPEC},errors=server_error:0.9"
    result = run(tmp_path, chat("p95(ttft) < 30s"), "--mock", spec, way=way, autostart=autostart).expect(99)
    check = next(check for check in result.summary["verdict"]["checks"] if "error_rate" in check["check"])
    assert not check["ok"]
    assert "default" in str(check)


@everywhere
def test_a_task_that_raises_is_99(tmp_path, way, autostart):
    """A bug in the user's own task is counted and fails the verdict."""
    text = chat("p95(ttft) < 30s", body='self.chat("Hello"); raise ValueError("a bug of mine")')
    result = run(tmp_path, text, "--mock", CHAT_SPEC, way=way, autostart=autostart).expect(99)
    assert result.summary["totals"]["task_errors"] > 0


@everywhere
def test_no_request_is_3(tmp_path, way, autostart):
    """A test in which nothing was asked is not a pass."""
    text = chat("p95(ttft) < 30s", body="gevent.sleep(0.1)")
    result = run(tmp_path, text, "--mock", CHAT_SPEC, way=way, autostart=autostart).expect(3)
    assert result.summary["verdict"]["status"] == "invalid"


CRASH_IN_REQUEST = """
    @events.request.add_listener
    def crash(**kwargs):
        raise RuntimeError("a listener's bug")
"""
CRASH_ON_START = """
    @events.test_start.add_listener
    def crash(environment, **kwargs):
        if isinstance(environment.runner, {runner}):
            raise RuntimeError("a listener's bug")
"""


@everywhere
def test_a_listener_that_crashes_where_users_run_is_3(tmp_path, way, autostart):
    """A crashed listener may have lost anything: the test is not valid, wherever it crashed."""
    text = chat("p95(ttft) < 30s", extra=CRASH_IN_REQUEST)
    run(tmp_path, text, "--mock", CHAT_SPEC, way=way, autostart=autostart).expect(3)


@pytest.mark.parametrize("runner", ["MasterRunner", "WorkerRunner"])
@pytest.mark.parametrize(("way", "autostart"), WORKERS_ONLY)
def test_a_listener_that_crashes_on_one_side_is_3(tmp_path, way, autostart, runner):
    """A crash in the master alone, or in workers alone, is known at the end."""
    text = chat("p95(ttft) < 30s", extra=CRASH_ON_START.format(runner=runner))
    run(tmp_path, text, "--mock", CHAT_SPEC, way=way, autostart=autostart).expect(3)


ABORTING = {"check": "p95(ttft) < 1ms", "abort": True, "min_samples": 5}


@everywhere
def test_an_aborting_check_ends_the_test_early(tmp_path, way, autostart):
    """A check with `abort` that is violated ends the test long before its time, with 99."""
    text = chat(ABORTING)
    result = run(tmp_path, text, "--mock", CHAT_SPEC, way=way, autostart=autostart, run_time="100s").expect(99)
    assert result.summary["test"]["duration_s"] < 60
    assert "p95(ttft) < 1ms" in result.summary["test"]["stop_reason"]


@pytest.mark.parametrize("way", ["local", pytest.param("processes", marks=pytest.mark.long)])
def test_a_report_that_cannot_be_written_is_4(tmp_path, way):
    """The checks passed, the directory cannot be made: 4, and the console still tells all."""
    (tmp_path / "results").write_text("a file stands where the directory should")
    result = run(tmp_path, chat("p95(ttft) < 30s"), "--mock", CHAT_SPEC, way=way).expect(4)
    assert "a report could not be written" in result.stdout
    assert "p95(ttft) < 30s" in result.stdout
    assert "Traceback" not in result.output


def test_slow_imports_are_no_part_of_the_run_time(tmp_path):
    """Its clock starts with the test: one of two seconds is as long after three of imports."""
    text = "import time\n\ntime.sleep(3)\n" + chat("p95(ttft) < 30s")
    result = run(tmp_path, text, "--mock", CHAT_SPEC, run_time="2s").expect(0)
    seconds = []
    for what in ("limit set", "limit reached"):
        logged = re.search(rf"^\[\S+ \d+:(\d+):(\d+),(\d+)\].*{what}", result.stderr, re.MULTILINE)
        assert logged, result.output
        seconds.append(int(logged[1]) * 60 + int(logged[2]) + int(logged[3]) / 1000)
    assert (seconds[1] - seconds[0]) % 3600 >= 1.95


BAD_STARTS = [
    pytest.param(["--pricing", "prices.yaml"], "prices.yaml:4:models.m.input", id="bad price"),
    pytest.param(["--pricing", "missing.yaml"], "missing.yaml", id="no price file"),
    pytest.param(["--sla", "missing.yaml"], "missing.yaml", id="no SLA file"),
    pytest.param(["--sla", "sla.yaml"], "sla.yaml:2:sla.0.abrt", id="bad SLA file"),
    pytest.param(["--mock", "tft=1s"], "did you mean ttft?", id="bad mock"),
    pytest.param(["--warmup", "soon"], "--warmup", id="bad warm-up"),
    pytest.param(["--host", "ftp://x"], "--host", id="bad host"),
]


@pytest.mark.parametrize(("args", "told"), BAD_STARTS)
@pytest.mark.parametrize("way", ["local", pytest.param("processes", marks=pytest.mark.long)])
def test_a_bad_option_is_2(tmp_path, way, args, told):
    """It is told where the mistake is, before any process is forked, without a traceback."""
    (tmp_path / "prices.yaml").write_text("provider: mine\nmodels:\n  m:\n    input: banana\n")
    (tmp_path / "sla.yaml").write_text("sla:\n  - {check: p95(ttft) < 1s, abrt: true}\n")
    result = run(tmp_path, chat("p95(ttft) < 30s"), *args, way=way).expect(2)
    assert told in result.output
    assert "Traceback" not in result.output
    assert result.summaries == []
