"""Alert rules: `METRIC(SUBJECT) OP NUMBER[UNIT] [for DURATION]`, such as `cpu(target) > 90% for 10s`.

Of what the monitor reads, or of the measurement as it goes: `error_rate > 5% for 5s`. Every error
points at the words that are wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from agentlocust import units
from agentlocust.config import did_you_mean
from agentlocust.errors import ConfigError
from agentlocust.sla.expression import OPERATORS
from agentlocust.summary.model import Point

MAX_LENGTH = 500


class Measure(StrEnum):
    """What the numbers of a metric are."""

    SHARE = "share"  # 1 is one core, all of a machine or of a cache
    BYTES = "bytes"
    BYTES_PER_SECOND = "bytes/s"
    COUNT = "count"
    SECONDS = "s"
    PER_SECOND = "/s"


_EVERYWHERE = ("target", "machine", "generator")
_PROCESSES = ("target", "generator")
METRICS: dict[str, tuple[Measure, tuple[str, ...]]] = {
    "cpu": (Measure.SHARE, _EVERYWHERE),  # of one core, so it may be above 100%; a machine's is of all its cores
    "memory": (Measure.BYTES, _EVERYWHERE),  # with a limit in %: of the machine's memory, see `memory_share`
    "threads": (Measure.COUNT, _PROCESSES),
    "fds": (Measure.COUNT, _PROCESSES),
    "connections": (Measure.COUNT, _PROCESSES),
    "processes": (Measure.COUNT, ("target",)),
    "disk_read": (Measure.BYTES_PER_SECOND, ("target", "machine")),
    "disk_write": (Measure.BYTES_PER_SECOND, ("target", "machine")),
    "net_sent": (Measure.BYTES_PER_SECOND, ("machine",)),
    "net_recv": (Measure.BYTES_PER_SECOND, ("machine",)),
    "running": (Measure.COUNT, ("server",)),
    "queued": (Measure.COUNT, ("server",)),
    "kv_cache": (Measure.SHARE, ("server",)),
}
LIVE: dict[str, Measure] = {
    "error_rate": Measure.SHARE,
    "throughput": Measure.PER_SECOND,
    "p50(ttft)": Measure.SECONDS,
    "p95(ttft)": Measure.SECONDS,
    "p50(latency)": Measure.SECONDS,
    "p95(latency)": Measure.SECONDS,
}
_SUBJECTS = ("target", "machine", "generator", "server")
_BYTES = {"": 1, "B": 1, "kB": 10**3, "KB": 10**3, "KiB": 2**10}
_BYTES |= {"MB": 10**6, "MiB": 2**20, "GB": 10**9, "GiB": 2**30, "TB": 10**12, "TiB": 2**40}
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([A-Za-z]*)\Z")
_HEAD = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_.]*)\s*")
_SUBJECT = re.compile(r"\((.*?)\)\s*(?=[<>=!≤≥]|\Z)")
_OPERATOR = re.compile(r"[<>=!≤≥]+")
_FOR = re.compile(r"\s+for\s+")


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule. `limit` is in base units (a share, bytes, seconds, a count), `seconds` how long it must hold.

    `key` begins the names of the values it looks at: `cpu(target:` is any target, `cpu(machine)` just that.
    """

    text: str
    key: str
    measure: Measure
    op: str
    limit: float
    seconds: float = 0.0

    def among(self, values: Mapping[str, float]) -> list[float]:
        """The values it is about; [] when none is known."""
        if self.key.endswith(":"):
            return [value for name, value in values.items() if name.startswith(self.key)]
        value = values.get(self.key)
        return [] if value is None else [value]

    def shown(self, number: float) -> str:
        """A number in this rule's unit, as people read it."""
        if self.measure is Measure.SHARE:
            return units.show_percent(number)
        if self.measure is Measure.SECONDS:
            return units.show_seconds(number)
        if self.measure in (Measure.BYTES, Measure.BYTES_PER_SECOND):
            per = "/s" if self.measure is Measure.BYTES_PER_SECOND else ""
            return f"{number / 1e6:,.1f} MB{per}"
        return units.show_count(number) + ("/s" if self.measure is Measure.PER_SECOND else "")


