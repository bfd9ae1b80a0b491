"""The generator's side of the watch: a child process whose lines come in without holding the hub."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import gevent
import psutil
import pytest

from agentlocust.errors import ConfigError
from agentlocust.monitor.readings import Monitor
from agentlocust.monitor.scrape import Scrape
from agentlocust.monitor.wanted import Wanted, resolve
from agentlocust.monitor.watch import Watch

ROOT = Path(__file__).parents[3]


class Told(list):
    """The readings, in order."""

    @property
    def events(self):
        """All of their events."""
        return [event for reading in self for event in reading["events"]]

    def wait(self, enough, timeout: float = 20) -> None:
        """Until `enough()`."""
        with gevent.Timeout(timeout):
            while not enough():
                gevent.sleep(0.01)


@pytest.fixture
def watching():
    """Starts watches and stops them."""
    watches = []

    def start(**options) -> tuple[Watch, Told]:
        told = Told()
        watch = Watch(told.append, interval_s=0.1, **options)
        watches.append(watch)
        watch.start()
        return watch, told

    yield start
    for watch in watches:
        watch.stop()


def test_readings_come_in(watching, puppet):
    """Each interval one, and into a monitor's series."""
    (wanted,) = resolve([f"pid:{puppet.pid}"], os.getpid())
    monitor = Monitor(time.monotonic(), 0.1)
    _, told = watching(targets=[wanted])
    told.wait(lambda: len(told) >= 4)
    for reading in told:
        monitor.add(reading)
    assert len(monitor.points(f"target:pid:{puppet.pid}", "memory")) >= 4
    assert monitor.values()["memory(machine)"] > 0
    times = [reading["t"] for reading in told]
    assert times == sorted(times)


def test_a_killed_target_is_an_event_and_no_more(watching, puppet):
    """The readings go on."""
    watch, told = watching(targets=[Wanted("it", "pid", str(puppet.pid))])
    told.wait(lambda: told)
    puppet.kill()
    told.wait(lambda: told.events)
    seen = len(told)
    told.wait(lambda: len(told) > seen + 1)
    assert [event["what"] for event in told.events] == ["died"]
    assert watch.pid is not None


def test_stop_leaves_nothing(watching):
    """No process and no open pipe; it may be said twice, and begun anew."""
    watch, told = watching()
    own = psutil.Process()
    for _ in range(2):
        watch.start()
        told.wait(lambda: told)
        pid = watch.pid
        open_while = own.num_fds()
        watch.stop()
        watch.stop()
        assert own.num_fds() <= open_while - 2
        assert watch.pid is None
        assert not psutil.pid_exists(pid)
        told.clear()


def test_a_stop_at_once_ends_it_too(watching):
    """Before it was told anything."""
    watch, _ = watching()
    pid = watch.pid
    watch.stop()
    assert not psutil.pid_exists(pid)


def test_a_sampler_that_dies_is_an_event(watching):
    """A test goes on without it, and knows."""
    watch, told = watching()
    told.wait(lambda: told)
    os.kill(watch.pid, signal.SIGKILL)
    told.wait(lambda: told.events)
    assert [event["what"] for event in told.events] == ["monitor ended"]
    watch.stop()


def test_why_it_broke_is_told(watching):
    """The sampler's own last words."""
    _, told = watching(targets=[Wanted("x", "cmd", "(")])
    told.wait(lambda: told.events)
    assert "subpattern" in told.events[0]["detail"]


def test_a_server_that_does_not_answer_delays_nothing(watching):
    """It is asked in a thread of its own; that it fails is an event."""
    _, told = watching(scrapes=[Scrape("http", "127.0.0.1", 9, "/metrics", ("a",))])
    told.wait(lambda: told.events and len(told) > 3)
    assert told.events[0]["what"] == "scrape failed"
    assert told.events[0]["label"] == "http://127.0.0.1:9/metrics"


def test_no_key_reaches_the_sampler(watching, monkeypatch):
    """It is given the little of the environment that it needs."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-canary-canary")
    monkeypatch.setenv("MY_SECRET", "canary")
    watch, told = watching()
    told.wait(lambda: told)
    assert "canary" not in str(psutil.Process(watch.pid).environ())


@pytest.mark.parametrize("interval_s", [0.05, 0.0, -1.0, 61.0, float("nan")])
def test_intervals_have_bounds(interval_s):
    """From a tenth of a second to a minute."""
    with pytest.raises(ConfigError, match="interval"):
        Watch(print, interval_s=interval_s)


PATCHED = """
from gevent import monkey; monkey.patch_all()
import os, gevent
from agentlocust.monitor.watch import Watch
told = []
watch = Watch(told.append, interval_s=0.1)
watch.start()
fork = os.fork()
if not fork:
    gevent.sleep(60)
    os._exit(0)
with gevent.Timeout(20):
    while len(told) < 3:
        gevent.sleep(0.01)
pid = watch.pid
watch.stop()
try:
    os.kill(pid, 0)
    print("alive")
except ProcessLookupError:
    print("gone")
os.kill(fork, 9)
"""


def test_it_works_in_a_patched_process_with_forks():
    """As under Locust: the standard library is patched, and a fork holds the same pipes."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", PATCHED], capture_output=True, text=True, env=env, timeout=60, check=False
    )
    assert (run.stdout.strip(), run.returncode) == ("gone", 0), run.stderr
