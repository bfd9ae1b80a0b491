"""A captured run as a waterfall in a terminal: a line a step, its bar where its time lies.

A run comes from a file, and its names and texts from servers: nothing in it is trusted to be of any type.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agentlocust.redact import terminal_safe
from agentlocust.report.lines import Line, cut, fit
from agentlocust.units import PICOUSD, show_count, show_seconds, show_usd

MIN_WIDTH = 60
SORTS = ("slowest", "dearest", "failed")
_RED, _YELLOW = "red", "yellow"
_MAX_DEPTH = 20
_TEXT_LINES = 4
_BAR = {"call": "█", "tool": "▒", "run": "─"}
_MARK = {"call": "", "tool": "· ", "run": "> "}


def ordered(runs: Sequence[Mapping[str, Any]], sort: str) -> list[Mapping[str, Any]]:
    """Runs by one of SORTS, the first the most; as they were kept without one."""
    if sort == "slowest":
        return sorted(runs, key=lambda run: -_number(run.get("latency_s")))
    if sort == "dearest":
        return sorted(runs, key=lambda run: -_number(run.get("cost_picousd")))
    if sort == "failed":
        return sorted(runs, key=lambda run: not run.get("error"))
    return list(runs)


def list_lines(runs: Sequence[Mapping[str, Any]], width: int) -> list[Line]:
    """A table of the runs, numbered from 1."""
    width = max(width, MIN_WIDTH)
    name = max(width - 62, 10)
    header = f"{'':>3} {fit('run', name)} {'kept as':<9}{'time':>8}{'calls':>6}{'tools':>6}{'cost':>10}  end"
    lines = [Line(cut(header, width))]
    for number, run in enumerate(runs, 1):
        end = _text(run.get("error")) or _text(run.get("end_reason"))
        text = (
            f"{number:>3} {fit(_text(run.get('name')), name)} {_text(run.get('why')):<9}"
            f"{show_seconds(_number(run.get('latency_s'))):>8}{_count(run.get('calls')):>6}"
            f"{_count(run.get('tool_calls')):>6}{_cost(run.get('cost_picousd')):>10}  {end}"
        )
        lines.append(Line(cut(text, width), _RED if run.get("error") else ""))
    return lines


def waterfall_lines(run: Mapping[str, Any], width: int) -> list[Line]:
    """One run: what it came to, a line for each step, what was found, and the texts that were kept."""
    width = max(width, MIN_WIDTH)
    lines = [*_head(run, width), *_steps(run, width)]
    for finding in _dicts(run.get("findings")):
        text = f"{_text(finding.get('kind'))}: {_text(finding.get('sentence'))}"
        lines += _wrapped(text, width, "! ", _YELLOW, 3)
    return [*lines, *_texts(run, width)]


def _head(run: Mapping[str, Any], width: int) -> list[Line]:
    tokens = _dict(run.get("tokens"))
    parts = [
        _text(run.get("name")),
        show_seconds(_number(run.get("latency_s"))),
        f"ttft {show_seconds(_number(run['ttft_s']))}" if run.get("ttft_s") is not None else "",
        _counted(run.get("calls"), "call"),
        _counted(run.get("tool_calls"), "tool"),
        f"in {show_count(_number(tokens.get('input')))} out {show_count(_number(tokens.get('output')))}",
        _cost(run.get("cost_picousd")),
        _text(run.get("end_reason")),
    ]
    lines = [Line(cut("  ".join(filter(None, parts)), width), "bold")]
    if run.get("error"):
        lines += _wrapped(_text(run["error"]), width, "  ", _RED, 3)
    return lines


def _steps(run: Mapping[str, Any], width: int) -> list[Line]:
    steps = list(_flat(run, 0))
    whole = max([_number(run.get("latency_s")), *(_start(step) + _latency(step) for _, step in steps)], default=0.0)
    label, bar = max(width // 4, 16), max(width - width // 4 - 38, 10)
    lines = []
    for depth, step in steps:
        kind = _text(step.get("kind"))
        kind = kind if kind in _BAR else "tool"
        name = _text(step.get("name"))
        if kind == "call" and name == _text(run.get("name")):
            name = "call"  # it bears the run's name unless it was given one of its own
        name = f"{'  ' * min(depth, 6)}{_MARK[kind]}{name}"
        asks = [_text(ask.get("name")) for ask in _dicts(step.get("asks"))]
        name += f" → {', '.join(asks)}" if asks else ""
        wrong = step.get("error") or step.get("failure")
        note = _text(wrong) if wrong else _note(kind, step)
        text = f"{fit(name, label)} {_drawn(step, whole, bar, _BAR[kind])} {show_seconds(_latency(step)):>8}  {note}"
        lines.append(Line(cut(text, width).rstrip(), _RED if wrong else ""))
    left_out = _number(run.get("steps_left_out"))
    return [*lines, Line(f"… {left_out:,.0f} more steps", "dim")] if left_out else lines


def _flat(run: Mapping[str, Any], depth: int) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The steps of a run and of those within, in the order they started."""
    if depth > _MAX_DEPTH:
        return
    for step in sorted(_dicts(run.get("steps")), key=_start):
        yield depth, step
        yield from _flat(step, depth + 1)


