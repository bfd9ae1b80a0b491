"""Baseline, spike, recovery: how long until the target is itself again."""

from __future__ import annotations

from typing import Any

from agentlocust.shapes.keys import Asked, Key, at_least_one, duration, one_of, refused, share, whole, whole_users
from agentlocust.shapes.levels import rounded, shown
from agentlocust.shapes.reading import Calm, figures_of, main_failure, percentile_s
from agentlocust.shapes.stage import Finding, Program, Seen, Shape, Stage
from agentlocust.units import show_percent, show_seconds, show_span

KEYS = (
    Key("baseline", at_least_one, "a tenth of `spike`", "level before and after"),
    Key("spike", at_least_one, "100, or -u", "level of the spike"),
    Key("baseline_time", duration, "30s", "length of the baseline"),
    Key("spike_time", duration, "20s", "length of the spike"),
    Key("recovery_time", duration, "60s", "how long recovery is watched"),
    Key("tolerance", share(0, 10), "20%", "how much slower than the baseline counts as recovered"),
    Key("seconds", whole(1, 600), "3", "consecutive seconds that must be good"),
    Key("metric", one_of("latency", "ttft"), "latency", "whose p95 is judged, second by second"),
)


def build(asked: Asked) -> Shape:
    """The three phases. Raises ConfigError when the spike is none."""
    whole_users(asked, "baseline", "spike")
    top = asked.highest("spike", 100)
    base = asked.level("baseline", rounded(top / 10, asked.load))
    if base >= top:
        raise refused("the spike is not above the baseline", "spike", "a larger spike or a smaller baseline")
    seconds = asked.get("seconds", 3)
    settings: dict[str, Any] = {
        "baseline": base,
        "spike": top,
        "unit": str(asked.load),
        "baseline_s": asked.seconds("baseline_time", 30.0, floor=5.0),
        "spike_s": asked.seconds("spike_time", 20.0),
        "recovery_s": asked.seconds("recovery_time", 60.0, floor=seconds + 2.0),
        "tolerance": asked.get("tolerance", 0.2),
        "seconds": seconds,
        "metric": asked.get("metric", "latency"),
    }
    if settings["recovery_s"] < seconds:
        raise refused(f"recovery is too short for {seconds} good seconds", "recovery_time", "a longer one")
    total = settings["baseline_s"] + settings["spike_s"] + settings["recovery_s"]
    return Shape("spike", asked.load, settings, top, total, lambda: _run(settings))


def tell(shape: Shape) -> str:
    """The spike in a line."""
    settings = shape.settings
    base, top = shown(settings["baseline"], shape.load), shown(settings["spike"], shape.load)
    return f"{base}, {top} for {show_span(settings['spike_s'])}, recovery {show_span(settings['recovery_s'])}"


def _run(settings: dict[str, Any]) -> Program:
    base, top, watched = settings["baseline"], settings["spike"], settings["recovery_s"]
    baseline = yield Stage.hold("baseline", settings["baseline_s"], base)
    if baseline.target_gone:
        return _finding(
            settings, {"baseline": baseline}, None, f"the target died before the spike: {baseline.target_gone}"
        )
    spike = yield Stage.hold("spike", settings["spike_s"], top)
    # Down at once: a ramp would be load after the end of the spike, and so part of the recovery time.
    recovery = yield Stage.hold("recovery", watched, base)
    phases = {"baseline": baseline, "spike": spike, "recovery": recovery}
    calm = Calm.of(baseline, settings["metric"], settings["tolerance"])
    if calm is None:
        return _finding(settings, phases, None, "recovery cannot be judged: no call succeeded in the baseline")
    back = calm.back_after(recovery.points, settings["seconds"])
    normal = f"p95({calm.metric}) within {show_percent(settings['tolerance'])} of {show_seconds(calm.usual_s)}"
    if back is None:
        return _finding(settings, phases, None, f"not recovered within {show_span(watched)}: {_state(recovery, calm)}")
    return _finding(settings, phases, back, f"recovered {back:.1f} s after the spike: {normal}")


def _state(recovery: Seen, calm: Calm) -> str:
    """What kept it from being recovered."""
    if recovery.target_gone:
        return recovery.target_gone
    if not recovery.calls:
        return "no call came back"
    failure = main_failure(recovery)
    if failure and recovery.error_rate > calm.errors:
        return failure
    p95 = percentile_s(recovery.ttft if calm.metric == "ttft" else recovery.latency, 95)
    now = "unknown" if p95 is None else show_seconds(p95)
    return f"p95({calm.metric}) {now}, {show_seconds(calm.usual_s)} in the baseline"


def _finding(settings: dict[str, Any], phases: dict[str, Seen], back: float | None, sentence: str) -> Finding:
    sentences = [sentence]
    if any(seen.saturated for seen in phases.values()):
        sentences.append("the generator was saturated, so the target may have been itself again earlier")
    figures = {
        "kind": "spike",
        "unit": settings["unit"],
        "recovery_time_s": back,
        "watched_s": settings["recovery_s"],
        "tolerance": settings["tolerance"],
        "phases": {name: figures_of(seen) for name, seen in phases.items()},
    }
    return Finding(tuple(sentences), figures, {"recovery_time": back})
