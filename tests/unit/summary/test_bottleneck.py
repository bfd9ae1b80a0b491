"""What limited a test is named where it shows, and its healthy twin has no bottleneck."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from agentlocust.failures import Failure, FailureKind
from agentlocust.ledger import Ledger
from agentlocust.records import AgentRun, Call, ConnectionTimes, ToolCall
from agentlocust.summary import Summary, TestFacts, build_summary
from agentlocust.summary.bottleneck import Limit, bottleneck
from agentlocust.summary.load_model import ShapeModel
from agentlocust.summary.model import Generator, Point
from agentlocust.usage import Usage

SECONDS = 120
GB = 10**9


def built(ledger: Ledger | None = None, **parts: Any) -> Summary:
    """A test of two minutes with 1,000 good calls, and whatever parts are given."""
    if ledger is None:
        ledger = Ledger()
    for number in range(1000):
        ledger.add_call(Call("chat", "m", 0.0, 2.0, ttft=0.2), number % SECONDS)
    facts = TestFacts("t", "a.py", "", float(SECONDS), "mock", 1, monitor={"subjects": parts.pop("subjects", {})})
    return build_summary(ledger, facts).model_copy(update=parts)


def failing(kind: FailureKind, n: int, *, injected: bool = False) -> Summary:
    ledger = Ledger()
    for _ in range(n):
        ledger.add_call(Call("chat", "m", 0.0, 0.01, failure=Failure(kind, "no", injected=injected)), 1)
    return built(ledger)


def graded(grade: str) -> Summary:
    generator = Generator(
        grade=grade, clock="kernel", stamps={}, lag_s=None, cpu_max=1, cpu_mean=1, machine_cpu_max=1, steal_max=0,
        sockets_max=1, rss_max_bytes=1, grades={},
    )  # fmt: skip
    return built(generator=generator)


def course(*values: float) -> dict[str, Any]:
    """Readings of a figure each second: the values in turn."""
    return {"points": [[t, values[t * len(values) // SECONDS]] for t in range(SECONDS)]}


def watched(target: dict[str, Any], machine: dict[str, Any] | None = None) -> Summary:
    return built(subjects={"target:8000": target, "machine": machine or {}})


def opening(connect_s: float, *, reused: bool) -> Summary:
    ledger = Ledger()
    for _ in range(1000):
        times = ConnectionTimes(reused, connect_s=connect_s, tls_s=connect_s)
        ledger.add_call(Call("chat", "m", 0.0, 2.0, ttft=0.4, connection=times), 1)
    return built(ledger)


def with_tools(tool_s: float) -> Summary:
    ledger = Ledger()
    for _ in range(50):
        run = AgentRun("refund", 0.0, 10.0, calls=2, tool_calls=2, usage=Usage(output=9), cost_picousd=1)
        ledger.add_run(run, 5)
        ledger.add_run(replace(run, name="part of it", inside=True), 5)
        ledger.add_tool(ToolCall("lookup", 0.0, tool_s))
        ledger.add_tool(ToolCall("lookup", 0.0, tool_s))
    return built(ledger)


def loaded(
    ttft: Callable[[float], float], tpot: Callable[[float], float], *, axis: str = "users", noise: float = 0.1
) -> Summary:
    """Load from 1 to 100 over the test, and times that depend on it."""
    chance = random.Random(3)
    points = []
    for t in range(SECONDS):
        load = 1 + 99 * t / SECONDS
        points.append(
            Point(
                t=t,
                users=round(load) if axis == "users" else 200,
                started=round(load) if axis == "rate" else None,
                calls=20,
                ttft_p50=ttft(load) * chance.uniform(1 - noise, 1 + noise),
                tpot_p50=tpot(load) * chance.uniform(1 - noise, 1 + noise),
            )
        )
    return built(series=points)


def flat(value: float) -> Callable[[float], float]:
    return lambda _: value


def rising(value: float, by: float) -> Callable[[float], float]:
    return lambda load: value + by * load


PLENTY = {"memory": course(4 * GB), "memory_available": course(12 * GB), "swap": course(GB), "cpu": course(400)}

SICK: list[tuple[Limit, Callable[[], Summary], str]] = [
    (Limit.GENERATOR, lambda: graded("saturated"), "the generator was saturated"),
    (Limit.GENERATOR, lambda: graded("strained"), "the generator was strained"),
    (Limit.RATE_LIMIT, lambda: failing(FailureKind.RATE_LIMITED, 250), "20.0% of 1,250 calls were told 429"),
    (
        Limit.TARGET_MEMORY,
        lambda: watched({"cpu": course(300)}, PLENTY | {"memory_available": course(GB, 0.2 * GB)}),
        "the machine had 4.0% of its memory left",
    ),
    (
        Limit.TARGET_MEMORY,
        lambda: watched({"cpu": course(300)}, PLENTY | {"swap": course(0, GB)}),
        "the machine swapped 1,000 MB out",
    ),
    (
        Limit.TARGET_CPU,
        lambda: watched({"cpu": course(300, 990, 1000), "processes": course(1)}, PLENTY),
        "target:8000 used 99",
    ),
    (
        Limit.TARGET_CPU,
        lambda: watched({"cpu": course(3000, 3900, 4000), "processes": course(5)}, PLENTY),
        "of 4 cores, as many as its processes",
    ),
    (
        Limit.TARGET_CPU,
        lambda: watched({"cpu": course(3000, 7700), "processes": course(1)}, PLENTY | {"cpu": course(500, 990)}),
        "99.0% of the machine's CPU was used in its busiest half, 7.7 cores by target:8000",
    ),
    (Limit.CONNECTIONS, lambda: failing(FailureKind.CONNECT, 250), "20.0% of 1,250 calls got no connection"),
    (Limit.CONNECTIONS, lambda: opening(0.1, reused=False), "of calls opened a connection"),
    (Limit.QUEUEING, lambda: loaded(rising(0.2, 0.05), flat(0.02)), "as users rose"),
    (Limit.QUEUEING, lambda: loaded(rising(0.2, 0.05), flat(0.02), axis="rate"), "as the rate rose"),
    (Limit.QUEUEING, lambda: loaded(rising(0.2, 0.05), flat(0.02), axis="time"), "during the test"),
    (Limit.DECODE, lambda: loaded(flat(0.2), rising(0.02, 0.0005)), "the time of a token rose"),
    (Limit.DECODE, lambda: loaded(rising(0.2, 0.05), rising(0.02, 0.0005)), "the time of a token rose"),
    (Limit.TOOLS, lambda: with_tools(4.0), "tools took 80.0% of the agent runs' time"),
]

HEALTHY: dict[str, Callable[[], Summary]] = {
    "nothing measured": lambda: build_summary(Ledger(), TestFacts("t", "a.py", "", 1.0, "mock", 1)),
    "valid generator": lambda: graded("valid"),
    "a few 429": lambda: failing(FailureKind.RATE_LIMITED, 10),
    "other failures": lambda: failing(FailureKind.SERVER_ERROR, 500),
    "no more quota": lambda: failing(FailureKind.QUOTA, 500),
    "enough memory": lambda: watched({"cpu": course(300), "processes": course(1)}, PLENTY),
    "swap as before": lambda: watched({"cpu": course(300)}, PLENTY | {"swap": course(GB, GB + 10**6)}),
    "a full machine that is nobody's target": lambda: built(subjects={"machine": {"cpu": course(1000)}}),
    "half a core": lambda: watched({"cpu": course(300, 500), "processes": course(1)}, PLENTY),
    "threads that use 2 of 8 cores": lambda: watched({"cpu": course(900, 1900), "processes": course(1)}, PLENTY),
    "once above one core": lambda: watched(
        {"cpu": course(*[900, 950, 800, 900, 1400]), "processes": course(1)}, PLENTY
    ),
    "few readings": lambda: built(subjects={"target:8000": {"cpu": {"points": [[0, 1000], [1, 1000]]}}}),
    "a few refused": lambda: failing(FailureKind.CONNECT, 10),
    "refused by the test's own plan": lambda: failing(FailureKind.CONNECT, 250, injected=True),
    "limited by the test's own plan": lambda: failing(FailureKind.RATE_LIMITED, 250, injected=True),
    "connections kept": lambda: opening(0.1, reused=True),
    "connections opened at once": lambda: opening(0.001, reused=False),
    "steady times": lambda: loaded(flat(0.2), flat(0.02)),
    "noisy times": lambda: loaded(flat(0.2), flat(0.02), noise=0.6),
    "a little slower": lambda: loaded(rising(0.2, 0.0005), rising(0.02, 0.00001)),
    "milliseconds of a fast server": lambda: loaded(rising(0.002, 0.0001), flat(0.02)),
    "quick tools": lambda: with_tools(0.5),
}


@pytest.mark.parametrize(("limit", "make", "words"), SICK, ids=[f"{sick[0]}: {sick[2][:25]}" for sick in SICK])
def test_a_limit_is_named_with_its_figures(limit: Limit, make: Callable[[], Summary], words: str) -> None:
    """Each cause by itself, told from the Summary alone."""
    found = bottleneck(make())
    assert found.limit is limit
    assert found.sentence.startswith(f"limited by {limit}: ")
    assert words in found.sentence
    assert found.evidence


@pytest.mark.parametrize("make", HEALTHY.values(), ids=HEALTHY.keys())
def test_the_healthy_twin_has_none(make: Callable[[], Summary]) -> None:
    """Not found is said rather than guessed."""
    found = bottleneck(make())
    assert (found.limit, found.evidence) == (Limit.NOT_FOUND, [])


def test_what_was_not_watched_is_said() -> None:
    """Without a watched target its CPU and memory could not be seen."""
    assert bottleneck(built()).sentence.endswith("with --watch its CPU and memory would be seen")
    assert bottleneck(watched({"cpu": course(300)}, PLENTY)).sentence == "what limited the test was not found"


def test_the_first_cause_is_named_and_the_rest_is_evidence() -> None:
    """A generator that cannot keep up makes all other figures doubtful; a full CPU makes calls queue."""
    queueing = loaded(rising(0.2, 0.05), flat(0.02))
    full = queueing.model_copy(
        update={"monitor": {"subjects": {"target:a": {"cpu": course(990), "processes": course(1)}}}}
    )
    found = bottleneck(full)
    assert found.limit is Limit.TARGET_CPU
    assert [line for line in found.evidence if "ttft rose" in line]
    generator = graded("saturated").generator
    assert bottleneck(full.model_copy(update={"generator": generator})).limit is Limit.GENERATOR


def test_a_summary_from_a_file_may_hold_anything_in_its_monitor() -> None:
    """Readings that are none are left alone."""
    anything: list[Any] = [
        None, [], {"target:a": None}, {"target:a": {"cpu": {"points": None}}}, {"target:a": {"cpu": 3}},
    ]  # fmt: skip
    for subjects in anything:
        assert bottleneck(built(subjects=subjects)).limit is Limit.NOT_FOUND


def ending(kind: FailureKind, *, since: int) -> Summary:
    """All calls fail from a second on."""
    ledger = Ledger()
    for t in range(since, SECONDS):
        for _ in range(20):
            ledger.add_call(Call("chat", "m", 0.0, 0.01, failure=Failure(kind, "no")), t)
    summary = built(ledger)
    points = [Point(t=t, calls=20, failed=20 if t >= since else 0) for t in range(SECONDS)]
    return summary.model_copy(update={"series": points})


def test_a_target_that_died_is_no_full_connection_pool() -> None:
    """Nor the generator's limit: refused calls are made again at once. Errors are not death."""
    found = bottleneck(ending(FailureKind.CONNECT, since=100))
    assert (found.limit, found.evidence) == (Limit.DEAD, ["from 100 s on none of 400 calls reached it"])
    saturated = ending(FailureKind.RESET, since=100).model_copy(update={"generator": graded("saturated").generator})
    assert bottleneck(saturated).limit is Limit.DEAD
    assert bottleneck(ending(FailureKind.SERVER_ERROR, since=100)).limit is Limit.NOT_FOUND
    assert bottleneck(ending(FailureKind.CONNECT, since=SECONDS - 2)).limit is not Limit.DEAD


