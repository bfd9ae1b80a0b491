"""What a watched target uses, read off real processes."""

from __future__ import annotations

import os

import psutil
import pytest

from agentlocust.monitor import target as module
from agentlocust.monitor.pace import Pace
from agentlocust.monitor.target import Target
from agentlocust.monitor.wanted import Wanted

MB = 10**6


def watching(puppet, kind: str = "pid") -> Target:
    value = str(puppet.pid) if kind == "pid" else puppet.mark
    return Target(Wanted("it", kind, value), os.getpid())


def test_it_sees_what_a_process_takes(puppet):
    """Memory, threads, descriptors, sockets: as much more as was taken."""
    target = watching(puppet)
    before, events = target.read(0.0)
    assert events == []
    puppet.tell("held.append(b'x' * 50_000_000)")
    puppet.tell("[rest() for _ in range(3)]")
    puppet.tell("held.extend(open(os.devnull) for _ in range(20))")
    puppet.tell("held.extend(socket.socket() for _ in range(30))")
    after, events = target.read(1000.0)
    assert events == []
    assert 45 * MB < after["memory"] - before["memory"] < 80 * MB
    assert after["threads"] - before["threads"] == 3
    assert after["fds"] - before["fds"] == 50
    assert after["connections"] - before["connections"] == 30
    assert before["processes"] == after["processes"] == 1


def test_rates_are_per_second_since_the_last_reading(puppet):
    """CPU in thousandths of a core; the first reading has nothing to count from."""
    target = watching(puppet)
    first, _ = target.read(0.0)
    assert first["cpu"] is None
    assert first["disk_write"] is None
    puppet.tell("burn(0.5)")
    busy, _ = target.read(2.0)
    assert 230 <= busy["cpu"] <= 330
    assert busy["disk_read"] >= 0
    idle, _ = target.read(4.0)
    assert idle["cpu"] <= 20


def test_children_count(puppet):
    """The tree's sums hold them, also what they did before they were first seen; a dead one is no event."""
    target = watching(puppet)
    alone, _ = target.read(0.0)
    puppet.tell("child()")
    puppet.tell("ask('burn(0.5)')")
    both, _ = target.read(10.0)
    assert (alone["processes"], both["processes"]) == (1, 2)
    assert both["memory"] > alone["memory"] + 3 * MB
    assert 45 <= both["cpu"] <= 80
    for child in psutil.Process(puppet.pid).children():
        child.kill()
    puppet.tell("os.waitid(os.P_PID, held[-1].pid, os.WEXITED | os.WNOWAIT)")
    after, events = target.read(2000.0)
    assert after["processes"] == 1
    assert events == []


@pytest.mark.parametrize("kind", ["pid", "text"])
def test_a_death_is_an_event(puppets, kind):
    """Told once, and the figures are unknown from then on; a zombie is dead too."""
    puppet = puppets()
    target = watching(puppet, kind)
    target.read(0.0)
    puppet.kill(reap=False)
    os.waitid(os.P_PID, puppet.pid, os.WEXITED | os.WNOWAIT)
    figures, (event,) = target.read(1.0)
    assert {**event, "detail": ""} == {"t": 1.0, "what": "died", "label": "it", "pid": puppet.pid, "detail": ""}
    assert figures == {**dict.fromkeys(module.FIGURES), "processes": 0}
    assert target.read(100.0) == (figures, [])


def test_it_is_found_again(puppets):
    """By what it was called, not by its PID; the rates begin anew."""
    first = puppets()
    target = watching(first, "text")
    target.read(0.0)
    first.kill()
    target.read(1.0)
    second = puppets(first.mark)
    figures, (event,) = target.read(100.0)
    assert (event["what"], event["pid"], event["t"]) == ("came back", second.pid, 100.0)
    assert figures["processes"] == 1
    assert figures["cpu"] is None
    assert target.read(101.0)[1] == []


def test_a_restart_between_two_readings_is_both(puppets):
    """It died and it came back, although no reading was without it."""
    first = puppets()
    target = watching(first, "text")
    target.read(0.0)
    first.kill()
    puppets(first.mark)
    figures, events = target.read(1.0)
    assert [event["what"] for event in events] == ["died", "came back"]
    assert figures["processes"] == 1


def test_one_of_several_may_die(puppets):
    """The others are still watched."""
    first = puppets()
    other = puppets(first.mark)
    target = watching(first, "text")
    assert target.read(0.0)[0]["processes"] == 2
    other.kill()
    figures, (event,) = target.read(1.0)
    assert (figures["processes"], event["pid"]) == (1, other.pid)


def test_a_target_that_went_before_the_first_reading_died(puppets):
    """It was there when the option was read."""
    puppet = puppets()
    puppet.kill()
    figures, (event,) = watching(puppet).read(0.0)
    assert (figures["processes"], event["what"]) == (0, "died")


def test_a_pid_used_again_is_somebody_else(puppet, monkeypatch):
    """A process is its PID and when it was created."""
    target = watching(puppet)
    target.read(0.0)
    monkeypatch.setattr(psutil.Process, "is_running", lambda self: False)  # what psutil says of a reused PID
    assert [event["what"] for event in target.read(1.0)[1]] == ["died"]


def test_what_is_refused_is_unknown(puppet, monkeypatch):
    """One figure that nobody may read takes no other with it, and no sum passes for whole without it."""

    def refuse(*_: object) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil.Process, "io_counters", refuse)
    monkeypatch.setattr(module, "open_fds", refuse)
    monkeypatch.setattr(module, "_LINUX", False)
    monkeypatch.setattr(psutil.Process, "net_connections", refuse)
    target = watching(puppet)
    target.read(0.0)
    figures, _ = target.read(1.0)
    assert figures["disk_read"] is figures["disk_write"] is figures["fds"] is None
    assert "connections" not in figures or figures["connections"] is None
    assert figures["memory"] > 0
    assert figures["cpu"] is not None


@pytest.mark.parametrize("linux", [True, False])
def test_sockets_and_descriptors_are_counted_on_every_system(puppet, monkeypatch, linux):
    """By Linux's own ways, or by psutil's."""
    monkeypatch.setattr(module, "_LINUX", linux)
    puppet.tell("listen()")
    figures, _ = watching(puppet).read(0.0)
    assert figures["connections"] == 1
    assert figures["fds"] >= 4


def test_slow_work_is_done_seldom():
    """What took long is not due for as long as its share demands; it is due at first."""
    pace = Pace(0.01)
    assert pace.due(5.0)
    assert pace.run(5.0, lambda: sum(range(200_000))) == sum(range(200_000))
    assert not pace.due(5.0)
    assert not pace.due(5.02)
    assert pace.due(1000.0)
