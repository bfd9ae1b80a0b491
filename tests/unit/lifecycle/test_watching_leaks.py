"""Leaks that a test knows of while it runs: of what is watched, since the load is what it is."""

from __future__ import annotations

from agentlocust.lifecycle.watching import Watching, WatchPlan

MB = 10**6


def watching(memory: list[int], label: str = "target:mock") -> Watching:
    """A watch that has read these, one a second."""
    made = Watching(WatchPlan(), None)
    began = made._monitor._started
    for t, value in enumerate(memory):
        made._monitor.add({"t": began + t, "subjects": {label: {"memory": value, "fds": 9}}, "events": []})
    return made


def test_a_leak_is_told_in_a_sentence() -> None:
    """The figure, how fast, from where to where."""
    leak = watching([50 * MB + t * MB for t in range(60)]).leaks(0.0)
    assert leak.startswith("mock: memory grew 60.0 MB/min, from ")
    assert leak.endswith(" and did not settle")


def test_what_grew_before_the_load_was_steady_is_none() -> None:
    """Memory that rises with the load, and then stays, is not leaked."""
    grown = watching([50 * MB + min(t, 60) * MB for t in range(120)])
    assert grown.leaks(61.0) == ""


def test_only_what_is_watched_as_a_target_counts() -> None:
    """The generator's own memory is another matter."""
    assert watching([50 * MB + t * MB for t in range(60)], "generator:local").leaks(0.0) == ""
