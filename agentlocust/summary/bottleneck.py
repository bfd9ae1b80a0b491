"""What limited a test, told from its own figures; "not found" rather than a guess.

The causes are asked in an order: each would make the signs of the later ones, so the first that
shows is named and the others become evidence. A full CPU makes calls queue, never the reverse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile
from math import sqrt
from statistics import fmean, median

from agentlocust.failures import FailureKind
from agentlocust.metrics import SCALE, Kind, Unit
from agentlocust.records import WARMUP_PHASE
from agentlocust.summary import courses
from agentlocust.summary.model import Point, Row, Summary
from agentlocust.summary.outermost import has_outermost
from agentlocust.trend import ranks
from agentlocust.units import show_count, show_percent, show_seconds


class Limit(StrEnum):
    """What can limit a test, in the order of asking."""

    DEAD = "dead target"
    GENERATOR = "generator"
    RATE_LIMIT = "rate limit"
    TARGET_MEMORY = "target memory"
    TARGET_CPU = "target CPU"
    CONNECTIONS = "connection pool"
    QUEUEING = "queueing"
    DECODE = "decode"
    TOOLS = "tool latency"
    NOT_FOUND = "not found"


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """What limited the test, in a sentence, with the figures it was told from."""

    limit: Limit
    sentence: str
    evidence: list[str]


RATE_LIMITED_SHARE = 0.02  # of calls: fewer are a limit's edge, not what holds a test back
REFUSED_SHARE = 0.02  # of calls that got no connection: the same for a full backlog
CPU_FULL = 0.85  # of the cores it can use: above it queues grow by themselves (at 85% a wait is 6 services long)
CPU_BEYOND = 1.15  # of these cores: who was ever above can use more of them than was thought
MACHINE_FULL = 0.95  # of all cores: the rest is the kernel's own rounding
MACHINE_PART = 0.5  # cores: who uses less of a full machine is the one that others leave nothing
MEMORY_LEFT = 0.05  # of the machine's memory: below it the kernel evicts what it needs again
SWAPPED = 64 * 2**20  # bytes more in swap than at the start: less is spring cleaning
CONNECTING_SHARE = 0.3  # of the time to the first token, spent opening connections
NEW_SHARE = 0.5  # of calls on a new connection: fewer, and the rest is not held up by opening
LEAST_STEPS = 12  # of the series with calls in them, to speak of a relation
LEAST_READINGS = 8  # of the monitor
LOAD_VARIED = 1.5  # heavy over light load: less of a difference shows nothing
RELATED = 0.6  # rank correlation with load: for 12 steps the chance of it by accident is 2%
TTFT_GREW = 1.5  # heavy over light load, and by 20 ms at least: jitter reaches neither
TTFT_GREW_S = 0.02
TPOT_FLAT = 1.2  # heavy over light load: batches slow each other a little without being the limit
TPOT_GREW = 1.3
TPOT_GREW_S = 0.001  # a millisecond a token: less is timer noise
DEAD_STEPS = 3  # of the series, the last ones, without a good call: a restart is over sooner
DEAD_SHARE = 0.9  # of their calls got no connection
TOOLS_SHARE = 0.5  # of the runs' time: then nothing else can matter more

_NS = SCALE[Unit.SECONDS]


def bottleneck(summary: Summary) -> Bottleneck:
    """What limited the test. Reads the Summary and nothing else; its monitor's part if there is one."""
    found = {limit: evidence for limit, ask in _CAUSES if (evidence := ask(summary))}
    if not found:
        unwatched = not courses.subjects(summary, courses.TARGET)
        hint = "; with --watch its CPU and memory would be seen" if unwatched else ""
        return Bottleneck(Limit.NOT_FOUND, f"what limited the test was not found{hint}", [])
    limit = next(iter(found))
    evidence = [line for lines in found.values() for line in lines]
    return Bottleneck(limit, f"limited by {limit}: {found[limit][0]}", evidence)


def _found_cause(summary: Summary) -> str:
    """Why the shape of the test says that the target reached its limit; "" when it says nothing."""
    cause = summary.shape.figures.get("cause") if summary.shape is not None else None
    return str(cause) if cause and cause != "generator saturated" else ""


def _told(summary: Summary, cause: str) -> list[str]:
    """What the shape of the test says of this cause, when it found it."""
    if summary.shape is None or _found_cause(summary) != cause:
        return []
    return [str(summary.shape.figures.get("shows"))]


def _dead(summary: Summary) -> list[str]:
    last = list(takewhile(lambda point: point.failed == point.calls, reversed(summary.series)))
    lost = sum(point.calls for point in last)
    refused = sum(_own(row, kind) for row in _rows(summary, Kind.LLM) for kind in ("connect", "reset"))
    if sum(bool(point.calls) for point in last) < DEAD_STEPS or refused < DEAD_SHARE * lost:
        return []
    return [f"from {last[-1].t:.0f} s on none of {lost:,} calls reached it"]


