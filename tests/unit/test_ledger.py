"""The Ledger: the same numbers however they arrive, and bounded memory whatever arrives."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from hashlib import blake2b
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentlocust import ledger as ledgers
from agentlocust.failures import Failure, FailureKind
from agentlocust.ledger import Ledger
from agentlocust.metrics import Kind
from agentlocust.records import AgentRun, Call, EndReason, Finding, FindingKind, ToolCall
from agentlocust.usage import Usage

SECONDS = st.floats(min_value=0, max_value=600)
TOKENS = st.integers(min_value=0, max_value=100_000)
NAMES = st.sampled_from(["refund", "search", "chat"])
LABELS = st.sampled_from([(), (("tenant", "a"),), (("tenant", "b"), ("tier", "pro"))])
CALLS = st.builds(
    Call,
    name=NAMES,
    model=st.sampled_from(["gpt-4o", "claude"]),
    started=SECONDS,
    latency=SECONDS,
    phase=st.sampled_from(["main", "warm-up"]),
    labels=LABELS,
    ttft=st.none() | SECONDS,
    ttfo=st.none() | SECONDS,
    gaps_ns=st.lists(st.integers(min_value=0, max_value=10**9), max_size=4),
    bundled=st.booleans(),
    usage=st.builds(Usage, uncached_input=TOKENS, cache_read=TOKENS, output=TOKENS, estimated=st.booleans()),
    cost_picousd=st.none() | st.integers(min_value=0, max_value=10**13),
    failure=st.none() | st.builds(Failure, st.sampled_from(FailureKind), st.sampled_from(["slow", "broken"])),
    status=st.sampled_from([0, 200, 429]),
    good=st.none() | st.booleans(),
)
TOOLS = st.builds(ToolCall, NAMES, SECONDS, SECONDS, error=st.sampled_from(["", "no"]), cancelled=st.booleans())
FINDINGS = st.lists(st.builds(Finding, st.sampled_from(FindingKind), st.just("x"), st.integers(1, 5)), max_size=2)
RUNS = st.builds(
    AgentRun,
    NAMES,
    SECONDS,
    SECONDS,
    calls=TOKENS,
    cost_picousd=st.none() | TOKENS,
    usage=st.builds(Usage, uncached_input=TOKENS, output=TOKENS),
    context_growth=st.none() | st.floats(-1e6, 1e6),
    ttft=st.none() | SECONDS,
    end_reason=st.sampled_from(EndReason),
    error=st.sampled_from(["", "no"]),
    failure=st.none() | st.just(Failure(FailureKind.RESET, "gone", 200)),
    cancelled=st.booleans(),
    abandoned=st.booleans(),
    black_box=st.booleans(),
    reported=st.booleans(),
    scores=st.lists(st.floats(0, 1), max_size=2).map(tuple),
    hand_offs=st.lists(st.sampled_from("abc"), max_size=3).map(tuple),
    findings=FINDINGS.map(tuple),
)
OWN = st.floats(min_value=-1e15, max_value=1e15)
RECORDS = st.lists(st.tuples(st.one_of(CALLS, TOOLS, RUNS, OWN), st.integers(min_value=0, max_value=5000)), max_size=25)


def record(ledger: Ledger, item: Any, second: int) -> None:
    if isinstance(item, Call):
        ledger.add_call(item, second)
    elif isinstance(item, ToolCall):
        ledger.add_tool(item)
    elif isinstance(item, AgentRun):
        # Equal runs are one run here: what tells two apart is their number.
        ledger.add_run(replace(item, id=int.from_bytes(blake2b(repr(item).encode(), digest_size=7).digest())), second)
    else:
        ledger.add_metric("docs", item, "refund", "main")
        ledger.count("task_errors")


def travelled(delta: dict[str, Any]) -> dict[str, Any]:
    """The delta as it comes out of Locust's messages."""
    return msgpack.unpackb(msgpack.packb(delta), strict_map_key=False)


def state(ledger: Ledger) -> tuple[Any, ...]:
    def rows(found: Iterable[tuple[Any, ledgers.Row]]) -> dict[Any, Any]:
        return {key: (row.counts, {m: s.encode() for m, s in row.sketches.items()}) for key, row in found}

    seconds = {index * ledger.width: row for index, row in ledger.seconds.items()}
    captured = ledger.captured.lines(), [ledger.captured.example(kind) for kind in FindingKind]
    return rows(ledger.rows.items()), ledger.counts, ledger.samples, rows(seconds.items()), captured


def a_call(**changes: Any) -> Call:
    return Call(**{"name": "refund", "model": "m", "started": 0.0, "latency": 1.0, **changes})


