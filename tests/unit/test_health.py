"""The generator's health: each second's grade, the test's, and what it says to do."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.health import (
    BAD_IN_A_ROW,
    MAX_STEPS,
    SATURATED_CPU,
    SATURATED_LAG_NS,
    STEAL,
    STRAINED_CPU,
    STRAINED_LAG_NS,
    Grade,
    Health,
    Second,
)
from agentlocust.sketch import Sketch

GOOD: dict[str, int] = {}
STRAINED = {"lag_p99_ns": STRAINED_LAG_NS}
BAD = {"lag_p99_ns": SATURATED_LAG_NS}


def a_second(number: int = 0, **changes: int) -> Second:
    fields = {"lag_p99_ns": 1_000_000, "lag_max_ns": 2_000_000, "cpu": 300, "machine_cpu": 200, "steal": 0}
    return Second(number, **{**fields, "sockets": 5, "rss": 10**8, **changes})


def told(health: Health, process: str, *seconds: dict[str, int]) -> Health:
    """Health that heard of these seconds of a process, in order."""
    encoded = [a_second(number, **changes).encode() for number, changes in enumerate(seconds)]
    health.add(process, encoded, Sketch(), {"kernel": len(seconds)})
    return health


@pytest.mark.parametrize(
    ("changes", "grade"),
    [
        ({}, "valid"),
        ({"lag_p99_ns": STRAINED_LAG_NS - 1, "cpu": STRAINED_CPU - 1}, "valid"),
        ({"lag_p99_ns": STRAINED_LAG_NS}, "strained"),
        ({"cpu": STRAINED_CPU}, "strained"),
        ({"lag_p99_ns": SATURATED_LAG_NS - 1, "cpu": SATURATED_CPU - 1}, "strained"),
        ({"lag_p99_ns": SATURATED_LAG_NS}, "saturated"),
        ({"cpu": SATURATED_CPU}, "saturated"),
        ({"lag_p99_ns": SATURATED_LAG_NS, "cpu": 10}, "saturated"),
        ({"lag_max_ns": 10**9, "machine_cpu": 1000, "steal": 900}, "valid"),
    ],
)
def test_a_second_is_graded_at_its_thresholds(changes, grade):
    """The worse of lag and CPU decides, from the threshold on; a busy machine alone is no fault."""
    assert a_second(**changes).grade == grade


@pytest.mark.parametrize(
    ("seconds", "grade"),
    [
        ([], "valid"),
        ([BAD] * (BAD_IN_A_ROW - 1) + [GOOD] * 98, "valid"),
        ([GOOD] * 200 + [BAD] * BAD_IN_A_ROW + [GOOD] * 200, "saturated"),
        ([GOOD] * 200 + [STRAINED] * BAD_IN_A_ROW + [GOOD] * 200, "strained"),
        ([GOOD] * 200 + [STRAINED, BAD, STRAINED] + [GOOD] * 200, "strained"),
        (([BAD] + [GOOD] * 19) * 3, "saturated"),  # 3 of 60: a twentieth
        (([BAD] + [GOOD] * 19) * 3 + [GOOD], "valid"),  # 3 of 61: less
        ([BAD, GOOD, BAD, GOOD], "valid"),  # half of them, but only two
        (([STRAINED] + [GOOD] * 19) * 3, "strained"),
        (([BAD, GOOD, STRAINED] + [GOOD] * 27) * 2, "strained"),  # two saturated are strained all the same
    ],
)
def test_three_in_a_row_or_a_twentieth_and_three_make_a_bad_test(seconds, grade):
    """Fewer bad seconds than three are chance; saturated ones count as strained too."""
    assert told(Health(), "local", *seconds).grade == grade


def test_one_bad_process_of_eight_makes_the_test_bad():
    """A worker that lies is not outvoted by those that do not, and the reason says how many did."""
    health = Health()
    for worker in range(7):
        told(health, f"worker-{worker}", *[GOOD] * 30)
    assert health.grade is Grade.VALID
    told(health, "worker-7", *[GOOD] * 20, *[BAD] * 10)
    assert health.grade is Grade.SATURATED
    assert "saturated for 10 of 30 s in 1 of 8 processes" in health.reason()


def test_streaks_are_of_one_process():
    """Bad seconds of three processes, one after the other, are nobody's three in a row."""
    health = Health()
    for worker in range(3):
        told(health, str(worker), *(BAD if second == 40 + worker else GOOD for second in range(100)))
    assert health.grade is Grade.VALID


def test_a_streak_goes_on_over_reports():
    """How a process cuts its seconds into reports changes nothing."""
    health = Health()
    for _ in range(BAD_IN_A_ROW):
        assert health.grade is Grade.VALID
        told(health, "a", BAD)
    assert health.grade is Grade.SATURATED