def _generator(summary: Summary) -> list[str]:
    generator = summary.generator
    if generator is None or generator.grade == "valid" or _found_cause(summary):
        return []  # whoever found a cause in the target has looked at the generator, level by level
    reasons = [reason for reason in summary.validity.reasons if "generator" in reason or "rated" in reason]
    return reasons or [f"the generator was {generator.grade}"]


def _rate_limit(summary: Summary) -> list[str]:
    if told := _told(summary, "rate limited"):
        return told
    share, calls = _failed_share(summary, FailureKind.RATE_LIMITED)
    return [f"{show_percent(share)} of {calls:,} calls were told 429"] if share >= RATE_LIMITED_SHARE else []


def _target_memory(summary: Summary) -> list[str]:
    spans = courses.spans_of(summary)
    if not courses.subjects(summary, courses.TARGET):
        return []
    for machine in courses.subjects(summary, courses.MACHINE):
        free = courses.reading(summary, machine, "memory_available", spans, "low")
        used = courses.reading(summary, machine, "memory", spans)
        if free and used:
            least = min(value for _, value in free)
            share = least / (free[0][1] + used[0][1])
            if share <= MEMORY_LEFT:
                return [f"the machine had {show_percent(share)} of its memory left"]
        swap = [value for _, value in courses.reading(summary, machine, "swap", spans)]
        if swap and swap[-1] - swap[0] >= SWAPPED:
            return [f"the machine swapped {(swap[-1] - swap[0]) / 1e6:,.0f} MB out"]
    return []


def _target_cpu(summary: Summary) -> list[str]:
    spans = courses.spans_of(summary)
    for label in courses.subjects(summary, courses.TARGET):
        cores = [value / 1000 for _, value in courses.reading(summary, label, "cpu", spans)]
        if len(cores) < LEAST_READINGS:
            continue
        busy = _busiest_half(cores)
        processes = [value for _, value in courses.reading(summary, label, "processes", spans) if value]  # 0: it died
        # A server's parent often only watches its workers.
        count = round(median(processes)) if processes else 1
        for usable in {count, max(count - 1, 1)}:
            if busy >= CPU_FULL * usable and _quantile(cores, 0.95) <= CPU_BEYOND * usable:
                of = f"{usable} core{'' if usable == 1 else 's'}, as many as its processes"
                return [f"{label} used {show_percent(busy / usable)} of {of} in its busiest half"]
        for machine in courses.subjects(summary, courses.MACHINE):
            whole = [value / 1000 for _, value in courses.reading(summary, machine, "cpu", spans)]
            if busy >= MACHINE_PART and len(whole) >= LEAST_READINGS and _busiest_half(whole) >= MACHINE_FULL:
                used = f"{show_percent(_busiest_half(whole))} of the machine's CPU"
                return [f"{used} was used in its busiest half, {show_count(busy)} cores by {label}"]
    return []


def _connections(summary: Summary) -> list[str]:
    refused, calls = _failed_share(summary, FailureKind.CONNECT)
    if _dead(summary):
        return []
    if refused >= REFUSED_SHARE:
        return [f"{show_percent(refused)} of {calls:,} calls got no connection"]
    rows = _rows(summary, Kind.LLM)
    new = sum(row.connections.get("new", 0) for row in rows)
    used = new + sum(row.connections.get("reused", 0) for row in rows)
    answered = sum(_sum(row, "ttft") for row in rows) or sum(_sum(row, "latency") for row in rows)
    opening = sum(_sum(row, part) for row in rows for part in ("dns", "connect", "tls"))
    if used and answered and new >= NEW_SHARE * used and opening >= CONNECTING_SHARE * answered:
        share = show_percent(opening / answered)
        return [f"{show_percent(new / used)} of calls opened a connection, {share} of the time to their first token"]
    return []


@dataclass(frozen=True, slots=True)
class _Compared:
    """A time under light and under heavy load, in seconds, and its rank correlation with load."""

    light: float
    heavy: float
    related: float

    def grew(self, ratio: float, least_s: float) -> bool:
        big = self.heavy >= ratio * self.light and self.heavy - self.light >= least_s
        return big and self.related >= RELATED

    def __str__(self) -> str:
        return f"from {show_seconds(self.light)} to {show_seconds(self.heavy)}"


