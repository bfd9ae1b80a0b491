"""The child process that reads: what it says, and that it ends with its parent, whatever happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-P", "-m", "agentlocust.monitor.sampler"]
ASKED = {"interval": 0.1, "watch": [], "scrape": [], "gpu": False}


@pytest.fixture
def start():
    """Starts samplers and ends what is left of them."""
    started = []

    def run(**asked) -> subprocess.Popen:
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(COMMAND, env=env, text=True, **pipes)
        started.append(process)
        process.stdin.write(json.dumps({"parent": os.getpid(), **ASKED, **asked}) + "\n")
        process.stdin.flush()
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()


def readings(process: subprocess.Popen, count: int) -> list[dict]:
    return [json.loads(process.stdout.readline()) for _ in range(count)]


def test_it_tells_of_machine_and_targets(start, puppet):
    """One line a reading, ints or null, in the time of the monotonic clock, from the first moment on."""
    process = start(watch=[["it", "pid", str(puppet.pid)]])
    first, second = readings(process, 2)
    assert set(first["subjects"]) == {"machine", "target:it"}
    assert second["t"] > first["t"]
    assert second["subjects"]["target:it"]["processes"] == 1
    assert second["subjects"]["target:it"]["cpu"] is not None
    for figures in second["subjects"].values():
        assert all(value is None or isinstance(value, int) for value in figures.values())
    puppet.kill()
    events = []
    while not events:
        events += readings(process, 1)[0]["events"]
    assert [event["what"] for event in events] == ["died"]


@pytest.mark.parametrize("last", ["close", "say"])
def test_it_ends_when_stdin_does_or_says_so(start, last):
    """At once, and without a word."""
    process = start(interval=60.0)
    readings(process, 1)
    if last == "close":
        process.stdin.close()
    else:
        process.stdin.write("stop\n")
        process.stdin.flush()
    assert process.wait(10) == 0
    assert process.stderr.read() == ""


def test_it_ends_without_a_reader(start):
    """A closed pipe is an end, no traceback."""
    process = start()
    process.stdout.close()
    assert process.wait(10) == 0
    assert process.stderr.read() == ""


PARENT = """
import json, os, subprocess, sys
command = json.loads(sys.argv[1])
process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
process.stdin.write(json.dumps({"parent": os.getpid(), **json.loads(sys.argv[2])}) + "\\n")
process.stdin.flush()
process.stdout.readline()
holder = os.fork() if sys.argv[3] == "fork" else 0
if holder == 0 and sys.argv[3] == "fork":
    import time
    time.sleep(60)
    os._exit(0)
print(process.pid, holder, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("how", ["alone", "fork"])
def test_it_never_outlives_a_parent_that_is_killed(how):
    """A kill -9 leaves nobody to say goodbye; and a fork of the parent may hold the pipe open for long."""
    command = [sys.executable, "-c", PARENT, json.dumps(COMMAND), json.dumps(ASKED), how]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True) as parent:
        sampler_pid, holder = map(int, parent.stdout.readline().split())
        sampler = psutil.Process(sampler_pid)
        assert sampler.is_running()
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        psutil.wait_procs([sampler], timeout=10)
        gone = not sampler.is_running() or sampler.status() == psutil.STATUS_ZOMBIE
        if holder:
            os.kill(holder, signal.SIGKILL)
        assert gone


def test_what_breaks_is_told_in_the_last_line(start):
    """In one line, with nothing on stderr."""
    process = start(watch=[["x", "cmd", "("]])
    assert "error" in readings(process, 1)[0]
    assert process.wait(10) == 1
    assert process.stderr.read() == ""


def test_it_loads_nothing_heavy():
    """No gevent, Locust or pydantic: it starts in 0.1 s and stays small."""
    script = "import sys, agentlocust.monitor.sampler; print(*{m.partition('.')[0] for m in sys.modules})"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    heavy = {"gevent", "locust", "pydantic", "yaml", "openai", "http", "ssl", "prometheus_client", "pynvml"}
    assert heavy.isdisjoint(run.stdout.split())
