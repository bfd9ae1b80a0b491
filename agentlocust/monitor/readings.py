"""Everything the monitor read in one test: bounded series by subject and metric, and what happened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agentlocust.health import Second
from agentlocust.monitor.series import SHOWN_POINTS, Series

MAX_EVENTS = 1000
MAX_SERIES = 2000
_ROUND = 64  # readings in which every series gets its turn to be halved

# What the integers of a metric are.
UNITS = {
    "cpu": "thousandths of a core",
    "steal": "thousandths",
    "utilisation": "thousandths",
    "kv_cache": "thousandths",
    "load": "thousandths",
    "memory": "bytes",
    "memory_available": "bytes",
    "swap": "bytes",
    "disk_read": "bytes/s",
    "disk_write": "bytes/s",
    "net_sent": "bytes/s",
    "net_recv": "bytes/s",
    "threads": "count",
    "fds": "count",
    "connections": "count",
    "processes": "count",
    "running": "count",
    "queued": "count",
    "power": "milliwatts",
    "temperature": "°C",
}
# A generator's own vitals: our metric, the field of its seconds.
_GENERATOR = (
    ("cpu", "cpu"),
    ("memory", "rss"),
    ("connections", "sockets"),
    ("threads", "threads"),
    ("fds", "fds"),
)


def unit_of(subject: str, metric: str) -> str:
    """What the figures of a metric are in; a server's own metric is in thousandths (of a counter: per second)."""
    if metric == "cpu" and subject == "machine":
        return "thousandths of the machine"
    return UNITS.get(metric, "thousandths")


class Monitor:
    """Collects readings. Subjects are `machine`, `target:LABEL`, `generator:PROCESS`, `server:URL`, `gpu:N`.

    `started` is the monotonic second from which all times count. A reading takes about 0.1 ms: of
    series that are nearly full only a few are halved in each.
    """

    def __init__(self, started: float, interval_s: float = 1.0) -> None:
        self._started = started
        self._interval_s = interval_s
        self._series: dict[tuple[str, str], Series] = {}
        self._turn: list[Series] = []
        self._latest: dict[tuple[str, str], int] = {}
        self._events: list[dict[str, Any]] = []
        self._events_lost = 0

    def add(self, reading: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Take a reading of the sampler; its events, with times from the start, are handed back."""
        t = max(reading["t"] - self._started, 0.0)
        for subject, figures in reading["subjects"].items():
            for metric, value in figures.items():
                self._add(subject, metric, t, value)
        self._halve_some()
        events = [{**event, "t": round(max(event["t"] - self._started, 0.0), 2)} for event in reading["events"]]
        kept = events[: MAX_EVENTS - len(self._events)]
        self._events += kept
        self._events_lost += len(events) - len(kept)
        return events

    def add_generator(self, process: str, seconds: Iterable[Second | Sequence[int]]) -> None:
        """Take the seconds a Locust process told of, in order, as they are or encoded."""
        for told in seconds:
            second = told if isinstance(told, Second) else Second(*told)
            for metric, name in _GENERATOR:
                self._add(f"generator:{process}", metric, second.second + 1.0, getattr(second, name))
            self._halve_some()

    def points(self, subject: str, metric: str) -> list[tuple[float, float]]:
        """(seconds from the start, value) in order, thinned out; [] when it was never read."""
        series = self._series.get((subject, metric))
        return [] if series is None else series.points()

    def series(self, subject: str, metric: str) -> Series | None:
        """The series itself."""
        return self._series.get((subject, metric))

    @property
    def subjects(self) -> list[str]:
        """Everything that was read, in the order in which it first was."""
        return list(dict.fromkeys(subject for subject, _ in self._series))

    @property
    def events(self) -> Sequence[Mapping[str, Any]]:
        """What happened, in order: {t, what, label, pid, detail}."""
        return self._events

    def values(self) -> dict[str, float]:
        """The latest figures as alert rules know them: `cpu(target:8000)` in cores, bytes as bytes, counts as counts.

        `memory_share(…)` is of the machine's memory. A figure that is unknown now is not there.
        """
        found = {}
        used, free = (self._latest.get(("machine", name)) for name in ("memory", "memory_available"))
        total = used + free if used is not None and free is not None else 0
        for (subject, metric), value in self._latest.items():
            scale = 1000 if unit_of(subject, metric).startswith("thousandths") else 1
            found[f"{metric}({subject})"] = value / scale
            if metric == "memory" and total and subject.startswith(("machine", "target:")):
                found[f"memory_share({subject})"] = value / total
        return found

    def summary(self, alerts: Iterable[Mapping[str, Any]] = (), points: int = SHOWN_POINTS) -> dict[str, Any]:
        """The `monitor` part of a Summary: ints, with the unit of each metric beside them."""
        subjects: dict[str, dict[str, Any]] = {}
        for (subject, metric), series in self._series.items():
            stats = {"unit": unit_of(subject, metric), **series.encode(points)}
            subjects.setdefault(subject, {})[metric] = stats
        return {
            "interval_s": self._interval_s,
            "subjects": subjects,
            "events": list(self._events),
            "events_lost": self._events_lost,
            "alerts": [dict(alert) for alert in alerts],
        }

    def _add(self, subject: str, metric: str, t: float, value: int | None) -> None:
        key = subject, metric
        if value is None:
            self._latest.pop(key, None)
            return
        series = self._series.get(key)
        if series is None:
            if len(self._series) >= MAX_SERIES:
                return
            series = self._series[key] = Series()
        series.add(t, value)
        self._latest[key] = value

    def _halve_some(self) -> None:
        """All series are of one age: were each halved when it is full, all would be in one reading."""
        if not self._turn:
            self._turn = list(self._series.values())
        for _ in range(min(len(self._series) // _ROUND + 1, len(self._turn))):
            series = self._turn.pop()
            if series.nearly_full:
                series.halve()