def _drawn(step: Mapping[str, Any], whole: float, bar: int, mark: str) -> str:
    """A bar of `bar` columns; what waits for the first token is lighter."""
    if not whole:
        return " " * bar
    start = min(round(_start(step) / whole * bar), bar - 1)
    length = max(min(round(_latency(step) / whole * bar), bar - start), 1)
    ttft = _number(step.get("ttft_s"))
    wait = min(round(ttft / whole * bar), length - 1) if ttft and mark == _BAR["call"] else 0
    return " " * start + "░" * wait + mark * (length - wait) + " " * (bar - start - length)


def _note(kind: str, step: Mapping[str, Any]) -> str:
    if kind == "call":
        tokens = _dict(step.get("tokens"))
        attempts = _number(step.get("attempts"))
        tries = f" x{attempts:.0f}" if attempts > 1 else ""
        return f"{show_count(_number(tokens.get('input')))}→{show_count(_number(tokens.get('output')))}{tries}"
    if kind == "tool":
        items = step.get("items")
        return f"{_count(items)} items" if items is not None else f"{show_count(_number(step.get('size')))} chars"
    return _text(step.get("end_reason"))


def _texts(run: Mapping[str, Any], width: int) -> list[Line]:
    lines = []
    for _, step in _flat(run, 0):
        name = _text(step.get("name"))
        for key, who in (("said", "to the model"), ("replied", "the model"), ("text", name)):
            if step.get(key):
                lines += _wrapped(f"{who}: {_text(step[key])}", width, "  ", "", _TEXT_LINES)
        for ask in _dicts(step.get("asks")):
            if ask.get("text"):
                lines += _wrapped(f"{_text(ask.get('name'))}({_text(ask['text'])})", width, "  → ", "", _TEXT_LINES)
    return [Line(""), *lines] if lines else []


def _wrapped(text: str, width: int, indent: str, style: str, most: int) -> list[Line]:
    wrapped = textwrap.wrap(text[: width * most * 2], width, initial_indent=indent, subsequent_indent="    ")
    shown = wrapped[:most]
    if len(wrapped) > most:
        shown[-1] += " …"
    return [Line(cut(line, width), style) for line in shown]


def _start(step: Mapping[str, Any]) -> float:
    return max(_number(step.get("start_s")), 0.0)


def _latency(step: Mapping[str, Any]) -> float:
    return max(_number(step.get("latency_s")), 0.0)


def _number(value: object) -> float:
    """A finite number of the file's, 0 for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e18:
        return 0.0
    return float(value)


def _count(value: object) -> str:
    return f"{math.floor(_number(value)):,}"


def _counted(value: object, word: str) -> str:
    text = _count(value)
    return f"{text} {word}{'' if text == '1' else 's'}"


def _cost(picousd: object) -> str:
    return show_usd(_number(picousd) / PICOUSD) if picousd is not None else "unpriced"


def _text(value: object) -> str:
    return terminal_safe(value) if isinstance(value, str) else ""


def _dict(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
