"""The Summary's account of the generator: its clock, its lag, its CPU, its worst second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

from agentlocust.health import Grade, Health, Second
from agentlocust.metrics import SCALE, Unit
from agentlocust.rating import Rating
from agentlocust.summary.model import Generator, Point, Summary, WorstSecond
from agentlocust.summary.parts import Stats

BEYOND = 1.25  # of its rating: there the study's 99th percentile was off by tens of milliseconds
_NS = SCALE[Unit.SECONDS]


def build_generator(health: Health) -> Generator | None:
    """What the processes that made load tell of themselves; None when nothing was read."""
    if not health.by_second:
        return None
    seconds = list(health.by_second.values())
    worst = health.worst
    return Generator(
        grade=health.grade.value,
        stamps=dict(health.stamps),
        clock=_clock(health.stamps),
        lag_s=Stats.of(health.lag, _NS),
        cpu_max=max(second.cpu for second in seconds) / 1000,
        cpu_mean=health.cpu_mean / 1000,
        machine_cpu_max=max(second.machine_cpu for second in seconds) / 1000,
        steal_max=max(second.steal for second in seconds) / 1000,
        sockets_max=max(second.sockets for second in seconds),
        rss_max_bytes=max(second.rss for second in seconds),
        threads_max=max(second.threads for second in seconds),
        fds_max=max(second.fds for second in seconds),
        grades=dict(Counter(second.grade.value for second in seconds)),
        step_s=health.width,
        worst_second=None if worst is None else _worst(worst),
    )


def grade_points(points: list[Point], health: Health, width: int) -> None:
    """Give each step of the series the generator's worst second in it."""
    worst: dict[int, Second] = {}
    for second in health.by_second.values():
        step = second.second // width  # a step of the health's own lies in it by its worst second
        known = worst.get(step)
        if known is None or _badness(second) > _badness(known):
            worst[step] = second
    for point in points:
        found = worst.get(int(point.t) // width)
        if found is not None:
            point.lag_p99_s = found.lag_p99_ns / _NS
            point.cpu = found.cpu / 1000
            point.grade = found.grade.value


def quote_rating(rating: Rating, points: Sequence[Point], width: int, workers: int) -> dict[str, Any]:
    """How far under its rating a test ran: its best step's output tokens a second and worker, as a share."""
    best = max((point.output_tokens for point in points), default=0) / width / max(workers, 1)
    return {
        "rated_streams": rating.rated_streams,
        "rated_tokens_per_s": rating.rated_tokens_per_s,
        "date": rating.date,
        "share": best / rating.rated_tokens_per_s,
    }


def hold_to_rating(summary: Summary, rating: Rating, *, target_is_here: bool) -> None:
    """Quote a rating, and grade a test that ran beyond it.

    Calibration found what is true beside a target on this machine. A test of such a target that
    went a quarter beyond was not shown to be true; with its target elsewhere it may well be.
    """
    generator, test = summary.generator, summary.test
    if generator is None:
        return
    generator.rating = quote_rating(rating, summary.series, summary.series_step_s, test.workers)
    rate = summary.totals.tokens.output / max(test.duration_s, 1.0) / max(test.workers, 1)
    share = rate / rating.rated_tokens_per_s
    if share <= 1:
        return
    grade: Literal["strained", "saturated"] = "saturated" if target_is_here and share >= BEYOND else "strained"
    summary.validity.reasons.append(
        f"it ran at {share:.0%} of what one worker is rated for on this machine: use fewer users or more machines"
    )
    order = list(Grade)
    if order.index(Grade(generator.grade)) < order.index(Grade(grade)):
        generator.grade = grade
    if summary.validity.status == "valid" or (grade == "saturated" and summary.validity.status == "strained"):
        summary.validity.status = grade


def _badness(second: Second) -> tuple[int, int]:
    return list(Grade).index(second.grade), second.lag_max_ns


def _worst(second: Second) -> WorstSecond:
    return WorstSecond(
        t=second.second,
        lag_max_s=second.lag_max_ns / _NS,
        lag_p99_s=second.lag_p99_ns / _NS,
        cpu=second.cpu / 1000,
        grade=second.grade.value,
    )


def _clock(stamps: dict[str, int]) -> str:
    kernel, total = stamps.get("kernel", 0), sum(stamps.values())
    if not total:
        return ""
    if kernel == total:
        return "kernel"
    return "hub" if not kernel else "kernel, hub"