@pytest.mark.parametrize(
    ("cause", "limit"),
    [
        ("queueing", Limit.QUEUEING),
        ("decode slowed", Limit.DECODE),
        ("rate limited", Limit.RATE_LIMIT),
        ("errors", Limit.NOT_FOUND),
    ],
)
def test_what_the_shape_found_is_not_found_again(cause: str, limit: Limit) -> None:
    """A search compares two levels; over its whole test, up and down, less would show."""
    shape = ShapeModel(name="capacity", load="users", searches=True, figures={"cause": cause, "shows": "so and so"})
    found = bottleneck(built(shape=shape))
    assert (found.limit, found.evidence) == (limit, [] if limit is Limit.NOT_FOUND else ["so and so"])
    strained = built(shape=shape, generator=graded("strained").generator)
    assert bottleneck(strained).limit is limit  # as calls that fail at once make it


def test_time_is_no_load_in_a_search() -> None:
    """Its levels go up and down."""
    slower = loaded(rising(0.2, 0.05), flat(0.02), axis="time")
    assert bottleneck(slower).limit is Limit.QUEUEING
    shape = ShapeModel(name="capacity", load="/s", searches=True)
    assert bottleneck(slower.model_copy(update={"shape": shape})).limit is Limit.NOT_FOUND


def test_the_queue_that_is_left_at_the_end_is_no_light_load() -> None:
    """After the last phase users leave while what they asked for is still served, late."""
    series = loaded(rising(0.2, 0.05), flat(0.02), axis="time").series
    tail = [Point(t=SECONDS + t, users=200 - 4 * t, calls=20, ttft_p50=9.0, tpot_p50=0.02) for t in range(50)]
    assert bottleneck(built(series=[*series, *tail])).limit is Limit.QUEUEING


def test_a_watched_process_that_died_early_is_no_divisor() -> None:
    """Most readings are of nothing: they say neither how many processes it had nor that it was idle."""
    died = {"cpu": course(300, 0, 0), "processes": course(1, 0, 0)}
    assert bottleneck(watched(died, PLENTY)).limit is Limit.NOT_FOUND
    assert bottleneck(watched(died | {"processes": course(0)}, PLENTY)).limit is Limit.NOT_FOUND


def test_a_machine_that_others_fill_is_not_the_target_s_limit() -> None:
    """It used hardly anything itself."""
    full = PLENTY | {"cpu": course(990)}
    assert bottleneck(watched({"cpu": course(60), "processes": course(1)}, full)).limit is Limit.NOT_FOUND
