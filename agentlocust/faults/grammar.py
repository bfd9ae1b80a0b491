"""Reads the line of `--faults`: `rate_limit(rps=5)@30s-60s, cut(after=10):5%{name=refund}`.

A rule is a name, its keys in parentheses, then in any order `@` windows (30s-60s, 30s-, or the name of a
phase), `:` a share of the attempts, `{}` the calls it is for. A name alone, or with a window or calls, is
the scenario of that name if there is one; with parentheses or a share it is the fault.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from agentlocust.config import did_you_mean
from agentlocust.errors import ConfigError
from agentlocust.faults.catalogue import FAULTS
from agentlocust.faults.fault import Fault
from agentlocust.faults.keys import seconds, share
from agentlocust.faults.rules import NUMBERS, TEXTS, Only, Rule, Window
from agentlocust.faults.scenarios import SCENARIOS

MAX_LINE = 16_384
MAX_RULES = 200

_NAME = re.compile(r"\s*([A-Za-z][A-Za-z0-9_\-]*)\s*")
_SPAN = re.compile(r"\s*((?:[0-9.]+\s*[a-zµ]*)*)\s*-\s*((?:[0-9.]+\s*[a-zµ]+)*)\s*\Z")
_BEGUN = re.compile(r"[0-9.]+(?:ns|us|µs|ms|s|m|min|h|d)?\Z")
_RANGE = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?\Z")
_CLOSING = {"(": ")", "{": "}"}


def parse_line(line: str, where: str) -> tuple[Rule, ...]:
    """The rules of a line. Raises ConfigError that names the rule which is wrong."""
    if len(line) > MAX_LINE:
        raise ConfigError(f"a plan of {len(line)} characters", where=where, hint=f"at most {MAX_LINE:,}; use a file")
    rules: list[Rule] = []
    for part in _split(line, ",;", where):
        if part.strip():
            rules += parse_rule(part.strip(), where)
    if len(rules) > MAX_RULES:
        raise ConfigError(f"{len(rules)} faults", where=where, hint=f"at most {MAX_RULES}")
    return tuple(rules)


def parse_rule(text: str, where: str) -> tuple[Rule, ...]:
    """One rule of a line, or those of a scenario. Raises ConfigError."""
    found = _NAME.match(text)
    if found is None:
        raise ConfigError(f"{text[:40]!r} does not begin with a fault", where=where, hint="write cut(after=10):5%")
    name, rest = found[1], text[found.end() :]
    place = f"{where}: {name}"
    inner = None
    if rest.startswith("("):
        inner, rest = _inside(rest, place)
    windows, share_text, only = _suffixes(rest, place)
    if inner is None and not share_text and name in SCENARIOS:
        return tuple(
            replace(rule, windows=windows or rule.windows, only=only or rule.only)
            for rule in parse_line(SCENARIOS[name].line, place)
        )
    return (make_rule(name, _pairs(inner or "", place), windows, share_text, only, place),)


def make_rule(
    name: str,
    told: Mapping[str, str],
    windows: tuple[Window, ...],
    share_text: str,
    only: tuple[Only, ...],
    where: str,
) -> Rule:
    """A rule of its parts. Raises ConfigError."""
    fault = _fault(name, where)
    rule = Rule(
        fault, _values(fault, told, where), tuple(told.items()), windows, _share(share_text, where), share_text, only
    )
    if rule.local and (share_text or only):
        what = "share" if share_text else "{}"
        raise ConfigError(f"{name} strikes the whole process and takes no {what}", where=where, hint="leave it out")
    return rule


def parse_window(text: str, where: str) -> Window:
    """A window from `30s-60s`, `30s-`, `-60s`, or the name of a phase. Raises ConfigError."""
    text = text.strip()
    found = _SPAN.match(text)
    if found is None:
        if not text or not text.isprintable() or len(text) > 60 or set(text) & set("@:{},;"):
            raise ConfigError(f"{text[:40]!r} is no window", where=where, hint="write @30s-60s, or @ and a phase")
        if _BEGUN.match(text):
            raise ConfigError(f"a window from {text} until when?", where=where, hint=f"write @{text}-, or an end")
        return Window(phase=text, text=text)
    start, end = (_when(part, where) for part in found.groups())
    window = Window(start or 0.0, end if end is not None else float("inf"), text=text)
    if window.end_s <= window.start_s:
        raise ConfigError(f"the window {text} ends before it begins", where=where, hint="write @30s-60s")
    return window


def parse_only(pairs: Mapping[str, str], where: str) -> tuple[Only, ...]:
    """Which calls, from keys and texts. Raises ConfigError."""
    chosen = []
    for key, text in pairs.items():
        if key not in (*TEXTS, *NUMBERS):
            known = (*TEXTS, *NUMBERS)
            hint = did_you_mean(key, known) or f"calls are chosen by {', '.join(known)}"
            raise ConfigError(f"calls have no {key!r}", where=where, hint=hint)
        if not text or set(text) & set("{},;") or not text.isprintable():
            raise ConfigError(f"{text[:40]!r} cannot be", where=where, hint="without { } , and ;")
        if key in TEXTS:
            chosen.append(Only(key, text))
            continue
        found = _RANGE.match(text)
        if found is None or int(found[2] or found[1]) < int(found[1]):
            raise ConfigError(f"{text!r} is no number of a {key}", where=where, hint=f"write {key}=0 or {key}=0-9")
        chosen.append(Only(key, text, int(found[1]), int(found[2] or found[1])))
    return tuple(chosen)


# -- the parts of a rule -----------------------------------------------------------------------


def _fault(name: str, where: str) -> Fault:
    if name in FAULTS:
        return FAULTS[name]
    if name in SCENARIOS:
        line = SCENARIOS[name].line
        raise ConfigError(f"{name} is a scenario and takes no keys and no share", where=where, hint=f"it is {line}")
    known = [*FAULTS, *SCENARIOS]
    raise ConfigError(
        f"there is no fault {name[:40]!r}",
        where=where,
        hint=did_you_mean(name, known) or "`agentlocust faults` lists them",
    )


def _values(fault: Fault, told: Mapping[str, str], where: str) -> dict[str, Any]:
    keys = {key.name: key for key in fault.keys}
    for name in told:
        if name not in keys:
            known = f"its keys are {', '.join(keys)}" if keys else "it has none"
            raise ConfigError(
                f"{fault.name} has no key {name[:40]!r}", where=where, hint=did_you_mean(name, keys) or known
            )
    values = {}
    for key in fault.keys:
        try:
            values[key.name] = key.read(told.get(key.name, key.default))
        except ConfigError as error:
            raise ConfigError(error.what, where=f"{where}.{key.name}", hint=error.hint) from None
    return values


def _share(text: str, where: str) -> float:
    try:
        return share(text) if text else 1.0
    except ConfigError as error:
        raise ConfigError(error.what, where=where, hint=error.hint) from None


def _when(text: str, where: str) -> float | None:
    if not text:
        return None
    try:
        return seconds(text)
    except ConfigError as error:
        raise ConfigError(error.what, where=where, hint=error.hint) from None


def _suffixes(rest: str, where: str) -> tuple[tuple[Window, ...], str, tuple[Only, ...]]:
    windows: list[Window] = []
    share_text = ""
    only: tuple[Only, ...] = ()
    while rest := rest.strip():
        sign = rest[0]
        if sign == "{":
            inner, rest = _inside(rest, where)
            if only:
                raise ConfigError("two lists of calls", where=where, hint="write {name=refund;user=0-9}")
            only = parse_only(_pairs(inner, where), where)
            continue
        if sign not in "@:":
            raise ConfigError(
                f"what is {rest[:40]!r}?", where=where, hint="after the fault come @30s-60s, :5% and {name=refund}"
            )
        end = next((at for at in range(1, len(rest)) if rest[at] in "@:{"), len(rest))
        text, rest = rest[1:end].strip(), rest[end:]
        if sign == "@":
            windows.append(parse_window(text, where))
        elif share_text:
            raise ConfigError("two shares", where=where, hint="keep one of them")
        elif not text:
            raise ConfigError("a share without a number", where=where, hint="write :5%")
        else:
            share_text = text
    return tuple(windows), share_text, only


def _pairs(inner: str, where: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for part in _split(inner, ",;", where):
        if not part.strip():
            continue
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not key or not value:
            raise ConfigError(f"{part.strip()[:40]!r} is not key=value", where=where, hint="write (after=10)")
        if key in pairs:
            raise ConfigError(f"{key} is given twice", where=where, hint="keep one of them")
        pairs[key] = value
    return pairs


def _inside(rest: str, where: str) -> tuple[str, str]:
    """What stands in the bracket that `rest` begins with, and what follows it."""
    closing = _CLOSING[rest[0]]
    end = rest.find(closing)
    if end < 0:
        raise ConfigError(f"no closing {closing!r}", where=where)
    return rest[1:end], rest[end + 1 :]


def _split(text: str, separators: str, where: str) -> Iterator[str]:
    """The parts between separators that stand in no bracket."""
    part, closing = "", ""
    for sign in text:
        if closing:
            closing = "" if sign == closing else closing
        elif sign in _CLOSING:
            closing = _CLOSING[sign]
        elif sign in separators:
            yield part
            part = ""
            continue
        part += sign
    if closing:
        raise ConfigError(f"no closing {closing!r}", where=where)
    yield part
