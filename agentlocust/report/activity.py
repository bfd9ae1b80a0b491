"""What happened in a test, a line for each kind of thing: the middle of the console summary."""

from __future__ import annotations

from collections.abc import Sequence

from agentlocust.metrics import SCALE, Unit
from agentlocust.records import WARMUP_PHASE, EndReason, FindingKind
from agentlocust.redact import terminal_safe
from agentlocust.report.lines import WIDTH, Line, cut, fit, safe, wrapped
from agentlocust.sketch import Sketch
from agentlocust.summary import Row, Summary
from agentlocust.summary.model import Totals
from agentlocust.summary.outermost import has_outermost, outermost
from agentlocust.units import PICOUSD, picousd_of, show_count, show_percent, show_seconds, show_usd

_MAX_SAMPLES = 3
_MAX_FINDINGS = 3
# What is said of runs in which a detector found something.
_FOUND: dict[str, str] = {
    FindingKind.LOOP: "looped",
    FindingKind.N_PLUS_1: "called a tool for each item",
    FindingKind.RUNAWAY_CONTEXT: "let their context run away",
    FindingKind.INVALID_ARGUMENTS: "asked for tools in vain",
    FindingKind.RETRY_STORM: "tried again and again",
    FindingKind.CACHE_MISS: "missed the prompt cache",
}
_MAX_OWN_METRICS = 4


def _measured(summary: Summary, kind: str) -> list[Row]:
    """The rows of one kind, without the warm-up."""
    return [row for row in summary.rows if row.kind == kind and row.phase != WARMUP_PHASE]


def _merged(rows: Sequence[Row], metric: str) -> Sketch:
    merged = Sketch()
    for row in rows:
        if metric in row.sketches:
            merged.merge(Sketch.decode(row.sketches[metric]))
    return merged


def latency_lines(summary: Summary) -> list[Line]:
    """The table of percentiles of successful calls, or of runs where there are no calls."""
    calls = _measured(summary, "LLM")
    wanted = [("ttft", calls, "ttft"), ("latency", calls, "latency"), ("itl", calls, "itl"), ("tpot", calls, "tpot")]
    if not calls:
        wanted = [("run", _measured(summary, "AGENT"), "run_latency")]
    lines = []
    for name, rows, metric in wanted:
        sketch = _merged(rows, metric)
        if sketch.count:
            bundled = name == "itl" and any(row.itl_is == "chunk gap" for row in rows)
            lines.append(Line(_distribution(name, sketch) + (" chunk gaps" if bundled else "")))
    if not lines:
        return []
    header = f"{'':<7}" + "".join(f"{name:>10}" for name in ("p50", "p90", "p95", "p99", "max")) + f"{'n':>12}"
    return [Line(header), *lines]


def _distribution(name: str, sketch: Sketch) -> str:
    scale = SCALE[Unit.SECONDS]
    numbers = [*(sketch.percentile(p) for p in (50, 90, 95, 99)), sketch.max]
    return f"{name:<7}" + "".join(f"{show_seconds(n / scale):>10}" for n in numbers) + f"{sketch.count:>12,}"


def activity_lines(summary: Summary) -> list[Line]:
    """Runs, calls, tokens, cost, tools and what else was counted, a line each."""
    totals = summary.totals
    lines = [*_runs(summary), *_sessions(totals), *_calls(summary), *_tools(summary)]
    lines += [*_judge(summary), *_own_metrics(summary)]
    if totals.task_errors:
        lines.append(Line(f"errors  {totals.task_errors:,} raised by the locustfile's own code", "red"))
    if totals.other_requests:
        failed = f"   {totals.other_failed:,} failed" if totals.other_failed else ""
        lines.append(Line(f"other   {totals.other_requests:,} requests of other Users{failed}"))
    warm = sum(row.count for row in summary.rows if row.phase == WARMUP_PHASE and row.kind in ("LLM", "AGENT"))
    if warm:
        lines.append(Line(f"warm-up {warm:,} calls and runs, not in the checks and times above"))
    return lines


