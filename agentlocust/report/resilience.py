"""The windows of trouble on the console: a table of before, during and after, and a sentence each."""

from __future__ import annotations

from agentlocust.redact import terminal_safe
from agentlocust.report.lines import Line, cut, fit, wrapped
from agentlocust.summary import Summary
from agentlocust.summary.resilience_model import Span, WindowModel
from agentlocust.units import show_count, show_percent, show_seconds

MAX_WINDOWS = 3
_NAME = 24


def resilience_lines(summary: Summary) -> list[Line]:
    """At most three windows, those with the least available first to stay."""
    windows = summary.resilience.windows
    if not windows:
        return []
    worst = sorted(windows, key=lambda window: (window.recovery_s is not None, _availability(window)))[:MAX_WINDOWS]
    words = ("calls", "available", "lat p50", "lat p95", "peak req/s")
    lines = [Line(cut(f"{'trouble':<{_NAME}}" + "".join(f"{word:>11}" for word in words)).rstrip())]
    for window in sorted(worst, key=lambda window: window.start_s):
        name = fit(terminal_safe(window.name), 12)
        lines.append(_span(f"{name} before", window.before, window.usual_rate))
        lines.append(_span(f"{'':<12} {window.start_s:g}-{window.end_s:g} s", window.during, window.peak_rate))
        lines.append(_span(f"{'':<12} after", window.after, None))
        lines += wrapped(window.sentence, "yellow" if window.recovery_s is None else "")
    if len(windows) > MAX_WINDOWS:
        lines.append(Line(f"  … {len(windows) - MAX_WINDOWS} more windows, see summary.json", "dim"))
    return lines


def _availability(window: WindowModel) -> float:
    return 1.0 if window.during.availability is None else window.during.availability


def _span(label: str, span: Span, rate: float | None) -> Line:
    cells = (
        f"{span.calls:,}",
        "-" if span.availability is None else show_percent(span.availability),
        show_seconds(span.latency.p50) if span.latency else "-",
        show_seconds(span.latency.p95) if span.latency else "-",
        "" if rate is None else show_count(round(rate, 1)),
    )
    return Line(cut(f"{fit(label, _NAME)}" + "".join(f"{cell:>11}" for cell in cells)).rstrip())
