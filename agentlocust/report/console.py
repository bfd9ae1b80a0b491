"""The console summary: at most 30 lines of 80 columns, the checks first, printed last.

Every name and text in it came from elsewhere, so each is made safe for a terminal and cut.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping, Sequence
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from agentlocust.redact import terminal_safe
from agentlocust.report.activity import activity_lines, failure_lines, generator_lines, latency_lines, show_lag
from agentlocust.report.lines import WIDTH, Line, cut, fit, safe, sides, wrapped
from agentlocust.report.load import arrival_lines, condition_lines, finding_lines, limit_lines, phase_lines, watch_lines
from agentlocust.report.resilience import resilience_lines
from agentlocust.summary import CheckResult, Summary
from agentlocust.units import show_percent, show_span

MAX_LINES = 30
_MIN_CHECKS = 4
_MAX_REASON_LINES = 5
_OBSERVED_AT = 40  # the column where a check's observed value stands

_EXIT_WORDS = {
    0: "passed",
    1: "requests failed",
    2: "could not start",
    3: "not valid",
    4: "report not written",
    5: "budget",
    99: "SLA",
    130: "interrupted",
    143: "interrupted",
}
_STYLES = {"passed": "bold green", "interrupted": "bold yellow"}


def console_lines(summary: Summary, results: str = "") -> list[Line]:
    """The summary as lines. `results` is the path that the last line points to."""
    head = _head(summary)
    tail = [
        *condition_lines(summary),
        *finding_lines(summary),
        *resilience_lines(summary),
        *phase_lines(summary),
        *latency_lines(summary),
        *activity_lines(summary),
        *arrival_lines(summary),
        *watch_lines(summary),
        *limit_lines(summary),
        *generator_lines(summary),
        *failure_lines(summary),
    ]
    end = _end(summary, results)
    room = MAX_LINES - len(head) - len(end)
    checks = summary.verdict.checks if summary.verdict else []
    # The checks may take what the rest leaves, and a few lines in any case.
    shown = _checks(checks, max(room - len(tail), _MIN_CHECKS))
    return [*head, *shown, *tail[: room - len(shown)], *end]


def render(summary: Summary, results: str = "") -> str:
    """The summary as plain text."""
    return "".join(f"{line.text}\n" for line in console_lines(summary, results))


def print_summary(summary: Summary, file: TextIO, results: str = "", environ: Mapping[str, str] | None = None) -> None:
    """Print the summary, coloured when `file` is a terminal and NO_COLOR is not set."""
    environ = os.environ if environ is None else environ
    if not file.isatty() or environ.get("NO_COLOR") or environ.get("TERM") == "dumb":
        encoding = getattr(file, "encoding", None) or "utf-8"
        file.write(render(summary, results).encode(encoding, "replace").decode(encoding))
        file.flush()
        return
    console = Console(file=file, markup=False, highlight=False, emoji=False, soft_wrap=True)
    for line in console_lines(summary, results):
        console.print(Text(line.text, style=line.style))


def _head(summary: Summary) -> list[Line]:
    validity, verdict = summary.validity, summary.verdict
    status = validity.status.upper()
    if validity.status == "valid" and verdict is not None and verdict.status == "invalid":
        status = "INVALID"
    lag = "" if validity.lag_p99_s is None else f"  lag p99 {show_lag(validity.lag_p99_s)}"
    version = safe(summary.test.versions.get("agentlocust", ""), 10)
    # What gives way, in this order: names, our version, the lag.
    full = f"agentlocust {version}".strip()
    for right, start in ((status + lag, full), (status + lag, "agentlocust"), (status, full)):
        left = _title(summary, start, WIDTH - 2 - cell_len(right))
        if cell_len(left + right) + 2 <= WIDTH:
            break
    lines = [Line(sides(left, right), "bold")]
    if summary.faults:
        lines += _faults_on(summary)
    lines += [line for reason in validity.reasons[:3] for line in _wrapped(reason)][:_MAX_REASON_LINES]
    if verdict is None:
        return lines
    reasons = [
        reason.replace(" checks failed", " checks") for reason in verdict.reasons if reason not in validity.reasons
    ]
    if verdict.reasons and not reasons:
        reasons = [validity.status]
    if not reasons:
        conditions = summary.shape is not None and summary.shape.conditions
        n = len(verdict.checks)
        none = "no check of the whole test" if conditions else "no SLA was given"
        reasons = [f"{n} check{'' if n == 1 else 's'}" if n else none]
    style = _STYLES.get(verdict.status, "bold red")
    said = wrapped("; ".join(reasons), style, f"{verdict.status.upper()}  ")
    if not verdict.checks:
        return [*lines, *said]
    columns = f"{'observed':<14}limit"
    if len(said) == 1 and cell_len(said[0].text) <= _OBSERVED_AT:
        return [*lines, Line(fit(said[0].text, _OBSERVED_AT) + columns, style)]
    return [*lines, *said, Line(" " * _OBSERVED_AT + columns, style)]  # a long reason has lines of its own


def _faults_on(summary: Summary) -> list[Line]:
    """Nobody is to take this for the target's usual behaviour."""
    totals = summary.totals
    counted = (
        ("calls", totals.calls, totals.injected, totals.injected_failed),
        ("runs", 0, totals.runs_injected, totals.runs_injected_failed),
        ("tool calls", 0, totals.tools_injected, totals.tools_injected_failed),
    )
    told = [f"{n:,} {what} struck, {failed:,} failed" for what, there, n, failed in counted if n or there]
    struck, *more = told or ["nothing struck"]
    plan = safe(str(summary.faults.get("plan", "")), WIDTH - 14 - cell_len(struck))
    first = Line(cut(f"FAULTS ON  {plan}  {struck}"), "bold yellow")
    return [first, *([Line(cut(f"{'':<11}{'; '.join(more)}"), "bold yellow")] if more else [])]


