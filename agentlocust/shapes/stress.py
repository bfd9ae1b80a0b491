"""Steps up until the target breaks: at which level, why, and whether it comes back when the load falls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentlocust.shapes.breaks import Cause, Condition, cause_of, parse_conditions
from agentlocust.shapes.keys import (
    MAX_STAGES,
    Asked,
    Key,
    at_least_one,
    duration,
    number,
    pause,
    refused,
    share,
    whole_users,
)
from agentlocust.shapes.levels import level_name, rounded, shown
from agentlocust.shapes.reading import Calm, failed_by_target, figures_of
from agentlocust.shapes.stage import Finding, Load, Program, Seen, Shape, Stage
from agentlocust.units import show_span

DEFAULT_BREAK = "sla|error_rate>5%|knee|flat"
AFTER = "after the break"
_TOLERANCE = 0.5  # of the last good step's p95: what counts as recovered
_SECONDS = 3


def settle(text: str) -> tuple[float, bool]:
    """A time, or a share of the step (then True): `5s` or `20%`. Raises ConfigError."""
    return (share(0, 0.9)(text), True) if text.endswith("%") else (pause(text), False)


KEYS = (
    Key("from", at_least_one, "a twentieth of `to`, at most 50", "level of the first step"),
    Key("to", at_least_one, "1000, or -u", "the highest level to try"),
    Key("step", at_least_one, "`from`, or a twentieth of the way", "how far each step goes up"),
    Key("factor", number(1.01, 10), "-", "each step is so many times the one before, in place of `step`"),
    Key("hold", duration, "30s", "length of each step"),
    Key("settle", settle, "20%", "the part of `hold`, share or time, at the start of a step that is not judged"),
    Key("break", parse_conditions, DEFAULT_BREAK, "what ends it; a dead target always does", repeated=True),
    Key("recovery", pause, "20s", "how long the load is held after the break, at the last good level"),
)


def build(asked: Asked) -> Shape:
    """The steps as they were asked for. Raises ConfigError."""
    load = asked.load
    whole_users(asked, "from", "to", "step")
    if asked.has("step") and asked.has("factor"):
        raise refused("step and factor say the same", "factor", "keep one of them")
    last = asked.highest("to", 1000)
    first = asked.level("from", min(50.0, last / 20))
    if last < first:
        raise refused("`to` is below `from`", "to", "a larger one")
    levels = _levels(asked, first, last)
    hold = asked.seconds("hold", 30.0, floor=3.0)
    amount, relative = asked.get("settle", (0.2, True))
    settling = hold * amount if relative else amount * asked.time_scale
    if settling >= hold:
        raise refused("settling leaves nothing of a step", "settle", "less than `hold`")
    conditions = tuple(c for group in asked.get("break", [parse_conditions(DEFAULT_BREAK)]) for c in group)
    recovery = asked.seconds("recovery", 20.0, floor=_SECONDS + 2.0) if asked.get("recovery", 20.0) else 0.0
    settings: dict[str, Any] = {
        "from": first,
        "to": last,
        "unit": str(load),
        "steps": len(levels),
        "hold_s": hold,
        "settle_s": settling,
        "break": [condition.text for condition in conditions],
        "recovery_s": recovery,
    }
    longest = hold * len(levels) + recovery

    def run() -> Program:
        return _run(load, levels, settings, conditions)

    return Shape("stress", load, settings, last, longest, run, searches=True)


def tell(shape: Shape) -> str:
    """The steps in a line."""
    settings = shape.settings
    first, last = shown(settings["from"], shape.load), shown(settings["to"], shape.load)
    hold = show_span(settings["hold_s"])
    return f"{first} to {last} in {settings['steps']} steps of {hold}, until {' or '.join(settings['break'])}"


def _levels(asked: Asked, first: float, last: float) -> list[float]:
    factor = asked.get("factor", 1.0)
    step = 0.0 if asked.has("factor") else asked.level("step", max(first, (last - first) / 19))
    smallest = 1.0 if asked.load is Load.USERS else 0.0
    levels = [first]
    while levels[-1] < last:
        level = rounded(levels[-1] * factor + step, asked.load)
        level = max(level, levels[-1] + smallest)
        if len(levels) >= MAX_STAGES or level <= levels[-1]:
            raise refused(f"more than {MAX_STAGES:,} steps", "step", "larger steps")
        levels.append(min(level, last))
    return levels


def _run(load: Load, levels: Sequence[float], settings: dict[str, Any], conditions: Sequence[Condition]) -> Program:
    settling = settings["settle_s"]
    steps: list[Seen] = []
    curve: list[dict[str, Any]] = []
    for level in levels:
        settled: Seen | None = None
        if settling:
            settled = yield Stage.hold("settle", settling, level)
        if settled is not None and settled.target_gone:
            seen = settled  # nothing would come of holding it
        else:
            seen = yield Stage.hold(level_name(level, load), settings["hold_s"] - settling, level)
        steps.append(seen)
        tripped = _tripped(steps, conditions)
        curve.append({**figures_of(seen), "ok": not tripped})
        if tripped:
            return (yield from _broken(load, steps, curve, tripped, settings))
    held = shown(levels[-1], load)
    sentences = [f"held {held}: no breaking point found"]
    figures = {"kind": "stress", "unit": str(load), "breaking_point": None, "last_good": levels[-1], "curve": curve}
    if leak := _leak(steps):
        sentences.append(f"it leaks, so it will break in time: {leak}")
        figures |= {"cause": str(Cause.LEAK), "shows": leak}
    return Finding(tuple(sentences), figures, {_metric(load): levels[-1]})


def _leak(steps: Sequence[Seen]) -> str:
    """What leaks, as the last step shows it that could tell; "" for nothing."""
    return next((seen.leaks for seen in reversed(steps) if seen.leaks), "")


def _tripped(steps: Sequence[Seen], conditions: Sequence[Condition]) -> dict[str, str]:
    """The conditions that the last step meets, each with what was seen."""
    now = steps[-1]
    if now.target_gone:
        return {"gone": f"the target died: {now.target_gone}"}
    if now.saturated and not failed_by_target(now):
        return {"saturated": "the generator was saturated"}
    if not now.calls:
        return {"silent": "no call completed"}
    return {condition.text: said for condition in conditions if (said := condition.met(steps))}


def _broken(
    load: Load, steps: Sequence[Seen], curve: list[dict[str, Any]], tripped: dict[str, str], settings: dict[str, Any]
) -> Program:
    """What the break was; then the load falls, and it is seen whether the target comes back."""
    level = steps[-1].stage.end
    good = steps[-2].stage.end if len(steps) > 1 else None
    cause, shows = cause_of(steps, _words(tripped))
    figures: dict[str, Any] = {
        "kind": "stress",
        "unit": str(load),
        "breaking_point": level,
        "last_good": good,
        "cause": str(cause),
        "shows": shows,
        "broke": list(tripped.values()),
        "curve": curve,
    }
    below = "nothing was held below" if good is None else f"last good {shown(good, load)}"
    if cause is Cause.GENERATOR:
        sentence = f"the generator was saturated at {shown(level, load)}: no finding about the target; {below}"
        return Finding((sentence,), {**figures, "breaking_point": None}, {_metric(load): good or 0.0})
    sentences = [f"breaks at {shown(level, load)}: {next(iter(tripped.values()))}; {below}"]
    if settings["recovery_s"]:
        lower = good if good is not None else rounded(level / 2, load)
        after = yield Stage.hold(AFTER, settings["recovery_s"], lower)
        back, figures["recovered"], figures["recovery_time_s"] = _after(steps, after)
        figures["after"] = figures_of(after)
        sentences.append(f"when the load fell to {shown(lower, load)} {back}")
        if after.target_gone and cause is Cause.ERRORS:  # it died in the step, too late to be sure of it then
            cause, shows = Cause.DEAD, after.target_gone
            figures |= {"cause": str(cause), "shows": shows}
    sentences.insert(1, f"cause: {cause} ({shows})")
    if (leak := _leak(steps)) and cause is not Cause.LEAK:
        sentences.append(f"it leaks: {leak}")
        figures["leaks"] = leak
    return Finding(tuple(sentences), figures, {_metric(load): level})


def _words(tripped: dict[str, str]) -> list[str]:
    """What `cause_of` needs of what was tripped: a failed check by what it looks at, else the condition."""
    return [said if text == "sla" else text for text, said in tripped.items()]


def _after(steps: Sequence[Seen], after: Seen) -> tuple[str, bool, float | None]:
    """Whether the target came back: in words, as yes or no, and after how many seconds."""
    if after.target_gone:
        return f"it did not come back: {after.target_gone}", False, None
    calm = Calm.of(steps[-2], "latency", _TOLERANCE) if len(steps) > 1 else None
    if calm is None:  # without a good step only errors can tell
        fine = after.calls > after.failed and after.error_rate <= 0.5 * steps[-1].error_rate
        return ("it answered again" if fine else "it did not recover"), fine, None
    back = calm.back_after(after.points, _SECONDS)
    if back is None:
        return f"it did not recover within {show_span(after.seconds)}", False, None
    return f"it recovered after {back:.1f} s", True, back


def _metric(load: Load) -> str:
    return "breaking_point" if load is Load.USERS else "breaking_rate"
