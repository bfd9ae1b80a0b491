"""Is the right cause named? `python tests/reliability/stress.py --runs 5`: targets that break in known ways."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from studies import study  # isort: skip  # puts the harness on the path

from experiments import SPEC, asking, experiment, finding, told, unreadable
from harness import MockServer, Result

STEPS = "stress:from=4,to=24,step=4,hold=6s,recovery=8s"
RATES = "stress:from=20/s,to=120/s,step=20/s,hold=6s,recovery=8s"
WATCHED = ("--watch-interval", "200ms")
PAUSES = asking(0.1)


def embedded(directory: Path, spec: str, cause: str, shape: str, *, locustfile: str = "") -> list[str]:
    """The embedded mock breaks, and is watched."""
    users = 100 if "/s" in shape else None
    args = ("--mock", f"{SPEC},{spec}", "--watch", "mock", *WATCHED)
    return _judged(experiment(directory, shape, *args, locustfile=locustfile, users=users, timeout_s=120.0), cause)


def dies(directory: Path, spec: str, locustfile: str, *, watched: bool) -> list[str]:
    """A mock in a process of its own ends in mid-test."""
    with MockServer(directory, f"{SPEC},{spec}") as server:
        watch = ("--watch", f"pid:{server.pid}", *WATCHED) if watched else ()
        result = experiment(directory, STEPS, "--host", server.url, *watch, locustfile=locustfile, timeout_s=120.0)
    events = [event["what"] for event in result.summary["monitor"]["events"]] if watched else ["died"]
    return _judged(result, "target dead") + ([] if events == ["died"] else [f"events {events}"])


def _judged(result: Result, cause: str) -> list[str]:
    """Exit 0, the cause, nothing unreadable: all that failed did so on purpose."""
    found = finding(result).get("cause")
    wrong = [] if found == cause else [f"{found} instead of {cause}: {told(result)}"]
    return wrong + ([] if result.exit_code == 0 else [f"exit {result.exit_code}"]) + unreadable(result)


TRIALS: dict[str, Callable[[Path], list[str]]] = {
    "queues, closed loop": partial(embedded, spec="slots=8", cause="queueing", shape=STEPS),
    "queues, open loop": partial(embedded, spec="slots=8", cause="queueing", shape=RATES),
    "429, closed loop": partial(embedded, spec="rate=90/s", cause="rate limited", shape=STEPS),
    "429, open loop": partial(embedded, spec="rate=70/s", cause="rate limited", shape=RATES),
    "decodes slower": partial(
        embedded, spec="contention=0.1", cause="decode slowed", shape=f"{STEPS},break=p95(latency)>180ms"
    ),
    "dies, watched": partial(dies, spec="die=14s", locustfile="", watched=True),
    "dies, not watched": partial(dies, spec="die=14s", locustfile="", watched=False),
    "dies of concurrency, watched": partial(dies, spec="die_at_concurrency=10", locustfile=PAUSES, watched=True),
    "dies of concurrency, not watched": partial(dies, spec="die_at_concurrency=10", locustfile=PAUSES, watched=False),
}
LEAKS = (
    ("leaks memory", "leak_rate=5MB/s", STEPS),
    ("leaks memory, which is to end it", "leak_rate=5MB/s", f"{STEPS},break=leak"),
    ("leaks descriptors", "leak_fds=20/s", STEPS),
    ("leaks threads", "leak_threads=10/s", STEPS),
)
TRIALS |= {
    name: partial(embedded, spec=spec, cause="leak", shape=shape, locustfile=PAUSES) for name, spec, shape in LEAKS
}


if __name__ == "__main__":
    study("The cause of a break", TRIALS.items())