def show_lag(seconds: float) -> str:
    """A lag in whole milliseconds: more would be no more than noise."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else show_seconds(seconds)


def generator_lines(summary: Summary) -> list[Line]:
    """How the generator did, where that matters: it strained, or there is a rating to compare with."""
    generator = summary.generator
    if generator is None or (generator.grade == "valid" and not generator.rating):
        return []
    lag = summary.validity.lag_p99_s
    share = generator.rating.get("share")
    parts = [
        "" if lag is None else f"lag p99 {show_lag(lag)}",
        f"CPU {show_percent(generator.cpu_mean)}",
        f"{terminal_safe(generator.clock)} stamps" if generator.clock else "",
        f"{show_percent(share)} of its rating" if isinstance(share, int | float) else "",
    ]
    return [Line(cut("generator  " + "   ".join(filter(None, parts))), "" if generator.grade == "valid" else "yellow")]


def _runs(summary: Summary) -> list[Line]:
    totals = summary.totals
    if not totals.runs + totals.runs_abandoned:
        return []
    rows = _measured(summary, "AGENT")
    outer = [row for row in rows if has_outermost(row)]
    parts = [f"{totals.runs:,}"]
    if totals.runs:
        parts.append(f"{show_percent(1 - totals.runs_failed / totals.runs)} ok")
    if totals.runs_inside:
        parts.append(f"{totals.runs_inside:,} inside them")
    calls, tools = _merged(outer, "run_calls"), _merged(outer, "run_tool_calls")
    if calls.sum or tools.sum:
        parts.append(f"{_a_run(calls, 'call')} and {_a_run(tools, 'tool')} a run")
    latency = _merged(outer, "run_latency")
    if latency.count:
        parts.append(f"p95 {show_seconds(latency.percentile(95) / SCALE[Unit.SECONDS])}")
    return [Line(cut("runs    " + "   ".join(parts))), *_ends(rows), *_scores(rows, totals), *_findings(summary)]


def _sessions(totals: Totals) -> list[Line]:
    if not totals.sessions:
        return []
    turns = show_count(round(totals.session_turns / totals.sessions, 1))
    parts = [f"{totals.sessions:,}", f"{turns} turn{'' if turns == '1' else 's'} a session"]
    if totals.sessions_failed:
        parts.append(f"{totals.sessions_failed:,} failed ({show_percent(totals.sessions_failed / totals.sessions)})")
    return [Line(cut("sessions " + "   ".join(parts)))]


def _scores(rows: Sequence[Row], totals: Totals) -> list[Line]:
    score = _merged(rows, "run_score")
    parts = (
        [f"score {show_count(round(score.mean / SCALE[Unit.NUMBER], 2))} (n {score.count:,})"] if score.count else []
    )
    if totals.hand_offs:
        parts.append(f"{totals.hand_offs:,} hand-off{'' if totals.hand_offs == 1 else 's'}")
    if totals.abandoned_tokens:
        parts.append(f"{show_count(totals.abandoned_tokens)} tokens for users who had left")
    return [Line(cut("        " + "   ".join(parts)))] if parts else []


def _ends(rows: Sequence[Row]) -> list[Line]:
    """Why runs ended, unless all gave their answer; those that the end of the test cut are told elsewhere."""
    ends: dict[str, int] = {}
    for row in rows:
        for reason, count in outermost(row).ends.items():
            if reason != EndReason.CANCELLED:
                ends[reason] = ends.get(reason, 0) + count
    if not ends.keys() - {EndReason.FINAL}:
        return []
    told = [f"{terminal_safe(name)} {n:,}" for name, n in sorted(ends.items(), key=lambda item: (-item[1], item[0]))]
    return [Line(cut("ended   " + "   ".join(told)), "yellow")]


def _findings(summary: Summary) -> list[Line]:
    lines = []
    for finding in summary.findings[:_MAX_FINDINGS]:
        words = _FOUND.get(finding.kind, terminal_safe(finding.kind))
        runs = f"{finding.runs:,} run{'' if finding.runs == 1 else 's'}"
        lines += wrapped(f"{runs} {words}: {finding.sentence}", "yellow", "found   ")
    hidden = len(summary.findings) - _MAX_FINDINGS
    more = f"        … and {hidden} more kind{'' if hidden == 1 else 's'} of findings"
    return [*lines, Line(more, "yellow")] if hidden > 0 else lines


def _judge(summary: Summary) -> list[Line]:
    totals = summary.totals
    if not totals.judge_calls:
        return []
    parts = [f"{totals.judge_calls:,} call{'' if totals.judge_calls == 1 else 's'}"]
    if totals.judge_failed:
        parts.append(f"{totals.judge_failed:,} failed")
    parts.append(f"{show_usd(picousd_of(totals.judge_cost_usd) / PICOUSD)}, apart from the above")
    return [Line(cut("judge   " + "   ".join(parts)))]


def _a_run(sketch: Sketch, word: str) -> str:
    mean = round(sketch.mean, 1)
    return f"{show_count(mean)} {word}{'' if mean == 1 else 's'}"


def _calls(summary: Summary) -> list[Line]:
    totals, seconds = summary.totals, summary.test.duration_s
    if not totals.calls + totals.cancelled:
        return []
    parts = [f"{totals.calls:,}"]
    if seconds:
        parts.append(f"{show_count(round(totals.calls / seconds, 1))}/s")
        if any(row.judged for row in summary.rows):
            parts.append(f"goodput {show_count(round(sum(row.good for row in summary.rows) / seconds, 1))}/s")
    if totals.attempts > totals.calls + totals.cancelled:
        started = totals.calls + totals.cancelled
        parts.append(f"{totals.attempts:,} attempts, {show_count(round(totals.attempts / started, 2))} a call")
    if totals.cancelled:
        parts.append(f"{totals.cancelled:,} cut by the end")
    lines = [Line(cut("calls   " + "   ".join(parts)))]
    if totals.failed:
        kinds: dict[str, int] = {}
        for row in summary.rows:
            if row.kind == "LLM":
                for kind, n in row.failures.items():
                    kinds[kind] = kinds.get(kind, 0) + n
        named = ", ".join(
            f"{terminal_safe(kind)} {n:,}" for kind, n in sorted(kinds.items(), key=lambda k: (-k[1], k[0]))
        )
        share = show_percent(totals.failed / totals.calls)
        lines.append(Line(cut(f"failed  {totals.failed:,} ({share}): {named}"), "red"))
    return [*lines, *_tokens(summary), *_cost(summary)]


def _tokens(summary: Summary) -> list[Line]:
    tokens, seconds = summary.totals.tokens, summary.test.duration_s
    if not tokens.input + tokens.output:
        return []
    cached = f" ({show_percent(tokens.cache_read / tokens.input)} cached)" if tokens.cache_read and tokens.input else ""
    reasoning = f" ({show_count(tokens.reasoning)} reasoning)" if tokens.reasoning else ""
    rate = f"   {show_count(round(tokens.output / seconds))} out/s" if seconds else ""
    share = tokens.estimated / (tokens.input + tokens.output)
    estimated = f"   {show_percent(share)} estimated" if tokens.estimated else ""
    text = (
        f"tokens  in {show_count(tokens.input)}{cached}   out {show_count(tokens.output)}{reasoning}{rate}{estimated}"
    )
    return [Line(cut(text))]


def _cost(summary: Summary) -> list[Line]:
    totals = summary.totals
    started = totals.calls + totals.cancelled
    priced = started - totals.unpriced_calls
    cost = picousd_of(totals.cost_usd)
    parts = []
    if priced:
        parts.append(show_usd(cost / PICOUSD))
        parts.append(f"{show_usd(cost / priced / PICOUSD)} a call")
        runs = _merged([row for row in _measured(summary, "AGENT") if has_outermost(row)], "run_cost")
        if runs.count:
            parts.append(f"{show_usd(runs.mean / PICOUSD)} a run")
        budget = picousd_of(summary.test.budget_usd) if summary.test.budget_usd else 0
        if budget:
            paid = cost + picousd_of(totals.judge_cost_usd)
            parts.append(f"{show_percent(paid / budget)} of the budget")
    lines = [Line(cut("cost    " + "   ".join(parts)))] if parts else []
    if totals.unpriced_calls:
        models = ", ".join(terminal_safe(model) for model in totals.unpriced_models)
        label = "unpriced" if parts else "cost   "
        unknown = f"{totals.unpriced_calls:,} calls have no price: {models}"
        lines.append(Line(cut(f"{label} {unknown}"), "yellow"))
    return lines


def _tools(summary: Summary) -> list[Line]:
    totals = summary.totals
    if not totals.tool_calls:
        return []
    parts = [f"{totals.tool_calls:,}"]
    if totals.tools_failed:
        parts.append(f"{totals.tools_failed:,} failed ({show_percent(totals.tools_failed / totals.tool_calls)})")
    latency = _merged(_measured(summary, "TOOL"), "tool_latency")
    if latency.count:
        parts.append(f"p95 {show_seconds(latency.percentile(95) / SCALE[Unit.SECONDS])}")
    return [Line("tools   " + "   ".join(parts))]


def _own_metrics(summary: Summary) -> list[Line]:
    merged: dict[str, Sketch] = {}
    for own in summary.metrics:
        if own.phase != WARMUP_PHASE:
            merged.setdefault(own.metric, Sketch()).merge(Sketch.decode(own.sketch))
    scale = SCALE[Unit.NUMBER]
    lines = [
        Line(
            f"{fit(terminal_safe(metric), 19)} mean {show_count(sketch.mean / scale)}"
            f"   p95 {show_count(sketch.percentile(95) / scale)}"
            f"   max {show_count(sketch.max / scale)}   n {sketch.count:,}"
        )
        for metric, sketch in sorted(merged.items())
    ]
    hidden = len(lines) - _MAX_OWN_METRICS
    return lines if hidden <= 0 else [*lines[:_MAX_OWN_METRICS], Line(f"… and {hidden} more metrics of your own")]


def failure_lines(summary: Summary) -> list[Line]:
    """The most frequent texts of failures."""
    lines = []
    for sample in summary.failures[:_MAX_SAMPLES]:
        status = f" {sample.status}" if sample.status else ""
        text = f"{sample.times:,}x {sample.name} ({sample.kind}{status}): {sample.text}"
        lines.append(Line("  " + safe(text, WIDTH - 2), "dim"))
    return lines