def _queueing(summary: Summary) -> list[str]:
    if told := _told(summary, "queueing"):
        return told
    axis, ttft = _by_load(summary, lambda point: point.ttft_p50)
    tpot_axis, tpot = _by_load(summary, lambda point: point.tpot_p50)
    if ttft is None or tpot is None or not ttft.grew(TTFT_GREW, TTFT_GREW_S) or axis != tpot_axis:
        return []
    if tpot.heavy > TPOT_FLAT * tpot.light:
        return []
    return [f"ttft rose {ttft} {axis}, while a token kept taking {show_seconds(tpot.heavy)}"]


def _decode(summary: Summary) -> list[str]:
    if told := _told(summary, "decode slowed"):
        return told
    axis, tpot = _by_load(summary, lambda point: point.tpot_p50)
    if tpot is None or not tpot.grew(TPOT_GREW, TPOT_GREW_S):
        return []
    return [f"the time of a token rose {tpot} {axis}"]


def _tools(summary: Summary) -> list[str]:
    runs = sum(_sum(row, "run_latency") for row in _rows(summary, Kind.AGENT) if has_outermost(row))
    tools = sum(_sum(row, "tool_latency") for row in _rows(summary, Kind.TOOL))
    if not runs or tools < TOOLS_SHARE * runs:
        return []
    return [f"tools took {show_percent(min(tools / runs, 1.0))} of the agent runs' time"]


_CAUSES: tuple[tuple[Limit, Callable[[Summary], list[str]]], ...] = (
    (Limit.DEAD, _dead),
    (Limit.GENERATOR, _generator),
    (Limit.RATE_LIMIT, _rate_limit),
    (Limit.TARGET_MEMORY, _target_memory),
    (Limit.TARGET_CPU, _target_cpu),
    (Limit.CONNECTIONS, _connections),
    (Limit.QUEUEING, _queueing),
    (Limit.DECODE, _decode),
    (Limit.TOOLS, _tools),
)


def _by_load(summary: Summary, read: Callable[[Point], float | None]) -> tuple[str, _Compared | None]:
    """A time under light and heavy load: by users, else by starts a second, else by time.

    Time stands for load where a backlog grows under a steady rate.
    """
    points = courses.points_within(summary, courses.spans_of(summary))  # users who leave wait in a queue no longer fed
    timed = [(point, value) for point in points if (value := read(point)) is not None]
    if len(timed) < LEAST_STEPS:
        return "", None
    axes: tuple[tuple[str, Callable[[Point], float | None]], ...] = (
        ("as users rose", lambda point: point.users),
        ("as the rate rose", lambda point: point.started),
    )
    for words, load in axes:
        pairs = [(level, value) for point, value in timed if (level := load(point)) is not None]
        if len(pairs) < LEAST_STEPS:
            continue
        levels = sorted(level for level, _ in pairs)
        third = len(levels) // 3
        if fmean(levels[-third:]) >= LOAD_VARIED * max(fmean(levels[:third]), 1e-9):
            return words, _compared(pairs)
    if summary.shape is not None and summary.shape.searches:
        return "", None  # its load goes up and down
    return "during the test", _compared([(point.t, value) for point, value in timed])


def _compared(pairs: Sequence[tuple[float, float]]) -> _Compared:
    ordered = sorted(pairs, key=lambda pair: pair[0])
    third = len(ordered) // 3
    return _Compared(
        light=median(value for _, value in ordered[:third]),
        heavy=median(value for _, value in ordered[-third:]),
        related=_rank_correlation([load for load, _ in pairs], [value for _, value in pairs]),
    )


def _rank_correlation(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Spearman's rho, equal values sharing the mean of their ranks; 0 where one of both never changes."""
    a, b = _centred_ranks(xs), _centred_ranks(ys)
    power = sqrt(sum(x * x for x in a) * sum(y * y for y in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / power if power else 0.0


def _centred_ranks(values: Sequence[float]) -> list[float]:
    middle = (len(values) - 1) / 2
    return [rank - middle for rank in ranks(values)]


def _rows(summary: Summary, kind: Kind) -> list[Row]:
    return [row for row in summary.rows if row.kind == kind.value and row.phase != WARMUP_PHASE]


def _failed_share(summary: Summary, kind: FailureKind) -> tuple[float, int]:
    rows = _rows(summary, Kind.LLM)
    calls = sum(row.count for row in rows)
    failed = sum(_own(row, kind) for row in rows)
    return (failed / calls if calls else 0.0), calls


def _own(row: Row, kind: str) -> int:
    """The target's own failures of a kind: what the test's fault plan broke tells nothing of its limits."""
    return row.failures.get(str(kind), 0) - row.injected_failures.get(str(kind), 0)


def _sum(row: Row, metric: str) -> float:
    """The exact sum of a row's times, in seconds."""
    return row.sketches[metric][1] / _NS if metric in row.sketches else 0.0


def _busiest_half(values: Sequence[float]) -> float:
    return fmean(sorted(values)[len(values) // 2 :])


def _quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]