def parse_alert(text: str, *, labels: Iterable[str] = (), where: str = "--alert") -> Alert:
    """Read one rule; `labels` are those of `--watch`. Raises ConfigError that points at the wrong words."""
    if not isinstance(text, str):  # from a file, where anything can stand
        raise ConfigError(f"a rule is text, not {type(text).__name__}", where=where, hint=_HINT)
    if len(text) > MAX_LENGTH:
        raise ConfigError(f"a rule longer than {MAX_LENGTH} characters", where=where)
    return _Parser(" ".join(text.split()), where, list(labels)).alert()


_HINT = "write 'cpu(target) > 90% for 10s' or 'error_rate > 5%'"


class _Parser:
    """Reads one rule from left to right."""

    def __init__(self, text: str, where: str, labels: list[str]) -> None:
        self._text = text
        self._where = where
        self._labels = labels

    def alert(self) -> Alert:
        head = _HEAD.match(self._text)
        if head is None:
            raise self._error("expected a metric", 0, hint=_HINT)
        subject = _SUBJECT.match(self._text, head.end())
        at = head.end() if subject is None else subject.end()
        if subject is None and self._text[at : at + 1] == "(":
            raise self._error("expected ')'", len(self._text))
        key, measure = self._subject(head[1], subject)
        found = _OPERATOR.match(self._text, at)
        if found is None:
            raise self._error("expected one of < <= > >=", at)
        if found[0] not in OPERATORS:
            raise self._error(f"unknown operator {found[0]!r}", at, found[0], "one of < <= > >= == !=")
        parts = _FOR.split(self._text[found.end() :], maxsplit=1)
        number, at = parts[0].strip(), found.end() + len(parts[0]) - len(parts[0].lstrip())
        if number.endswith("%") and key.startswith("memory("):
            key, measure = key.replace("memory(", "memory_share(", 1), Measure.SHARE
        limit = self._read(number, at, measure)
        seconds = 0.0
        if len(parts) > 1:
            at = len(self._text) - len(parts[1])
            try:
                seconds = units.parse_duration(parts[1])
            except ConfigError as error:
                raise self._error(error.what, at, parts[1], error.hint) from None
        return Alert(self._text, key, measure, found[0], limit, seconds)

    def _subject(self, metric: str, subject: re.Match[str] | None) -> tuple[str, Measure]:
        """The key of the values and their measure."""
        whole = metric if subject is None else f"{metric}({subject[1].strip()})"
        if whole in LIVE:
            return whole, LIVE[whole]
        if metric not in METRICS:
            near = did_you_mean(metric, [*METRICS, *LIVE]) or f"one of {', '.join([*METRICS, *LIVE])}"
            raise self._error(f"unknown metric {whole!r}", 0, whole, near)
        measure, subjects = METRICS[metric]
        if subject is None:
            raise self._error(f"{metric} of what?", 0, metric, f"write {metric}({subjects[0]})")
        name = subject[1].strip()
        if name not in _SUBJECTS:
            if name not in self._labels:
                near = did_you_mean(name, [*subjects, *self._labels])
                near = near or f"one of {', '.join(subjects)}, or what --watch says"
                raise self._error(f"nothing is watched as {name!r}", subject.start(1), name, near)
            kind, key = "target", f"{metric}(target:{name})"
        else:
            kind, key = name, f"{metric}(machine)" if name == "machine" else f"{metric}({name}:"
        if kind not in subjects:
            raise self._error(f"{metric} is not read of a {kind}", subject.start(1), name, f"of: {', '.join(subjects)}")
        return key, measure

    def _read(self, raw: str, at: int, measure: Measure) -> float:
        if not raw:
            raise self._error("expected a number", len(self._text))
        try:
            return _number(raw, measure)
        except ConfigError as error:
            raise self._error(error.what, at, raw, error.hint) from None

    def _error(self, what: str, at: int, wrong: str = "", hint: str = "") -> ConfigError:
        caret = " " * at + "^" * max(len(wrong), 1)
        return ConfigError(f"{what}\n  {self._text}\n  {caret}", where=self._where, hint=hint)