@settings(max_examples=60)
@given(st.lists(RECORDS, min_size=8, max_size=8), st.randoms(use_true_random=False))
def test_eight_workers_in_any_order_equal_one_process(
    parts: list[list[tuple[Any, int]]], generator: random.Random
) -> None:
    """What workers take, send and the master merges is bit for bit what one process would have."""
    alone, master = Ledger(), Ledger()
    for ledger in (alone, master):
        ledger.captured.keep(3)
    for part in parts:
        for item, second in part:
            record(alone, item, second)
    deltas = []
    for part in parts:
        worker = Ledger()
        worker.captured.keep(3)
        for number, (item, second) in enumerate(part):
            record(worker, item, second)
            if number % 3 == 0:
                deltas.append(worker.take())
        deltas.append(worker.take())
        assert not worker
    generator.shuffle(deltas)
    for delta in deltas:
        master.merge(travelled(delta))
    assert state(master) == state(alone)


def test_a_sum_beyond_64_bits_travels() -> None:
    """Large values of a user's own metric do not stop a worker's report."""
    worker, master = Ledger(), Ledger()
    for _ in range(100):
        worker.add_metric("bytes", 1e9, "refund", "main")
    worker.add_metric("bytes", -1e9, "refund", "main")
    master.merge(travelled(worker.take()))
    (_, row), *_ = master.select(Kind.METRIC)
    assert row.sketches["bytes"].sum == 99 * 10**18


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e16])
def test_a_metric_that_is_no_number_is_refused(value: float) -> None:
    """What cannot be added up exactly is an error where it is recorded."""
    with pytest.raises(ValueError, match="metric 'docs'"):
        Ledger().add_metric("docs", value, "refund", "main")


def test_times_are_of_successes_and_failures_stand_apart() -> None:
    """A fast failure flatters no percentile, and a cancelled call is in neither."""
    ledger = Ledger()
    ledger.add_call(a_call(ttft=0.5, good=True, status=200), 0)
    ledger.add_call(a_call(latency=0.002, failure=Failure(FailureKind.RATE_LIMITED, "slow down", 429), status=429), 0)
    ledger.add_call(a_call(latency=9.0, failure=Failure(FailureKind.CANCELLED, "")), 0)
    (_, row), *_ = ledger.select(Kind.LLM)
    assert row.counts["calls"] == 2
    assert row.counts["failed"] == row.counts["failure:rate_limited"] == row.counts["cancelled"] == 1
    assert row.counts["good"] == row.counts["judged"] == row.counts["status:429"] == 1
    assert row.sketches["latency"].encode()[:4] == [1, 10**9, 10**9, 10**9]
    assert row.sketches["failed_latency"].max == 2_000_000


def test_a_label_has_at_most_a_hundred_values() -> None:
    """The values beyond share one row, and no call is lost, also when a worker reports in between."""
    ledger = Ledger()
    taken = 0
    for number in range(500):
        ledger.add_call(a_call(labels=(("tenant", str(number)),)), 0)
        if number == 250:
            taken = sum(row[5]["c"]["calls"] for row in ledger.take()["rows"])
    labels = {key[4] for key in ledger.rows}
    assert labels == {(("tenant", ledgers.OTHER_LABEL),)}
    assert taken + sum(row.counts["calls"] for row in ledger.rows.values()) == 500


def test_rows_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names without end share one row once there are too many, and no call is lost."""
    monkeypatch.setattr(ledgers, "MAX_ROWS", 10)
    ledger = Ledger()
    for number in range(100):
        ledger.add_call(a_call(name=f"n{number}", model=f"m{number}"), 0)
    assert len(ledger.rows) == 11
    assert sum(row.counts["calls"] for row in ledger.rows.values()) == 100


def test_failure_samples_are_bounded() -> None:
    """A million different texts keep twenty of a kind, each cut, while the counts stay exact."""
    ledger = Ledger()
    for number in range(2000):
        kind = (FailureKind.TIMEOUT, FailureKind.RESET)[number % 2]
        ledger.add_call(a_call(failure=Failure(kind, f"{number} " + "x" * 10_000)), 0)
    assert len(ledger.samples) == 2 * ledgers.MAX_SAMPLES_PER_KIND
    assert max(len(text) for _, _, _, text in ledger.samples) == ledgers.MAX_SAMPLE_LENGTH
    (_, row), *_ = ledger.select(Kind.LLM)
    assert row.counts["failed"] == 2000


@given(st.lists(st.integers(min_value=0, max_value=10_000), max_size=60), st.randoms(use_true_random=False))
def test_the_series_is_bounded_and_does_not_depend_on_order(seconds: list[int], generator: random.Random) -> None:
    """A day has no more points than an hour, every call is in one, and late reports change nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledgers, "MAX_SECONDS", 8)
        first, second = Ledger(), Ledger()
        for at in seconds:
            first.add_call(a_call(), at)
        generator.shuffle(seconds)
        for at in seconds:
            second.add_call(a_call(), at)
    assert state(first) == state(second)
    assert first.width == second.width
    assert len(first.seconds) <= 8
    assert sum(row.counts["calls"] for row in first.seconds.values()) == len(seconds)


