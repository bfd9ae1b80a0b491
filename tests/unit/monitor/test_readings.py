"""The readings of a test, kept small and told in one document."""

from __future__ import annotations

import json

from agentlocust.health import Second
from agentlocust.monitor import readings as module
from agentlocust.monitor.readings import Monitor
from agentlocust.monitor.series import MAX_POINTS


def reading(t: float, events=(), **subjects):
    return {"t": t, "subjects": subjects, "events": list(events)}


def test_readings_become_series_by_subject_and_metric():
    """Times count from the start; what is unknown leaves a gap, no zero."""
    monitor = Monitor(started=100.0)
    monitor.add(reading(101.0, machine={"cpu": 500, "swap": None}))
    monitor.add(reading(102.0, machine={"cpu": 700, "swap": None}))
    assert monitor.points("machine", "cpu") == [(1.0, 500.0), (2.0, 700.0)]
    assert monitor.points("machine", "swap") == monitor.points("nobody", "cpu") == []
    assert monitor.subjects == ["machine"]
    told = monitor.summary()["subjects"]["machine"]["cpu"]
    assert (told["unit"], told["min"], told["max"], told["mean"]) == ("thousandths of the machine", 500, 700, 600)


def test_the_generators_seconds_are_taken_as_they_travel():
    """As values or encoded: CPU, memory and sockets of each process."""
    monitor = Monitor(started=0.0)
    second = Second(0, 1, 2, 300, 400, 0, 12, 10**8)
    monitor.add_generator("worker-1", [second, Second(1, 1, 2, 500, 400, 0, 14, 10**8).encode()])
    assert monitor.points("generator:worker-1", "cpu") == [(1.0, 300.0), (2.0, 500.0)]
    assert monitor.points("generator:worker-1", "connections") == [(1.0, 12.0), (2.0, 14.0)]
    assert monitor.points("generator:worker-1", "memory")[-1] == (2.0, 1e8)


def test_values_are_in_base_units_for_alert_rules():
    """Cores, shares and bytes; a figure that is no longer known is gone."""
    monitor = Monitor(started=0.0)
    memory = {"memory": 3 * 10**9, "memory_available": 10**9}
    monitor.add(reading(1, machine={"cpu": 250, **memory}, **{"target:8000": {"cpu": 1500, "memory": 10**9, "fds": 7}}))
    values = monitor.values()
    assert values["cpu(machine)"] == 0.25
    assert values["cpu(target:8000)"] == 1.5
    assert values["memory(target:8000)"] == 10**9
    assert values["memory_share(target:8000)"] == 0.25
    assert values["memory_share(machine)"] == 0.75
    assert values["fds(target:8000)"] == 7
    monitor.add(reading(2, **{"target:8000": {"cpu": None, "processes": 0}}))
    assert "cpu(target:8000)" not in monitor.values()
    assert monitor.values()["processes(target:8000)"] == 0


def test_events_are_kept_and_bounded(monkeypatch):
    """Each has its time from the start; of a flood the first ones stay, the others are counted."""
    monkeypatch.setattr(module, "MAX_EVENTS", 3)
    monitor = Monitor(started=10.0)
    event = {"t": 12.3456, "what": "died", "label": "8000", "pid": 7, "detail": ""}
    assert monitor.add(reading(12.5, [event])) == [{**event, "t": 2.35}]
    for second in range(5):
        monitor.add(reading(13.0 + second, [event]))
    summary = monitor.summary(alerts=[{"alert": "cpu(target) > 90%"}])
    assert len(summary["events"]) == 3
    assert summary["events_lost"] == 3
    assert summary["alerts"] == [{"alert": "cpu(target) > 90%"}]


def test_the_document_is_plain_json():
    """Ints, texts and lists: it can be sent, stored and read again."""
    monitor = Monitor(started=0.0, interval_s=0.5)
    monitor.add(reading(1.0, machine={"cpu": 500}))
    summary = monitor.summary()
    assert json.loads(json.dumps(summary)) == summary
    assert summary["interval_s"] == 0.5


def test_no_reading_halves_all_series_at_once():
    """Hours of a hundred series: none overflows, and no single reading pays for more than a few."""
    monitor = Monitor(started=0.0)
    names = [f"m{number}" for number in range(100)]
    halved = []
    sizes = dict.fromkeys(names, 0)
    for second in range(3 * MAX_POINTS):
        monitor.add(reading(float(second), machine=dict.fromkeys(names, second)))
        now = {name: len(monitor.series("machine", name)) for name in names}
        halved.append(sum(now[name] < sizes[name] for name in names))
        sizes = now
    assert sum(halved) >= 2 * len(names)
    assert max(halved) <= 2
    assert max(sizes.values()) <= MAX_POINTS


def test_the_number_of_series_is_bounded(monkeypatch):
    """A server that makes up names cannot fill the memory."""
    monkeypatch.setattr(module, "MAX_SERIES", 5)
    monitor = Monitor(started=0.0)
    monitor.add(reading(1.0, machine={f"m{number}": 1 for number in range(50)}))
    assert len(monitor.summary()["subjects"]["machine"]) == 5