def _number(raw: str, measure: Measure) -> float:
    if measure is Measure.SHARE:
        return units.parse_percent(raw)
    if measure is Measure.SECONDS:
        return units.parse_duration(raw)
    if measure is Measure.PER_SECOND:
        return units.parse_rate(raw)
    if measure is Measure.COUNT:
        return units.parse_number(raw)
    per_second = measure is Measure.BYTES_PER_SECOND
    example = "5MB/s" if per_second else "500MB, 2GiB or 90%"
    amount, slash, per = raw.partition("/")
    size = _SIZE.match(amount.strip())
    if size is None or size[2] not in _BYTES or bool(slash) is not per_second or (slash and per.strip() != "s"):
        raise ConfigError(f"{raw!r} is not {'a rate' if per_second else 'a size'} in bytes", hint=f"write {example}")
    return float(size[1]) * _BYTES[size[2]]


class AlertState:
    """One rule over a test: what it says now, how often it fired, when, and how bad it was."""

    def __init__(self, alert: Alert) -> None:
        self.alert = alert
        self.firing = False
        self._since: float | None = None
        self._worst: float | None = None  # since then
        self._times = 0
        self._first = self._last = 0.0
        self._peak: float | None = None

    def update(self, t: float, values: Mapping[str, float]) -> str | None:
        """Look at the values at second `t`: "fired", "cleared", or None when nothing changed.

        It fires once the condition has held at every look for its time, of any of the subjects meant. What
        is unknown changes nothing: a second in which no call ended says nothing of latency.
        """
        known = self.alert.among(values)
        if not known:
            return None
        holds = OPERATORS[self.alert.op]
        worst = min(known) if "<" in self.alert.op else max(known)
        if not any(holds(value, self.alert.limit) for value in known):
            was, self.firing, self._since, self._worst = self.firing, False, None, None
            return "cleared" if was else None
        if self._since is None:
            self._since = t
        self._worst = self._worse(self._worst, worst)
        if not self.firing and t - self._since < self.alert.seconds:
            return None
        self._peak, self._last = self._worse(self._peak, self._worst), t
        if self.firing:
            return None
        self.firing = True
        self._times += 1
        if self._times == 1:
            self._first = t
        return "fired"

    @property
    def observed(self) -> float | None:
        """The worst value since the condition began to hold; None while it does not."""
        return self._worst

    def record(self) -> dict[str, Any] | None:
        """What a Summary keeps, None when it never fired: `first_s` fired, `last_s` last held, and its `peak`."""
        if not self._times or self._peak is None:
            return None
        return {
            "alert": self.alert.text,
            "times": self._times,
            "first_s": round(self._first, 2),
            "last_s": round(self._last, 2),
            "peak": self._peak,
            "peak_shown": self.alert.shown(self._peak),
            "firing": self.firing,
        }

    def _worse(self, one: float | None, other: float) -> float:
        if one is None:
            return other
        return min(one, other) if "<" in self.alert.op else max(one, other)


def live_values(point: Point, seconds: float = 1.0) -> dict[str, float]:
    """The values of the rules on measurement, from a step of `seconds` of the test's series."""
    values = {"throughput": (point.calls - point.failed) / seconds}
    if point.calls:
        values["error_rate"] = point.failed / point.calls
    for metric in ("ttft", "latency"):
        for percentile in ("p50", "p95"):
            value = getattr(point, f"{metric}_{percentile}")
            if value is not None:
                values[f"{percentile}({metric})"] = value
    return values