def test_the_reason_says_what_happened_and_what_to_do():
    """Seconds, worst lag and CPU, then the ways out; nothing when all was well."""
    health = told(Health(), "local", *[GOOD] * 7, *[{**BAD, "lag_max_ns": 812_000_000, "cpu": 990}] * 3)
    assert health.reason() == (
        "the generator was saturated for 3 of 10 s, worst lag 812 ms at 99% CPU: "
        "use --processes, more machines or fewer users"
    )
    assert told(Health(), "local", GOOD).reason() == ""


def test_stolen_time_is_named_apart_and_counted_once():
    """What the machine's host took is said beside the verdict, not once more for each process."""
    health = Health()
    for worker in "ab":
        told(health, worker, *[{**BAD, "steal": STEAL}] * 4, {**BAD, "steal": STEAL - 1})
    assert "; the machine's host stole CPU in 4 s:" in health.reason()
    assert "host" not in told(Health(), "local", *[BAD] * 3).reason()


def test_the_seconds_of_all_processes_lie_together():
    """The same second of two processes: the worse lag and CPU, the sum of sockets and memory."""
    health = told(told(Health(), "a", {"cpu": 900, "lag_max_ns": 7}), "b", {"lag_p99_ns": 9_000_000, "steal": 30})
    assert health.by_second == {
        0: Second(0, 9_000_000, 2_000_000, 900, 200, 30, sockets=10, rss=2 * 10**8),
    }
    assert health.cpu_mean == 600
    assert health.stamps == {"kernel": 2}


def test_cleared_is_as_new():
    """After a reset of the statistics nothing of what came before counts."""
    health = told(Health(), "a", *[BAD] * 5)
    health.lag.add(5)
    health.clear()
    assert health == Health()


SECONDS = st.lists(
    st.fixed_dictionaries(
        {
            "lag_p99_ns": st.sampled_from([0, STRAINED_LAG_NS, SATURATED_LAG_NS]),
            "lag_max_ns": st.integers(0, 2**40),
            "cpu": st.sampled_from([100, STRAINED_CPU, SATURATED_CPU, 1100]),
            "steal": st.sampled_from([0, STEAL]),
        }
    ),
    max_size=6,
)


@given(st.lists(SECONDS, min_size=1, max_size=4), st.randoms())
def test_reports_in_any_order_through_msgpack_give_the_same_verdict(processes: list[Any], chance: Any) -> None:
    """Each process's reports come in their order; how those of several mix is of no matter."""
    reports = []
    for process, seconds in enumerate(processes):
        for number, changes in enumerate(seconds):
            lag = Sketch()
            lag.add(changes["lag_max_ns"])
            vitals = [[a_second(number, **changes).encode()], lag.encode(), {"kernel": number, "hub": 1}]
            reports.append((process, number, msgpack.unpackb(msgpack.packb(vitals))))

    def heard(order: list[Any]) -> Health:
        health = Health()
        for process, _, (seconds, lag, stamps) in order:
            health.add(str(process), seconds, Sketch.decode(lag), stamps)
        return health

    turns = [process for process, _, _ in reports]
    chance.shuffle(turns)
    queues = {process: [report for report in reports if report[0] == process] for process in turns}
    one, other = heard(reports), heard([queues[process].pop(0) for process in turns])
    assert (one.grade, one.reason(), one.worst, one.stamps) == (other.grade, other.reason(), other.worst, other.stamps)
    assert one.by_second == other.by_second
    assert one.lag == other.lag
    assert one.cpu_mean == pytest.approx(other.cpu_mean)


def test_a_long_test_keeps_a_bounded_series_and_its_worst_second():
    """A day is told in no more steps than an hour; its worst second is still among them."""
    health = Health()
    for number in range(86_400):
        lag = 900_000_000 if number == 50_000 else 1_000_000
        health.add("local", [Second(number, lag, lag, 100, 100, 0, 1, 1).encode()], Sketch(), {})
    assert len(health.by_second) <= MAX_STEPS
    assert max(second.lag_max_ns for second in health.by_second.values()) == 900_000_000
    assert health.tallies["local"].seconds == 86_400


@pytest.mark.parametrize(
    ("machine", "lag_ms", "grade"),
    [(970, 15, Grade.SATURATED), (969, 15, Grade.STRAINED), (1000, 14, Grade.VALID)],
)
def test_a_late_hub_on_a_machine_with_nothing_left_is_saturated(machine, lag_ms, grade):
    """What starves the hub is the machine, not the target; a full machine alone harms nobody."""
    second = a_second(lag_p99_ns=lag_ms * 10**6, lag_max_ns=lag_ms * 10**6, machine_cpu=machine)
    assert second.grade is grade
