"""When a target counts as broken, and why it broke, told from two steps of load."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import sqrt

from agentlocust import units
from agentlocust.config import did_you_mean
from agentlocust.errors import ConfigError
from agentlocust.failures import FailureKind
from agentlocust.shapes.reading import (
    BROKEN,
    achieved,
    beyond,
    failed_by_target,
    main_failure,
    mean_s,
    percentile_s,
)
from agentlocust.shapes.stage import Seen

GREW = 1.25  # a mean that is so many times the first step's has grown
KNEE = 3.0  # p95(latency), times the first step's
GAIN = 0.1  # of the throughput that more load should bring: less than this is none
SURE = 3.0  # standard errors that the gain to be expected must exceed before its absence means anything
LIMITED = 0.5  # of the failures: so many 429 make it a rate limit
_FORM = re.compile(r"(?:p([0-9]{1,2}(?:\.[0-9]{1,3})?)|(mean))\((latency|ttft|itl)\)\s*(>=?)\s*(.+)\Z")
_ERRORS = re.compile(r"error_rate\s*(>=?)\s*(.+)\Z")
_KNEE = re.compile(r"knee(?:\s*>\s*(.+))?\Z")
WORDS = ("sla", "error_rate>5%", "knee", "flat", "leak", "p95(ttft)>2s")


class Cause(StrEnum):
    """Why a target broke."""

    GENERATOR = "generator saturated"  # which says nothing about the target
    DEAD = "target dead"
    RATE_LIMITED = "rate limited"
    ERRORS = "errors"
    DECODE = "decode slowed"
    QUEUEING = "queueing"
    FLAT = "throughput no longer rising"
    LEAK = "leak"
    CHECK = "check failed"
    SILENT = "no call completed"


@dataclass(frozen=True, slots=True)
class Condition:
    """One breaking condition: `met` says what was seen when it holds for the last of the steps, else ""."""

    text: str
    met: Callable[[Sequence[Seen]], str]


def parse_conditions(text: str) -> tuple[Condition, ...]:
    """The conditions of `sla|error_rate>5%|knee>3|flat|p95(ttft)>2s`. Raises ConfigError."""
    return tuple(_condition(" ".join(part.split())) for part in text.split("|"))


def _condition(text: str) -> Condition:
    if text == "sla":
        return Condition(text, _check_failed)
    if text == "flat":
        return Condition(text, flat)
    if text == "leak":
        return Condition(text, lambda steps: steps[-1].leaks)
    if (found := _KNEE.match(text)) is not None:
        return Condition(text, _knee(units.parse_number(found[1]) if found[1] else KNEE))
    if (found := _ERRORS.match(text)) is not None:
        return Condition(text, _errors(found[1], units.parse_percent(found[2])))
    if (found := _FORM.match(text)) is not None:
        p = float(found[1]) if found[1] else None
        if p == 0:
            raise ConfigError("p0 is not a percentile", hint="write p95")
        return Condition(text, _slow(found[3], p, found[4], units.parse_duration(found[5])))
    hint = did_you_mean(text, WORDS) or f"write {', '.join(WORDS)}, parted by |"
    raise ConfigError(f"{text[:40]!r} is not a breaking condition", hint=hint)


def _check_failed(steps: Sequence[Seen]) -> str:
    return "; ".join(beyond(check) for check in steps[-1].checks if not check.ok)


def _errors(op: str, limit: float) -> Callable[[Sequence[Seen]], str]:
    def met(steps: Sequence[Seen]) -> str:
        rate = steps[-1].error_rate
        over = rate >= limit if op == ">=" else rate > limit
        return f"error_rate {units.show_percent(rate)} {op} {units.show_percent(limit)}" if over else ""

    return met


def _knee(factor: float) -> Callable[[Sequence[Seen]], str]:
    if factor <= 1:
        raise ConfigError(f"a knee of {factor:g} is none", hint="above 1, such as knee>3")

    def met(steps: Sequence[Seen]) -> str:
        first, now = (percentile_s(seen.latency, 95) for seen in (steps[0], steps[-1]))
        if not first or now is None or now <= factor * first:
            return ""
        return f"p95(latency) {units.show_seconds(now)} is {now / first:.1f} times the first step's"

    return met


def _slow(metric: str, p: float | None, op: str, limit: float) -> Callable[[Sequence[Seen]], str]:
    def met(steps: Sequence[Seen]) -> str:
        sketch = getattr(steps[-1], metric)
        now = mean_s(sketch) if p is None else percentile_s(sketch, p)
        if now is None or not (now >= limit if op == ">=" else now > limit):
            return ""
        name = "mean" if p is None else f"p{p:g}"
        return f"{name}({metric}) {units.show_seconds(now)} {op} {units.show_seconds(limit)}"

    return met


def flat(steps: Sequence[Seen]) -> str:
    """Says that the last step's throughput is hardly above that of the nearest earlier step that can tell.

    Throughput should rise as the level does. A step that is too near, or has too few calls, is
    passed over: chance alone could hide the gain.
    """
    now = steps[-1]
    rate = achieved(now)
    for earlier in reversed(steps[:-1]):
        before = achieved(earlier)
        should_gain = now.stage.end / earlier.stage.end - 1
        calls = min(rate * now.seconds, before * earlier.seconds)
        if should_gain <= 0 or calls < 1 or (1 - GAIN) * should_gain < SURE * sqrt(2 / calls):
            continue
        if rate >= before * (1 + GAIN * should_gain):
            return ""
        return f"throughput {units.show_count(rate)}/s after {units.show_count(before)}/s"
    return ""


def cause_of(steps: Sequence[Seen], tripped: Sequence[str]) -> tuple[Cause, str]:
    """Why the last of the steps broke, and what shows it. `tripped` names the conditions that were met."""
    first, now = steps[0], steps[-1]
    if now.target_gone:
        return Cause.DEAD, now.target_gone
    if now.saturated and not failed_by_target(now):
        return Cause.GENERATOR, "the generator could not keep up: this says nothing about the target"
    if not now.calls:
        return Cause.SILENT, "no call came back in the step"
    limited = now.failures.get(FailureKind.RATE_LIMITED, 0)
    too_many = any("error_rate" in text or "failed" in text for text in tripped) or now.error_rate > BROKEN
    if too_many and limited >= LIMITED * now.failed > 0:
        return Cause.RATE_LIMITED, f"429 for {units.show_percent(min(limited / now.calls, 1.0))} of calls"
    if too_many and now.failed:
        return Cause.ERRORS, main_failure(now) or f"{units.show_percent(now.error_rate)} of calls failed"
    slower = _slower(first, now)
    if now.leaks and (slower is None or list(tripped) == ["leak"]):
        return Cause.LEAK, now.leaks
    if slower is not None:
        return slower
    if not all(text == "flat" for text in tripped) or not tripped:
        return Cause.CHECK, "its latency shows no other cause"
    return Cause.FLAT, flat(steps)


def _slower(first: Seen, now: Seen) -> tuple[Cause, str] | None:
    """Queueing or decode, whichever cost a call more time since the first step; None when neither grew."""
    ttft, ttft_was = mean_s(now.ttft), mean_s(first.ttft)
    if not ttft or not ttft_was:
        return None
    waits = ttft - ttft_was
    itl, itl_was = mean_s(now.itl), mean_s(first.itl)
    queued = ttft >= GREW * ttft_was
    decode = itl is not None and itl_was is not None and itl_was > 0 and itl >= GREW * itl_was
    times = f"TTFT {ttft / ttft_was:.1f} times what it was"
    if itl and itl_was:
        times += f", ITL {itl / itl_was:.1f} times"
    if decode and (not queued or _decoding(now) - _decoding(first) >= waits):
        return Cause.DECODE, times
    return (Cause.QUEUEING, times) if queued else None


def _decoding(seen: Seen) -> float:
    """The mean time of a call after its first token."""
    return (mean_s(seen.latency) or 0.0) - (mean_s(seen.ttft) or 0.0)
