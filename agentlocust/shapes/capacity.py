"""How much it holds: doubling until the SLA fails, then bisection, then twice the same to be sure."""

from __future__ import annotations

from typing import Any

from agentlocust.shapes.keys import Asked, Key, at_least_one, duration, pause, refused, share, whole_users
from agentlocust.shapes.levels import shown
from agentlocust.shapes.search import Search, Terms
from agentlocust.shapes.stage import Program, Shape
from agentlocust.units import show_percent

KEYS = (
    Key("from", at_least_one, "1", "level of the first trial"),
    Key("to", at_least_one, "1000, or -u", "the highest level to try"),
    Key("precision", share(0.005, 0.5), "5%", "how near the answer must come; users are whole anyway"),
    Key("hold", duration, "10s", "shortest trial"),
    Key("max_hold", duration, "6 times `hold`", "longest trial, while samples are too few for its percentile"),
    Key("settle", pause, "3s", "time before each trial that is not judged"),
)


def build(asked: Asked) -> Shape:
    """The search as it was asked for. Raises ConfigError."""
    whole_users(asked, "from", "to")
    last = asked.highest("to", 1000)
    first = asked.level("from", min(1.0, last))
    if last < first:
        raise refused("`to` is below `from`", "to", "a larger one")
    hold = asked.seconds("hold", 10.0, floor=3.0)
    longest = asked.seconds("max_hold", 6 * hold / asked.time_scale, floor=3.0)
    if longest < hold:
        raise refused("the longest trial is shorter than the shortest", "max_hold", "at least `hold`")
    terms = Terms(
        load=asked.load,
        first=first,
        last=last,
        precision=asked.get("precision", 0.05),
        hold=hold,
        max_hold=longest,
        settle=asked.seconds("settle", 3.0),
    )
    settings: dict[str, Any] = {
        "from": first,
        "to": last,
        "unit": str(asked.load),
        "precision": terms.precision,
        "hold_s": hold,
        "max_hold_s": longest,
        "settle_s": terms.settle,
    }

    def run() -> Program:
        return Search(terms).run()

    return Shape("capacity", asked.load, settings, last, None, run, searches=True)


def tell(shape: Shape) -> str:
    """The search in a line."""
    settings = shape.settings
    first, last = shown(settings["from"], shape.load), shown(settings["to"], shape.load)
    return f"the most from {first} to {last} that meets the SLA, within {show_percent(settings['precision'])}"