def test_taking_empties_the_ledger() -> None:
    """What was taken is not sent again."""
    ledger = Ledger()
    ledger.add_call(a_call(), 3)
    assert ledger.take()["seconds"][0][0] == 3
    assert ledger.take() == {"rows": [], "counts": {}, "samples": [], "seconds": [], "captured": [[], []]}


def run_row(*runs: AgentRun) -> ledgers.Row:
    ledger = Ledger()
    for run in runs:
        ledger.add_run(run, 0)
    (_, row), *_ = ledger.select(Kind.AGENT)
    return row


def test_a_run_that_was_left_is_neither_success_nor_failure() -> None:
    """It is counted by itself, with the tokens that nobody read; its time flatters no percentile."""
    row = run_row(
        AgentRun("a", 0.0, 9.0, abandoned=True, end_reason=EndReason.ABANDONED, usage=Usage(output=7)),
        AgentRun("a", 0.0, 1.0, error="no", end_reason=EndReason.CHECK_FAILED),
        AgentRun("a", 0.0, 1.0, cancelled=True, end_reason=EndReason.CANCELLED),
    )
    assert (row.counts["abandoned"], row.counts["abandoned_tokens"], row.counts["calls"]) == (1, 7, 1)
    assert {name: n for name, n in row.counts.items() if name.startswith("end:")} == {
        "end:abandoned": 1, "end:check_failed": 1, "end:cancelled": 1,
    }  # fmt: skip
    assert "run_latency" not in row.sketches


def test_what_a_black_box_does_inside_is_not_counted_as_nothing() -> None:
    """Its calls are not known, so they are in no distribution; what it reports of itself is counted once."""
    told = AgentRun("a", 0.0, 1.0, black_box=True, reported=True, usage=Usage(output=7), cost_picousd=5, ttfe=0.5)
    row = run_row(told, AgentRun("a", 0.0, 1.0, calls=3, usage=Usage(output=2), cost_picousd=9))
    assert row.sketches["run_calls"].count == row.sketches["run_steps"].count == row.sketches["run_ttfe"].count == 1
    assert (row.counts["output"], row.counts["reported_picousd"], row.sketches["run_cost"].sum) == (7, 5, 14)


def test_a_run_with_several_findings_of_a_kind_counts_once() -> None:
    """A finding is counted in runs."""
    loop, storm = Finding(FindingKind.LOOP, "x", 3), Finding(FindingKind.RETRY_STORM, "y")
    row = run_row(AgentRun("a", 0.0, 1.0, findings=(loop, loop, storm)), AgentRun("a", 0.0, 1.0, findings=(loop,)))
    assert (row.counts["finding:loop"], row.counts["finding:retry_storm"], row.counts["findings"]) == (2, 1, 3)


def test_agents_that_are_handed_to_are_bounded() -> None:
    """A model that makes up agents cannot make a worker's memory grow."""
    row = run_row(*(AgentRun("a", 0.0, 1.0, hand_offs=(f"agent{number}",)) for number in range(300)))
    named = {name: n for name, n in row.counts.items() if name.startswith("hand_off:")}
    assert (len(named), sum(named.values()), row.counts["hand_offs"]) == (101, 300, 300)


def test_a_judge_is_no_part_of_what_is_tested() -> None:
    """Its calls have a row of their own, in no series and in no other's sums."""
    ledger = Ledger()
    ledger.add_judgement(a_call(name="judge", usage=Usage(output=5), cost_picousd=7))
    ledger.add_judgement(a_call(name="judge", failure=Failure(FailureKind.RESET, "gone")))
    ledger.add_judgement(a_call(name="judge", failure=Failure(FailureKind.CANCELLED, "")))
    ((key, row),) = ledger.rows.items()
    assert (key[0], row.counts["calls"], row.counts["failed"], row.counts["cancelled"]) == ("JUDGE", 2, 1, 1)
    assert (row.counts["cost_picousd"], row.sketches["judge_latency"].count, ledger.seconds) == (7, 1, {})


def test_injected_failures_are_counted_apart():
    """Struck calls, those that failed for it by kind, and each fault's strikes; organic failures beside them."""
    ledger = Ledger()
    injected = Failure(FailureKind.RATE_LIMITED, "x", 429, injected=True)
    organic = Failure(FailureKind.OVERLOADED, "y", 503)
    ledger.add_call(Call("a", "m", 0.0, 1.0, failure=injected, faults=("rate_limit", "rate_limit"), attempts=2), 0)
    ledger.add_call(Call("a", "m", 0.0, 1.0, failure=organic, faults=("latency",)), 0)
    ledger.add_call(Call("a", "m", 0.0, 1.0, failure=organic), 0)
    ((_, row),) = ledger.select("LLM")
    wanted = {"failed": 3, "injected": 2, "injected_failed": 1, "injected:rate_limited": 1, "failure:overloaded": 2}
    assert {name: row.counts.get(name) for name in wanted} == wanted
    assert ledger.counts == {"fault:rate_limit": 2, "fault:latency": 1}
    assert ledger.seconds[0].counts["injected_failed"] == 1
