"""What the machine as a whole does."""

from __future__ import annotations

from types import SimpleNamespace

import psutil

from agentlocust.monitor.machine import Machine


def test_its_figures_are_plausible():
    """Shares are shares, memory adds up, the first reading has no rates."""
    machine = Machine()
    first = machine.read(0.0)
    assert first["cpu"] is first["steal"] is first["net_sent"] is first["disk_read"] is None
    sum(range(2_000_000))
    figures = machine.read(1.0)
    assert 0 <= figures["cpu"] <= 1000
    assert 0 <= figures["steal"] <= 1000
    assert figures["memory"] + figures["memory_available"] == psutil.virtual_memory().total
    assert all(isinstance(value, int) and value >= 0 for value in figures.values() if value is not None)


def test_rates_leave_loopback_out_and_never_go_back(monkeypatch):
    """Bytes a second of real cards; a card that went away makes no negative rate."""
    cards = {name: SimpleNamespace(bytes_sent=0, bytes_recv=0) for name in ("lo", "eth0")}
    monkeypatch.setattr(psutil, "net_io_counters", lambda pernic: cards)
    machine = Machine()
    machine.read(0.0)
    cards["lo"].bytes_sent, cards["eth0"].bytes_sent = 10**9, 5000
    assert machine.read(2.0)["net_sent"] == 2500
    cards["eth0"].bytes_sent = 0
    assert machine.read(3.0)["net_sent"] == 0


def test_what_the_system_hides_is_unknown(monkeypatch):
    """In containers parts of /proc are not there."""

    def hidden(*_: object, **__: object) -> None:
        raise OSError

    for name in ("disk_io_counters", "net_io_counters", "swap_memory", "getloadavg"):
        monkeypatch.setattr(psutil, name, hidden)
    machine = Machine()
    machine.read(0.0)
    figures = machine.read(1.0)
    hidden_ones = ("disk_read", "disk_write", "net_sent", "net_recv", "swap", "load")
    assert [figures[name] for name in hidden_ones] == [None] * 6
    assert figures["memory"] > 0
