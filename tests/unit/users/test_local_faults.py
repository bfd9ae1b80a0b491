"""The agent's clock, disk, memory and processor: wrong within a window, right again after it, whatever happens."""

from __future__ import annotations

import datetime as dt
import errno
import logging
import sys
import time
from datetime import UTC
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from agentlocust.faults.plan import FaultPlan
from agentlocust.users.local.agents import is_agents
from agentlocust.users.local.clock import SkewedClock
from agentlocust.users.local.conditions import Conditions
from agentlocust.users.local.disk import FullDisk
from agentlocust.users.local.pressure import CpuPressure, MemoryPressure

AGENT = """
import datetime
import json
import pathlib
import time
from datetime import datetime as dt
from time import time as clock

def times():
    now = dt.now(datetime.UTC)
    return [time.time(), clock(), time.time_ns() / 1e9, now.timestamp(), datetime.datetime.now().timestamp()]

def steady():
    return time.monotonic()

def is_datetime(value):
    return isinstance(value, dt)

def write(path):
    pathlib.Path(path).write_text("x")

def append(path):
    with open(path, "a") as file:
        file.write("x")
"""


def true_time() -> float:
    """This module's `time` jumps too."""
    return sys.modules["time"].time()


@pytest.fixture
def agent(monkeypatch):
    """A module of the agent's."""
    module = ModuleType("an_agent_under_test")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(AGENT, vars(module))  # as if imported
    return module


def test_the_agent_s_clock_jumps_and_comes_back(agent):
    """In each way to ask for the time; the generator's own clock, and monotonic ones, go on."""
    clock = SkewedClock(300)
    before = dict(vars(agent))
    clock.begin()
    try:
        assert all(299 < told - true_time() < 301 for told in agent.times())
        assert abs(agent.steady() - time.monotonic()) < 1
        assert agent.is_datetime(dt.datetime.now(UTC))
    finally:
        clock.end()
    assert all(abs(told - true_time()) < 1 for told in agent.times())
    assert dict(vars(agent)) == before


def test_a_clock_may_jump_back(agent):
    """Negative is back."""
    clock = SkewedClock(-60)
    clock.begin()
    try:
        assert -61 < agent.times()[0] - true_time() < -59
    finally:
        clock.end()


def test_the_agent_s_writes_fail_and_nobody_else_s(agent, tmp_path):
    """ENOSPC from files and log files of the agent's while it lasts."""
    log, handler = logging.getLogger("an_agent_under_test"), logging.FileHandler(tmp_path / "log")
    log.addHandler(handler)
    errors = []
    handler.handleError = lambda record: errors.append(sys.exc_info()[1])
    disk = FullDisk()
    disk.begin()
    try:
        for write in (agent.write, agent.append):
            with pytest.raises(OSError, match="No space") as raised:
                write(tmp_path / "x")
            assert raised.value.errno == errno.ENOSPC
        log.error("lost")
        assert Path(__file__).read_text()
    finally:
        disk.end()
    agent.append(tmp_path / "y")
    log.error("kept")
    handler.close()
    log.removeHandler(handler)
    assert (tmp_path / "y").read_text() == "x"
    assert [error.errno for error in errors] == [errno.ENOSPC]
    assert (tmp_path / "log").read_text() == "kept\n"


def test_whose_code_is_whose():
    """The generator and Python itself are not the agent."""
    assert is_agents("trading.agent")
    assert is_agents("openai._client")
    assert not any(is_agents(name) for name in ("agentlocust.users.run", "locust.runners", "gevent.hub", "json"))


def test_pressure_is_taken_and_given_back():
    """Memory is really used; processes are gone afterwards."""
    memory, process = MemoryPressure(80_000_000), psutil.Process()
    before = process.memory_info().rss
    memory.begin()
    assert process.memory_info().rss - before > 60_000_000
    memory.end()
    assert process.memory_info().rss - before < 60_000_000
    cpu = CpuPressure(2)
    cpu.begin()
    burners = [burner.pid for burner in cpu._burners]
    assert all(psutil.pid_exists(pid) for pid in burners)
    cpu.end()
    assert not any(psutil.pid_exists(pid) for pid in burners)


def test_conditions_keep_to_their_windows(agent):
    """In force within, undone after, and undone by an early end too; each is counted as it comes into force."""
    at = [0.0]
    struck = []
    plan = FaultPlan.parse("clock_skew(jump=5m)@1s-3s, memory_pressure(size=1MB)@2s-")
    conditions = Conditions(plan, lambda: (at[0], ""), struck.append)
    ahead = []
    for at[0] in (0.5, 1.5, 2.5, 3.5, 2.5):
        conditions.look()
        ahead.append(round(agent.times()[0] - true_time()))
    assert ahead == [0, 300, 300, 0, 300]
    conditions.stop()
    assert abs(agent.times()[0] - true_time()) < 1
    assert struck == ["clock_skew", "memory_pressure", "clock_skew", "memory_pressure", "memory_pressure", "clock_skew"]


def test_one_that_cannot_be_undone_keeps_no_other_in_force(agent, caplog):
    """All are undone; the log tells."""
    conditions = Conditions(FaultPlan.parse("clock_skew()"), lambda: (0.0, ""), lambda _: None)
    conditions.look()

    class Stuck:
        def end(self):
            raise OSError("stuck")

    conditions._on.append(Stuck())
    conditions.stop()
    assert abs(agent.times()[0] - true_time()) < 1
    assert "stuck" in caplog.text