def _title(summary: Summary, start: str, width: int) -> str:
    """What was run: names from elsewhere give way to the numbers that tell tests apart."""
    test = summary.test
    numbers = [
        f"{test.users:,} users" if test.users else "",
        f"{test.workers} workers" if test.workers else "",
        show_span(test.duration_s),
        f"seed {test.seed}",
    ]
    end = "  ".join(filter(None, numbers))
    room = width - cell_len(start + end) - 6
    host = safe(test.host, max(room // 2, 6))
    locustfile = safe(test.locustfile, max(room - cell_len(host), 6))
    return "  ".join(filter(None, (start, locustfile, host, end)))


def _wrapped(reason: str) -> list[Line]:
    """A reason in three lines at most: what to do about it stands at its end."""
    text = safe(reason, 3 * WIDTH)
    lines = textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ", max_lines=3)
    return [Line(cut(line), "yellow") for line in lines]


def _checks(checks: Sequence[CheckResult], room: int) -> list[Line]:
    """The failed checks first, then the others, in `room` lines."""
    ordered = sorted(checks, key=lambda check: check.ok)
    if len(ordered) <= room:
        return [_check(check) for check in ordered]
    shown, rest = ordered[: room - 1], ordered[room - 1 :]
    failed = sum(not check.ok for check in rest)
    words = [f"{failed} more FAILED" if failed else "", f"{len(rest) - failed} more ok" if len(rest) > failed else ""]
    return [*map(_check, shown), Line("  … and " + " and ".join(filter(None, words)), "red" if failed else "")]


def _check(check: CheckResult) -> Line:
    if check.ok:
        margin = "" if check.margin is None else f"margin {show_percent(check.margin)}"
        note = margin or (f"{check.samples:,} samples" if check.samples > 1 else "")
    else:
        note = check.reason
    if check.default:
        note = f"{note} (default)".strip()
    text = terminal_safe(check.name or check.check)
    limit = " " + check.limit_text
    if check.name:
        text += limit
    elif cell_len(text) > 31:  # whatever is cut, the limit stays
        text = fit(text, 31 - cell_len(limit)) + limit
    word = "ok  " if check.ok else "FAIL"
    line = f"  {word}  {fit(text, 31)} {fit(check.observed_text, 13)} {terminal_safe(note)}"
    return Line(cut(line).rstrip(), "" if check.ok else "red")


def _end(summary: Summary, results: str) -> list[Line]:
    verdict = summary.verdict
    if verdict is None:
        return [Line(safe(results))] if results else []
    word = _EXIT_WORDS.get(verdict.exit_code, verdict.status)
    style = _STYLES.get(verdict.status, "bold red")
    return [Line(sides(terminal_safe(results), f"exit {verdict.exit_code} ({word})").rstrip(), style)]
