"""The books balance."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentlocust.mock.truth import MAX_MARKS, Truth
from agentlocust.usage import Usage


@given(st.lists(st.sampled_from(["completed", "failed", "aborted", "open"]), max_size=30))
def test_every_visit_is_in_one_column(ends: list[str]) -> None:
    """Requests are the completed, failed, aborted and open ones, and nothing else."""
    truth = Truth("x")
    for end in ends:
        visit = truth.visit("/v1/messages")
        if end == "completed":
            visit.completed(Usage(uncached_input=2, output=3))
        elif end != "open":
            getattr(visit, end)("why")
        if end != "open":
            visit.aborted("client", 99)  # too late: its end is told already
    report = truth.report()
    assert report["requests"] == len(ends)
    for end in ("completed", "failed", "aborted"):
        assert report[end] == ends.count(end)
    assert report["concurrent"]["now"] == ends.count("open")
    assert report["tokens"]["output"] == 3 * ends.count("completed")
    assert report["aborted_tokens"]["output"] == 0


def test_a_reset_forgets_also_what_is_open() -> None:
    """A visit begun before a reset ends uncounted, yet no longer stands as open."""
    truth = Truth("x")
    visit = truth.visit("/v1/messages", "mark")
    truth.reset()
    visit.completed(Usage(output=3))
    report = truth.report()
    assert (report["requests"], report["completed"], report["tokens"]["output"]) == (0, 0, 0)
    assert report["concurrent"]["now"] == 0
    assert report["marks"] == {}


def test_times_are_told_in_seconds() -> None:
    """TTFT counts from the request's arrival, gaps from token to token."""
    truth = Truth("x")
    times = [1_200_000_000, 1_300_000_000, 1_500_000_000]
    truth.visit("r").completed(Usage(), 0, 600_000_000, times, started_ns=1_000_000_000)
    report = truth.report()
    assert report["ttft_s"]["mean"] == 0.2
    assert (report["itl_s"]["count"], report["itl_s"]["max"]) == (2, 0.2)
    assert report["duration_s"]["mean"] == 0.6


def test_marks_are_bounded() -> None:
    """A client cannot fill the memory with marks; those too many are counted."""
    truth = Truth("x")
    for number in range(MAX_MARKS + 5):
        truth.visit("r", f"m{number}").completed()
    assert len(truth.report()["marks"]) == MAX_MARKS
    assert truth.report()["marks_dropped"] == 5


def test_who_waited_and_who_was_refused_is_told() -> None:
    """Waits add up, the line's longest is kept, a refusal is a failure of its own kind."""
    truth = Truth("x")
    for length in (1, 2, 1, 0):
        truth.queue_is(length)
    truth.visit("r").waited(3)
    truth.visit("r").waited(5)
    refused = truth.visit("r")
    refused.refused("queue")
    refused.failed("429")
    report = truth.report()
    assert report["queue"] == {"now": 0, "max": 2}
    assert report["waits"] == {"count": 2, "sum_ns": 8, "max_ns": 5}
    assert report["refused"] == {"rate": 0, "queue": 1}
    assert report["failed_by"] == {"429": 1}


def test_a_reset_forgets_waits_but_not_who_waits() -> None:
    """The line is as long as it is; a wait from before is not counted after."""
    truth = Truth("x")
    truth.queue_is(3)
    truth.queue_is(1)
    early = truth.visit("r")
    truth.reset()
    early.waited(7)
    early.refused("rate")
    report = truth.report()
    assert report["queue"] == {"now": 1, "max": 1}
    assert report["waits"] == {"count": 0, "sum_ns": 0, "max_ns": 0}
    assert report["refused"] == {"rate": 0, "queue": 0}


def test_marks_in_prompts_have_their_own_sums():
    """What a marked request was answered with is counted under its mark, too many marks are dropped."""
    truth = Truth("i")
    for number in range(3):
        visit = truth.visit("/v1/messages")
        visit.marked("run-1" if number else "run-2")
        visit.completed(Usage(uncached_input=10, output=2), tool_calls=1)
    broken = truth.visit("/v1/messages")
    broken.marked("run-1")
    broken.failed("500")
    report = truth.report()
    assert report["marks"] == {"run-1": 3, "run-2": 1}
    assert report["marked"] == {
        "run-1": {"completed": 2, "input": 20, "output": 4, "tool_calls": 2},
        "run-2": {"completed": 1, "input": 10, "output": 2, "tool_calls": 1},
    }
    for number in range(MAX_MARKS):
        truth.visit("other").marked(f"m{number}")
    assert truth.report()["marks_dropped"] == 2
