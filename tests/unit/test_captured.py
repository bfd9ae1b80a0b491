"""Captured runs: the best of each class, whatever worker had them and in whatever order they came."""

from __future__ import annotations

import json
import random

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.captured import CLASSES, MAX_EXAMPLE_STEPS, CapturedRuns, tree_of
from agentlocust.records import AgentRun, EndReason, Finding, FindingKind
from agentlocust.steps import CallStep, RunStep, ToolAsk, ToolStep
from agentlocust.usage import Usage

RUNS = st.lists(
    st.tuples(
        st.floats(0, 100),
        st.none() | st.integers(0, 1000),
        st.sampled_from(["", "", "wrong"]),
        st.lists(st.builds(Finding, st.sampled_from(FindingKind), st.just("x"), st.integers(1, 9)), max_size=2),
    ),
    max_size=40,
)


def numbered(drawn: list[tuple[float, int | None, str, list[Finding]]]) -> list[AgentRun]:
    return [
        AgentRun("a", 0.0, latency, cost_picousd=cost, error=error, findings=tuple(findings), id=number)
        for number, (latency, cost, error, findings) in enumerate(drawn)
    ]


def keeper(count: int, *, texts: bool = False) -> CapturedRuns:
    kept = CapturedRuns()
    kept.keep(count, texts=texts)
    return kept


def travelled(delta: object) -> list[list[list[object]]]:
    """The delta as it comes out of Locust's messages."""
    return msgpack.unpackb(msgpack.packb(delta))  # type: ignore[no-any-return]


@given(RUNS, st.integers(0, 6), st.randoms(use_true_random=False))
def test_workers_merge_to_what_one_process_would_keep(
    drawn: list[tuple[float, int | None, str, list[Finding]]], count: int, generator: random.Random
) -> None:
    """Reported at any time, in any order, by any number of workers."""
    alone, master = keeper(count), keeper(count)
    workers = [keeper(count) for _ in range(3)]
    deltas = []
    for run in numbered(drawn):
        alone.add(run)
        worker = generator.choice(workers)
        worker.add(run)
        if generator.random() < 0.3:
            deltas.append(worker.take())
    deltas += [worker.take() for worker in workers]
    generator.shuffle(deltas)
    for delta in deltas:
        master.merge(travelled(delta))
    assert master.lines() == alone.lines()
    assert [master.example(kind) for kind in FindingKind] == [alone.example(kind) for kind in FindingKind]


@given(RUNS, st.integers(1, 6))
def test_the_extremes_are_always_there(drawn: list[tuple[float, int | None, str, list[Finding]]], count: int) -> None:
    """Failed, slowest and dearest come first, each run once, and never more than were asked for."""
    kept = keeper(count)
    runs = numbered(drawn)
    for run in runs:
        kept.add(run)
    chosen = [json.loads(line) for line in kept.lines()]
    assert len(chosen) == min(count, len(runs))
    assert len({run["id"] for run in chosen}) == len(chosen)
    failed = [run for run in runs if run.error]
    if failed:
        assert (chosen[0]["why"], chosen[0]["error"]) == ("failed", "wrong")
    slow = chosen[1 if failed else 0] if len(chosen) > bool(failed) else None
    others = [run for run in runs if not failed or f"{run.id:016x}" != chosen[0]["id"]]
    if slow is not None and others:
        assert slow["why"] in CLASSES
        assert round(slow["latency_s"] * 1e9) == max(round(run.latency * 1e9) for run in others)


def test_what_was_sent_is_not_sent_again_and_nothing_worse() -> None:
    """A worker's reports stay small however long the test."""
    kept = keeper(2)
    sizes = []
    for latency in (5.0, 9.0, 7.0, 1.0, 2.0):
        kept.add(AgentRun("a", 0.0, latency, id=int(latency)))
        sizes.append(len(kept.take()[0]))
    assert sizes[:3] == [1, 1, 1]
    assert len(kept.runs) <= 4
    kept.clear()
    assert kept.take() == [[], []]
    assert (kept.count, kept.lines()) == (2, [])


def test_nothing_is_kept_unless_asked_for_but_examples() -> None:
    """A run that the end of the test cut is not kept at all."""
    kept = CapturedRuns()
    finding = Finding(FindingKind.LOOP, "x", 3)
    kept.add(AgentRun("a", 0.0, 9.0, id=1, cancelled=True, findings=(finding,)))
    assert kept.take() == [[], []]
    steps = tuple(ToolStep("t", 0.0, 1.0, text="secret") for _ in range(MAX_EXAMPLE_STEPS + 5))
    kept.texts = True
    kept.add(AgentRun("a", 0.0, 9.0, id=2, findings=(finding,), steps=steps, steps_left_out=2))
    example = kept.example("loop")
    assert (len(example["steps"]), example["steps_left_out"], kept.lines()) == (MAX_EXAMPLE_STEPS, 7, [])
    assert "secret" not in json.dumps(example)


@pytest.mark.parametrize("texts", [False, True])
def test_a_tree_holds_times_from_the_start_and_texts_only_when_asked(texts: bool) -> None:
    """Also in the runs inside it."""
    ask = ToolAsk("find", "d1", "", '{"order": "canary"}')
    call = CallStep("a", "m", 101.0, 0.5, 0.1, usage=Usage(output=3), asks=(ask,), said="canary", replied="canary")
    inner = RunStep("sub", 100.5, 2.0, steps=(call, ToolStep("find", 101.5, 0.1, items=3, text="canary")))
    run = AgentRun("a", 100.0, 3.0, steps=(inner,), asked="canary", end_reason=EndReason.MAX_TURNS, id=255)
    tree = tree_of(run, texts=texts)
    assert (tree["id"], tree["end_reason"]) == ("00000000000000ff", "max_turns")
    (sub,) = tree["steps"]
    assert [(step["kind"], step["start_s"]) for step in (sub, *sub["steps"])] == [
        ("run", 0.5),
        ("call", 1.0),
        ("tool", 1.5),
    ]
    assert sub["steps"][1]["items"] == 3
    assert json.dumps(tree).count("canary") == (5 if texts else 0)
