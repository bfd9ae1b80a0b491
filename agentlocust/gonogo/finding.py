"""What became of an item: its colour, why, and how old its evidence is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from agentlocust.units import show_span

CLOCK_SKEW = timedelta(minutes=5)  # evidence may come from another machine's clock


class Colour(StrEnum):
    """What an item is; only green lets it pass."""

    GREEN = "green"
    RED = "red"
    STALE = "stale"  # it was good, and that is too long ago


@dataclass(frozen=True, slots=True)
class Finding:
    """A colour and the sentence that explains it; `made` is when the evidence came to be (aware, UTC)."""

    colour: Colour
    text: str
    made: datetime | None = None
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scene:
    """Where and when evidence is looked for: paths are relative to `folder`, the checklist's own."""

    folder: Path
    now: datetime
    max_age_s: float
    environ: dict[str, str]


def red(text: str, made: datetime | None = None, details: Sequence[str] = ()) -> Finding:
    """Not fulfilled."""
    return Finding(Colour.RED, text, made, tuple(details))


def aged(text: str, made: datetime, scene: Scene, max_age_s: float | None) -> Finding:
    """Good evidence: green while it is young, stale after, red if its date is yet to come."""
    limit = scene.max_age_s if max_age_s is None else max_age_s
    if made > scene.now + CLOCK_SKEW:
        return red(f"{text}; but its date is yet to come ({made:%Y-%m-%d %H:%M})", made)
    age = (scene.now - made).total_seconds()
    if age > limit:
        return Finding(Colour.STALE, f"{text}; {show_age(age)} old, at most {show_age(limit)}", made)
    return Finding(Colour.GREEN, text, made)


def show_age(seconds: float) -> str:
    """`3d`, `5h12m`, `40s`: whole days from two days on."""
    return f"{int(seconds // 86_400)}d" if seconds >= 2 * 86_400 else show_span(max(seconds, 0.0))
