"""What the load was and what it found out: phases, arrivals, findings, what limited the test."""

from __future__ import annotations

import textwrap

from agentlocust.metrics import SCALE, Unit
from agentlocust.records import WARMUP_PHASE
from agentlocust.redact import terminal_safe
from agentlocust.report.lines import WIDTH, Line, cut, fit, safe, wrapped
from agentlocust.sketch import Sketch
from agentlocust.summary import Summary
from agentlocust.summary.load_model import PhaseRow
from agentlocust.units import show_count, show_percent, show_seconds, show_span

MAX_PHASES = 8
MAX_SENTENCES = 4
NOT_FOUND = "not found"
_NAME = 17


def finding_lines(summary: Summary) -> list[Line]:
    """What the shape found out, a sentence a line or two."""
    if summary.shape is None:
        return []
    style = "bold" if summary.shape.complete else "yellow"
    texts = [safe(sentence, 2 * WIDTH) for sentence in summary.shape.sentences[:MAX_SENTENCES]]
    name = terminal_safe(summary.shape.name)
    return [
        Line(cut(line), style)
        for number, text in enumerate(texts)
        for line in textwrap.wrap(
            text if number else f"{name}: {text}", WIDTH, subsequent_indent="  ", max_lines=2, placeholder=" …"
        )
    ]


def condition_lines(summary: Summary) -> list[Line]:
    """The checks that were the shape's to look at, so that nobody takes them for met or forgotten."""
    shape = summary.shape
    if shape is None or not shape.conditions:
        return []
    return wrapped(f"not judged, as the load sought the limit: {'; '.join(shape.conditions)}")


def phase_lines(summary: Summary) -> list[Line]:
    """A table of the phases, when there are several; of many the first and the last."""
    rows = [row for row in summary.phase_rows if row.calls + row.runs or row.seconds >= 1]
    if sum(row.name != WARMUP_PHASE for row in rows) < 2:
        return []
    words = ("time", "calls", "failed", "calls/s", "ttft p95", "lat p50", "lat p95")
    header = f"{'phase':<{_NAME}}" + "".join(f"{word:>9}" for word in words)
    if len(rows) <= MAX_PHASES:
        return [Line(cut(header)), *map(_phase, rows)]
    half = MAX_PHASES // 2
    hidden = Line(f"  … {len(rows) - MAX_PHASES + 1} more phases, see summary.json", "dim")
    return [Line(cut(header)), *map(_phase, rows[:half]), hidden, *map(_phase, rows[1 - half :])]


def _phase(row: PhaseRow) -> Line:
    cells = (
        show_span(row.seconds),
        f"{row.calls:,}",
        f"{row.failed:,}",
        show_count(round(row.throughput, 1)),
        show_seconds(row.ttft.p95) if row.ttft else "-",
        show_seconds(row.latency.p50) if row.latency else "-",
        show_seconds(row.latency.p95) if row.latency else "-",
    )
    return Line(cut(f"{fit(terminal_safe(row.name), _NAME)}" + "".join(f"{cell:>9}" for cell in cells)))


def arrival_lines(summary: Summary) -> list[Line]:
    """Offered and achieved rate, and how late tasks began, of an open-loop test."""
    if not summary.arrivals:
        return []
    offered, started = (sum(getattr(row, name) for row in summary.arrivals) for name in ("offered", "started"))
    late = sum(row.late for row in summary.arrivals)
    lag = Sketch()
    for row in summary.arrivals:
        lag.merge(Sketch.decode(row.sketch))
    seconds = sum({row.phase: row.seconds for row in summary.arrivals}.values())
    parts = [f"{offered:,} offered"]
    if seconds:
        parts = [f"offered {_rate(offered / seconds)}", f"achieved {_rate(started / seconds)}"]
    if late:
        parts.append(f"{show_percent(late / offered)} found no user")
    if lag.count:
        parts.append(f"lag p99 {show_seconds(lag.percentile(99) / SCALE[Unit.SECONDS])}")
    return [Line(cut("arrivals " + "   ".join(parts)), "yellow" if late else "")]


def _rate(per_s: float) -> str:
    return f"{show_count(round(per_s, 2))}/s" if per_s >= 1 else f"{show_count(round(per_s * 60, 2))}/min"


def limit_lines(summary: Summary) -> list[Line]:
    """What limited the test, and what drifted in it."""
    lines = []
    searches = summary.shape is not None and summary.shape.searches
    if summary.bottleneck.get("limit", NOT_FOUND) != NOT_FOUND or (searches and summary.bottleneck):
        lines += wrapped(str(summary.bottleneck["sentence"]))
    for drift in summary.drift:
        if drift.get("matters"):
            lines += wrapped(str(drift["sentence"]), "yellow")
    for warning in summary.warnings[:2]:
        lines += wrapped(warning, "yellow")
    return lines[:6]


def watch_lines(summary: Summary) -> list[Line]:
    """CPU and memory of what was watched, the events, and the alerts that fired."""
    lines = []
    for name, metrics in summary.monitor.get("subjects", {}).items():
        if not name.startswith("target:"):
            continue
        cpu, memory = metrics.get("cpu"), metrics.get("memory")
        parts = [f"CPU mean {cpu['mean'] / 10:.0f}%, max {cpu['max'] / 10:.0f}%" if cpu else ""]
        parts.append(f"memory max {memory['max'] / 1e6:,.0f} MB" if memory else "")
        label = terminal_safe(name.removeprefix("target:"))
        lines.append(Line(cut(f"watched {fit(label, 15)} " + "   ".join(filter(None, parts)))))
    for event in summary.monitor.get("events", ())[:2]:
        lines.append(Line(cut(f"  {event['t']:.0f} s: {safe(str(event['label']), 40)} {event['what']}"), "red"))
    for alert in summary.monitor.get("alerts", ())[:2]:
        told = f"alert   {safe(str(alert['alert']), 44)}  at {alert['first_s']:.0f} s, worst {alert['peak_shown']}"
        lines.append(Line(cut(told), "yellow"))
    return lines
