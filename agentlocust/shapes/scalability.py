"""The same work by 1, 2, 4, 8, … users: what more of them bring, and where the law says it ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentlocust.shapes import usl
from agentlocust.shapes.keys import Asked, Key, duration, number, pause, refused
from agentlocust.shapes.levels import level_name, parse_users, rounded, shown
from agentlocust.shapes.reading import achieved, figures_of
from agentlocust.shapes.stage import Finding, Load, Program, Seen, Shape, Stage
from agentlocust.units import show_count, show_percent, show_span

KEYS = (
    Key("from", parse_users, "1", "users at first"),
    Key("to", parse_users, "64, or -u", "users at last"),
    Key("factor", number(1.1, 10), "2", "each level is so many times the one before"),
    Key("hold", duration, "10s", "length of each level"),
    Key("settle", pause, "2s", "time before each that is not counted"),
)
_WITHIN_REACH = 4  # a peak further beyond the largest level is a guess and left out of the sentences


def build(asked: Asked) -> Shape:
    """One phase a level, such as `8 users`. Raises ConfigError in the open loop: the law is about users."""
    if asked.load is Load.RATE:
        raise refused("scalability counts users, not rates", "rate", "leave out --rate, or use stress or capacity")
    first, last = asked.level("from", 1), asked.highest("to", 64)
    if last < first:
        raise refused("`to` is below `from`", "to", "a larger one")
    factor = asked.get("factor", 2.0)
    levels = [first]
    while levels[-1] < last:
        levels.append(min(max(rounded(levels[-1] * factor, Load.USERS), levels[-1] + 1), last))
    hold, settle = asked.seconds("hold", 10.0, floor=4.0), asked.seconds("settle", 2.0)
    settings = {"levels": levels, "unit": str(Load.USERS), "hold_s": hold, "settle_s": settle}
    total = (hold + settle) * len(levels)
    return Shape("scalability", Load.USERS, settings, last, total, lambda: _run(levels, hold, settle), searches=True)


def tell(shape: Shape) -> str:
    """The levels in a line."""
    levels = shape.settings["levels"]
    return f"{shown(levels[-1], shape.load)} in {len(levels)} levels of {show_span(shape.settings['hold_s'])}"


def _run(levels: Sequence[float], hold: float, settle: float) -> Program:
    measured: list[Seen] = []
    stopped = ""
    for level in levels:
        if settle:
            yield Stage.hold("settle", settle, level)
        seen = yield Stage.hold(level_name(level, Load.USERS), hold, level)
        if seen.target_gone:
            stopped = f"the target died at {shown(level, Load.USERS)}: {seen.target_gone}"
        elif seen.saturated:
            stopped = f"the generator was saturated at {shown(level, Load.USERS)}: what follows is of the levels below"
        if stopped:
            break
        measured.append(seen)
    return _finding(measured, stopped)


def _finding(measured: Sequence[Seen], stopped: str) -> Finding:
    pairs = [(seen.stage.end, achieved(seen)) for seen in measured]
    each = pairs[0][1] / pairs[0][0] if pairs else 0.0
    curve = [
        {**figures_of(seen), "efficiency": rate / (level * each) if each else None}
        for seen, (level, rate) in zip(measured, pairs, strict=True)
    ]
    law = usl.fit(pairs)
    figures: dict[str, Any] = {"kind": "scalability", "unit": str(Load.USERS), "curve": curve, "usl": None}
    sentences = [stopped] if stopped else []
    if pairs and each:
        level, rate = pairs[-1]
        share = show_percent(rate / (level * each))
        sentences.append(f"{shown(level, Load.USERS)}: {show_count(rate)} calls/s, {share} of linear")
    if law is not None:
        figures["usl"] = {
            "lambda": law.lam,
            "sigma": law.sigma,
            "kappa": law.kappa,
            "peak_users": law.peak,
            "peak_throughput": law.most,
            "error": law.error,
        }
        sentences.append(_law_in_words(law, pairs[-1][0]))
    else:
        sentences.append("too few levels with successful calls to fit the scalability law: three are needed")
    return Finding(tuple(sentences), figures)


def _law_in_words(law: usl.Law, last: float) -> str:
    fitted = f"fitted law: sigma {law.sigma:.3g}, kappa {law.kappa:.3g}"
    if law.peak is None or law.peak > _WITHIN_REACH * last:
        return f"{fitted}: no peak within reach of these levels"
    most = show_count(law.throughput(law.peak))
    return f"{fitted}: throughput peaks at {shown(round(law.peak), Load.USERS)} with {most} calls/s"
