"""How an agent waits before it tries again: the waits, and the name of what they look like together.

A wait lies between the end of a failed try and the start of the next try of the same thing, be it
an attempt of the SDK's or a call that the agent itself makes again within its run.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from itertools import count, pairwise

from agentlocust.sketch import Sketch

MAX_ORDINAL = 8  # later waits are counted with the eighth
LEAST_WAITS = 5  # before anything is said of them
IMMEDIATE_NS = 50_000_000  # what a busy generator may add to no wait at all
_MS = 1_000_000
_GROWTH = 1.4  # from one wait to the next: half of SDKs' doubling, and some jitter, is still growth
_CAPPED = 1.15
_JITTER = 1.12  # the widest tenth over the narrowest: a quarter taken off at random gives 1.26
_LEAST_JITTER_NS = 20 * _MS  # less is the generator's own
_HONOURED = 0.9  # of the waits that were told how long to be
_TOLD_SHARE = 0.5
_TOO_EARLY_NS = 20 * _MS
_LONGEST_WAIT_S = 86_400.0

_numbers = count(1)


def retry_after(header: Callable[[str], str]) -> float | None:
    """The seconds that a reply asks to wait (RFC 9110, 10.2.3; `retry-after-ms` is OpenAI's), None if it does not.

    `header` gives a header's value by its name in lower case, "" for none.
    """
    for name, scale in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        text = header(name).strip()
        try:
            seconds = float(text) / scale
        except ValueError:
            continue
        return seconds if 0 <= seconds <= _LONGEST_WAIT_S else None
    try:
        until = parsedate_to_datetime(header("retry-after"))
        seconds = until.timestamp() - time.time()
    except (TypeError, ValueError, OverflowError):
        return None
    return max(seconds, 0.0) if seconds <= _LONGEST_WAIT_S else None


class Behaviour(StrEnum):
    """What an agent does about failure."""

    NONE = "no retries"
    UNKNOWN = "too few retries to tell"
    NAIVE = "naive"  # at once
    FIXED = "fixed"
    EXPONENTIAL = "exponential"
    JITTERED = "exponential with jitter"
    HONOURS = "honours Retry-After"


@dataclass(frozen=True, slots=True)
class Try:
    """One try: monotonic nanoseconds; `retry_after_s` is what its reply asked to wait, None when it did not."""

    started_ns: int
    ended_ns: int
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """The `ordinal`th wait (from 1) of one thing that was tried again."""

    ordinal: int
    began_ns: int
    ended_ns: int
    retry_after_s: float | None = None

    @property
    def ns(self) -> int:
        """How long it was."""
        return max(self.ended_ns - self.began_ns, 0)


def waits_between(tries: Sequence[Try], ordinal: int = 1) -> Iterator[Wait]:
    """The waits between the tries of one call; the first is numbered `ordinal`."""
    for number in range(1, len(tries)):
        before = tries[number - 1]
        yield Wait(ordinal + number - 1, before.ended_ns, tries[number].started_ns, before.retry_after_s)


class Repeats:
    """Recognises within one run the calls that repeat a failed one: of the same name, with the same body."""

    __slots__ = ("_failed", "number")

    def __init__(self) -> None:
        self.number = next(_numbers)  # tells runs of this process apart
        self._failed: dict[str, tuple[bytes, Try, int]] = {}  # by name: its body, its last try, waits so far

    def ended(self, name: str, body: bytes, tries: Sequence[Try], *, failed: bool) -> tuple[list[Wait], bool]:
        """A call ended: all waits before and in it, and whether it repeats another."""
        if not tries:
            return [], False
        waits: list[Wait] = []
        before = self._failed.pop(name, None)
        if before is None and not failed:
            return list(waits_between(tries)), False  # as nearly always: its body is not looked at
        digest = hashlib.blake2b(body, digest_size=16).digest()
        repeats = before is not None and before[0] == digest
        if before is not None and repeats:
            last, so_far = before[1], before[2]
            waits.append(Wait(so_far + 1, last.ended_ns, tries[0].started_ns, last.retry_after_s))
        first = waits[0].ordinal if waits else 0
        waits += waits_between(tries, first + 1)
        if failed:
            self._failed[name] = (digest, tries[-1], first + len(tries) - 1)
        return waits, repeats


@dataclass(frozen=True, slots=True)
class Manner:
    """How an agent waits; times in nanoseconds, None where nothing is known. `growth` is from wait to wait."""

    behaviour: Behaviour
    waits: int = 0
    median_ns: float | None = None
    growth: float | None = None
    jittered: bool = False
    told: int = 0
    honoured: int = 0


def keep(wait: Wait, counts: dict[str, int], sketches: dict[str, Sketch]) -> None:
    """Add a wait to counters and sketches that can be merged; `manner_of` reads them."""
    name = f"wait:{min(wait.ordinal, MAX_ORDINAL)}"
    sketches.setdefault(name, Sketch()).add(wait.ns)
    if wait.retry_after_s is not None:
        counts["waits_told"] = counts.get("waits_told", 0) + 1
        if wait.ns >= wait.retry_after_s * 1e9 - _TOO_EARLY_NS:
            counts["waits_honoured"] = counts.get("waits_honoured", 0) + 1


def manner_of(counts: Mapping[str, int], sketches: Mapping[str, Sketch]) -> Manner:
    """Name what the waits look like together.

    Retry-After comes first: who keeps to it needs no other law. Growth is that of the medians of first,
    second, third waits until they grow no more (a cap); jitter is spread among waits of one ordinal.
    """
    by_ordinal = [sketches[name] for n in range(1, MAX_ORDINAL + 1) if (name := f"wait:{n}") in sketches]
    everything = Sketch()
    for sketch in by_ordinal:
        everything.merge(sketch)
    told, honoured, waits = counts.get("waits_told", 0), counts.get("waits_honoured", 0), everything.count
    if not waits:
        return Manner(Behaviour.NONE)
    median_ns = everything.percentile(50)
    if waits < LEAST_WAITS:
        return Manner(Behaviour.UNKNOWN, waits, median_ns, told=told, honoured=honoured)
    growth, jittered = _growth(by_ordinal), _jittered(by_ordinal)
    if told >= max(LEAST_WAITS, _TOLD_SHARE * waits) and honoured >= _HONOURED * told:
        behaviour = Behaviour.HONOURS
    elif median_ns < IMMEDIATE_NS and (growth is None or everything.percentile(90) < IMMEDIATE_NS):
        behaviour = Behaviour.NAIVE
    elif growth is None:
        # One retry a call: whether a second wait would be longer nobody knows.
        behaviour = Behaviour.UNKNOWN if len(by_ordinal) < 2 and jittered else Behaviour.FIXED
    elif growth >= _GROWTH:
        behaviour = Behaviour.JITTERED if jittered else Behaviour.EXPONENTIAL
    else:
        behaviour = Behaviour.NAIVE if median_ns < IMMEDIATE_NS else Behaviour.FIXED
    return Manner(behaviour, waits, median_ns, growth, jittered, told, honoured)


def _growth(by_ordinal: Sequence[Sketch]) -> float | None:
    """The geometric mean of the steps between medians, up to a cap; None for a single kind of wait."""
    medians = [sketch.percentile(50) for sketch in by_ordinal if sketch.count >= 3]
    if len(medians) < 2 or medians[0] <= 0:
        return None
    steps = 0
    for before, after in pairwise(medians):
        if steps and after < before * _CAPPED:
            break
        steps += 1
    return float((medians[steps] / medians[0]) ** (1 / steps))


def _jittered(by_ordinal: Sequence[Sketch]) -> bool:
    """Whether most waits stand among others of their ordinal that differ."""
    spread = alike = 0
    for sketch in by_ordinal:
        if sketch.count < 3:
            continue
        low, high = sketch.percentile(10), sketch.percentile(90)
        if high > max(low * _JITTER, low + _LEAST_JITTER_NS):
            spread += sketch.count
        else:
            alike += sketch.count
    return spread > alike
