"""Loads drawn as a curve: a straight ramp, steps, and the sine of a day."""

from __future__ import annotations

from math import ceil, cos, pi

from agentlocust.shapes.keys import MAX_STAGES, Asked, Key, at_least_one, duration, refused, whole, whole_users
from agentlocust.shapes.levels import level_name, parse_level, rounded, shown
from agentlocust.shapes.patterns import play
from agentlocust.shapes.stage import Load, Shape, Stage
from agentlocust.units import show_span

DAY = 86_400.0
_EIGHTHS = ("low", "rising", "rising", "high", "high", "falling", "falling", "low")

RAMP_KEYS = (
    Key("from", parse_level, "0", "level at the start"),
    Key("to", at_least_one, "100, or -u", "level at the end"),
    Key("duration", duration, "60s, or -t", "how long it takes"),
)
STEP_KEYS = (
    Key("from", at_least_one, "a fifth of `to`", "level of the first step"),
    Key("to", at_least_one, "50, or -u", "level of the last step"),
    Key("step", at_least_one, "`from`", "how far each step goes"),
    Key("count", whole(2, MAX_STAGES), "-", "how many steps, in place of `step`"),
    Key("hold", duration, "30s", "length of each step"),
)
_WAVE = (
    Key("mean", at_least_one, "-", "level in the middle, with `max` or from 0"),
    Key("min", parse_level, "a tenth of `max`", "level at the lowest"),
    Key("max", at_least_one, "100, or -u", "level at the highest"),
)
SINE_KEYS = (
    *_WAVE,
    Key("period", duration, "10m", "length of one wave"),
    Key("cycles", whole(1, 1000), "1", "how many waves"),
    Key("duration", duration, "-t", "the whole of it, in place of `cycles`"),
)
DAILY_KEYS = (*_WAVE, Key("cycles", whole(1, 31), "1", "how many days of 24 h"))


def ramp(asked: Asked) -> Shape:
    """A straight line from one level to another."""
    whole_users(asked, "from", "to")
    start, end = asked.values["from"].number if asked.has("from") else 0.0, asked.highest("to", 100)
    seconds = _fixed(asked, 60.0)
    stage = Stage("ramp", seconds, start, end)
    settings = {"from": start, "to": end, "unit": str(asked.load), "duration_s": seconds}
    return Shape("ramp", asked.load, settings, max(start, end), seconds, lambda: play([stage]))


def steps(asked: Asked) -> Shape:
    """Levels one after the other, each a phase of its own name, such as `20 users`."""
    whole_users(asked, "from", "to", "step")
    if asked.has("step") and asked.has("count"):
        raise refused("step and count say the same", "count", "keep one of them")
    last = asked.highest("to", 50)
    first = asked.level("from", last / 5)
    count, step = asked.get("count", None), asked.level("step", first)
    if count is None:
        count = ceil(abs(last - first) / step - 1e-9) + 1
        levels = [first + (step if last >= first else -step) * n for n in range(min(count, MAX_STAGES + 1) - 1)]
    else:
        levels = [first + (last - first) * n / (count - 1) for n in range(count - 1)]
    if count > MAX_STAGES:
        raise refused(f"more than {MAX_STAGES:,} steps", "step", "a larger step")
    levels = [rounded(level, asked.load) for level in levels] + [last]
    hold = asked.seconds("hold", 30.0)
    stages = [Stage.hold(level_name(level, asked.load), hold, level) for level in levels]
    settings = {"levels": levels, "unit": str(asked.load), "hold_s": hold}
    return Shape("steps", asked.load, settings, max(levels), hold * len(levels), lambda: play(stages))


def sine(asked: Asked) -> Shape:
    """Waves that begin at their lowest; their parts are the phases low, rising, high and falling."""
    if asked.has("cycles") and asked.has("duration"):
        raise refused("cycles and duration say the same", "cycles", "keep one of them")
    period = asked.seconds("period", 600.0, floor=8.0)
    total = period * asked.get("cycles", 1)
    if asked.has("duration") or (asked.run_time is not None and not asked.has("cycles")):
        total = _fixed(asked, total)
    if total / period > 1000:
        raise refused("more than 1,000 waves", "period", "a longer period")
    return _wave("sine", asked, period, total)


def daily(asked: Asked) -> Shape:
    """Days of 24 hours (scaled by --time-scale) that begin at their lowest, as at night."""
    period = asked.scaled(DAY, 8.0)
    return _wave("daily", asked, period, period * asked.get("cycles", 1))


def _fixed(asked: Asked, default: float) -> float:
    """The duration: the key's, else -t as it is, else the default."""
    if asked.has("duration") or asked.run_time is None:
        return asked.seconds("duration", default)
    return asked.run_time


def _wave(name: str, asked: Asked, period: float, total: float) -> Shape:
    low, high = _bounds(asked)
    # Straight pieces, six to an eighth of a wave where each can last a second.
    eighth = max(min(int(period // 8), 6), 1)
    piece = period / (8 * eighth)
    stages = []
    for number in range(ceil(total / piece - 1e-9)):
        start, end = number * piece, min((number + 1) * piece, total)
        phase = _EIGHTHS[number // eighth % 8]
        stages.append(Stage(phase, end - start, _at(start / period, low, high), _at(end / period, low, high)))
    settings = {"min": low, "max": high, "unit": str(asked.load), "period_s": period, "duration_s": total}
    return Shape(name, asked.load, settings, high, total, lambda: play(stages))


def _bounds(asked: Asked) -> tuple[float, float]:
    """The lowest and the highest level, from two of min, mean and max."""
    whole_users(asked, "mean", "min", "max")
    if not asked.has("mean"):
        high = asked.highest("max", 100)
        low = asked.values["min"].number if asked.has("min") else high / 10
    elif asked.has("min") and asked.has("max"):
        raise refused("mean follows from min and max", "mean", "keep two of the three")
    else:
        mean = asked.values["mean"].number
        low = asked.values["min"].number if asked.has("min") else 0.0
        high = 2 * mean - low
        if asked.has("max"):
            high = asked.values["max"].number
            low = 2 * mean - high
    if not 0 <= low <= high:
        raise refused(
            "the lowest level is above the highest, or below 0", "min", "min is at most mean, mean at most max"
        )
    return low, high


def _at(turn: float, low: float, high: float) -> float:
    return low + (high - low) * (1 - cos(2 * pi * turn)) / 2


def tell_ramp(shape: Shape) -> str:
    """The ramp in a line."""
    settings = shape.settings
    start = shown(settings["from"], Load(settings["unit"]))
    return f"{start} to {shown(settings['to'], shape.load)} in {show_span(settings['duration_s'])}"


def tell_steps(shape: Shape) -> str:
    """The steps in a line."""
    levels = shape.settings["levels"]
    first, last = shown(levels[0], shape.load), shown(levels[-1], shape.load)
    return f"{first} to {last} in {len(levels)} steps of {show_span(shape.settings['hold_s'])}"


def tell_wave(shape: Shape) -> str:
    """The waves in a line."""
    settings = shape.settings
    low, high = shown(settings["min"], shape.load), shown(settings["max"], shape.load)
    return (
        f"{low} to {high} and back each {show_span(settings['period_s'])}, {show_span(settings['duration_s'])} in all"
    )
