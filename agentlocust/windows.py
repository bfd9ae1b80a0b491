"""Windows of a test in which something was wrong, and where a call lies to them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from agentlocust.errors import ConfigError
from agentlocust.units import parse_duration

MAX_WINDOWS = 100
_PHASE = re.compile(r"\s*([\w.-]{1,60})\s*@\s*([^\W\d][^@,]{0,59}|\d+ [^@,]{1,59})\Z")
_WINDOW = re.compile(r"\s*([\w.-]{1,60})\s*@\s*([^-\s]+)\s*-\s*([^-\s]+)\s*\Z")


@dataclass(frozen=True, slots=True)
class Window:
    """Something was wrong from `start_s` to `end_s`, in seconds since the test began.

    One of a `phase` is the `nth` of that phase; it has no end until the phase has.
    """

    name: str
    start_s: float
    end_s: float
    phase: str = ""
    nth: int = 0

    @property
    def open(self) -> bool:
        """True while its phase goes on."""
        return bool(self.phase) and math.isinf(self.end_s)

    @property
    def key(self) -> str:
        """What it is known by in all processes of the test, whose clocks may differ a little."""
        if self.phase:
            return f"{self.name}@{self.phase}/{self.nth}"
        return f"{self.name}@{self.start_s:g}-{self.end_s:g}"


def _order(window: Window) -> tuple[float, float, str]:
    return window.start_s, window.end_s, window.name


@dataclass(frozen=True, slots=True)
class Windows:
    """All windows of a test by their start, and the blocks that overlapping ones make together.

    Gap k lies before block k, the last one after them all. A call that touches a window is in that
    window, in all of them if it touches several; any other call lies in one gap. `phased` are the windows
    that come with a phase, by their names and the phase's: they are among the others once it has begun.
    """

    all: tuple[Window, ...]
    phased: tuple[tuple[str, str], ...] = ()
    blocks: tuple[tuple[float, float], ...] = field(init=False)

    def __post_init__(self) -> None:
        merged: list[tuple[float, float]] = []
        for window in self.all:
            if merged and window.start_s <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], window.end_s))
            else:
                merged.append((window.start_s, window.end_s))
        object.__setattr__(self, "blocks", tuple(merged))

    @classmethod
    def of(cls, windows: Iterable[Window], phased: Iterable[tuple[str, str]] = ()) -> Windows:
        """In the order of their starts. Raises ConfigError for a window that ends before it starts."""
        ordered = sorted(windows, key=_order)
        if len(ordered) > MAX_WINDOWS:
            raise ConfigError(f"more than {MAX_WINDOWS} windows")
        for window in ordered:
            if not 0 <= window.start_s < window.end_s:
                raise ConfigError(f"window {window.name} ends before it begins")
        return cls(tuple(ordered), tuple(dict.fromkeys(phased)))

    def __bool__(self) -> bool:
        return bool(self.all or self.phased)

    def entered(self, phase: str, at_s: float) -> Windows:
        """The windows once that phase has begun, and with it the one before has ended. "" is no phase."""
        if not self.phased:
            return self
        known = [
            replace(window, end_s=max(at_s, window.start_s)) if window.open and window.phase != phase else window
            for window in self.all
        ]
        goes_on = any(window.open for window in known)
        for name, wanted in self.phased:
            if wanted == phase and not goes_on and len(known) < MAX_WINDOWS:
                nth = sum((window.name, window.phase) == (name, phase) for window in known)
                known.append(Window(name, at_s, math.inf, phase, nth))
        return Windows(tuple(sorted(known, key=_order)), self.phased)

    def touched(self, start_s: float, end_s: float) -> list[int]:
        """The windows that a stretch of time overlaps, by their place in `all`."""
        return [n for n, window in enumerate(self.all) if start_s < window.end_s and end_s > window.start_s]

    def blamed(self, start_s: float, end_s: float) -> list[int]:
        """The windows in which a stretch of time began, else the first that it runs into."""
        began = [n for n, window in enumerate(self.all) if window.start_s <= start_s < window.end_s]
        return began or self.touched(start_s, end_s)[:1]

    def gap_at(self, start_s: float) -> int:
        """The gap in which something lies that touches no window."""
        return sum(end <= start_s for _, end in self.blocks)

    def block_of(self, index: int) -> int:
        """The block that a window is part of."""
        window = self.all[index]
        return next(n for n, (start, end) in enumerate(self.blocks) if start <= window.start_s and window.end_s <= end)

    def gap_span(self, gap: int, duration_s: float) -> tuple[float, float]:
        """From when to when a gap lasts in a test of so many seconds."""
        start = self.blocks[gap - 1][1] if gap else 0.0
        return start, self.blocks[gap][0] if gap < len(self.blocks) else max(duration_s, start)


def parse_windows(texts: Sequence[str], where: str = "") -> Windows:
    """Read `outage@30s-60s`, or `burst@spike` for a phase, several separated by commas. Raises ConfigError."""
    found, phased = list[Window](), list[tuple[str, str]]()
    for text in (part for whole in texts for part in whole.split(",") if part.strip()):
        if (match := _PHASE.match(text)) is not None:
            phased.append((match[1], match[2].strip()))
            continue
        match = _WINDOW.match(text)
        if match is None:
            raise ConfigError(f"{text.strip()[:60]!r} is not a window", where=where, hint="write outage@30s-60s")
        try:
            found.append(Window(match[1], parse_duration(match[2]), parse_duration(match[3])))
        except ConfigError as error:
            raise ConfigError(error.what, where=where, hint=error.hint) from None
    try:
        return Windows.of(found, phased)
    except ConfigError as error:
        raise ConfigError(error.what, where=where) from None
