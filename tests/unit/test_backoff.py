"""How an agent waits is named from its waits alone, wherever they were measured."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.backoff import Behaviour, Repeats, Try, Wait, keep, manner_of, waits_between
from agentlocust.sketch import Sketch

S = 10**9


def manner(wait_s: Callable[[random.Random, int], float], chains: int = 10, depth: int = 5, told: float | None = None):
    rng = random.Random(7)
    counts: dict[str, int] = {}
    sketches: dict[str, Sketch] = {}
    for _ in range(chains):
        for n in range(depth):
            late = rng.uniform(0.0001, 0.004)  # the generator's own
            keep(Wait(n + 1, 0, round((wait_s(rng, n) + late) * S), told), counts, sketches)
    return manner_of(counts, sketches)


@pytest.mark.parametrize(
    ("wait_s", "told", "behaviour"),
    [
        (lambda rng, n: 0.0, None, Behaviour.NAIVE),
        (lambda rng, n: 0.0, 1.0, Behaviour.NAIVE),
        (lambda rng, n: 0.5, None, Behaviour.FIXED),
        (lambda rng, n: 0.5, 2.0, Behaviour.FIXED),
        (lambda rng, n: rng.uniform(0.4, 0.6), None, Behaviour.FIXED),
        (lambda rng, n: 0.2 * 2**n, None, Behaviour.EXPONENTIAL),
        (lambda rng, n: 0.2 * 2**n, 5.0, Behaviour.EXPONENTIAL),
        (lambda rng, n: 0.01 * 3**n, None, Behaviour.EXPONENTIAL),
        (lambda rng, n: min(0.5 * 2**n, 2.0), None, Behaviour.EXPONENTIAL),
        (lambda rng, n: 0.5 * 2**n * rng.uniform(0.75, 1), None, Behaviour.JITTERED),
        (lambda rng, n: min(0.5 * 2**n, 2.0) * rng.uniform(0.5, 1), None, Behaviour.JITTERED),
        (lambda rng, n: 1.0, 1.0, Behaviour.HONOURS),
        (lambda rng, n: 1.0 + rng.uniform(0, 0.5), 1.0, Behaviour.HONOURS),
    ],
)
def test_each_manner_has_its_name(wait_s, told, behaviour):
    """Immediate, fixed, growing, growing with jitter, as told; a Retry-After that is not kept to changes nothing."""
    assert manner(wait_s, told=told).behaviour is behaviour


def test_full_jitter_grows_too():
    """Waits drawn from 0 up to the bound grow by their medians, though a single chain may shrink."""
    found = manner(lambda rng, n: rng.uniform(0, 0.2 * 2**n), chains=60)
    assert found.behaviour is Behaviour.JITTERED
    assert found.growth == pytest.approx(2, rel=0.25)


def test_few_waits_are_not_named():
    """Nothing is said of no retries, of fewer than five, and of one jittered retry a call."""
    assert manner(lambda rng, n: 1.0, chains=0).behaviour is Behaviour.NONE
    assert manner(lambda rng, n: 1.0, chains=1, depth=4).behaviour is Behaviour.UNKNOWN
    assert manner(lambda rng, n: rng.uniform(0.5, 1), chains=9, depth=1).behaviour is Behaviour.UNKNOWN


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 10**11)), max_size=40), st.integers(0, 40))
def test_the_name_does_not_depend_on_who_saw_what(waits, cut):
    """Waits kept by two workers and merged make the manner of all of them."""
    whole: tuple[dict[str, int], dict[str, Sketch]] = ({}, {})
    parts: list[tuple[dict[str, int], dict[str, Sketch]]] = [({}, {}), ({}, {})]
    for number, (ordinal, ns) in enumerate(waits):
        for counts, sketches in (whole, parts[number >= cut]):
            keep(Wait(ordinal, 5, 5 + ns, 0.5 if ns % 2 else None), counts, sketches)
    counts = {name: sum(part[0].get(name, 0) for part in parts) for name in whole[0]}
    merged = {name: Sketch() for name in whole[1]}
    for part in parts:
        for name, sketch in part[1].items():
            merged[name].merge(sketch)
    assert manner_of(counts, merged) == manner_of(*whole)


def tries(*times: tuple[float, float]) -> tuple[Try, ...]:
    return tuple(Try(round(start * S), round(end * S)) for start, end in times)


def test_waits_lie_between_end_and_start():
    """An attempt's own time is no wait."""
    waits = list(waits_between(tries((0, 1), (1.5, 2), (3, 4))))
    assert [(wait.ordinal, wait.ns) for wait in waits] == [(1, S // 2), (2, S)]


def test_a_call_that_repeats_a_failed_one_is_a_retry():
    """Same name and body after a failure; its waits are numbered on, the SDK's within it included."""
    repeats = Repeats()
    assert repeats.ended("a", b"x", tries((0, 1)), failed=True) == ([], False)
    waits, again = repeats.ended("a", b"x", tries((2, 3), (5, 6)), failed=True)
    assert again
    assert [(wait.ordinal, wait.ns) for wait in waits] == [(1, S), (2, 2 * S)]
    waits, again = repeats.ended("a", b"x", tries((10, 11)), failed=False)
    assert again
    assert [(wait.ordinal, wait.ns) for wait in waits] == [(3, 4 * S)]
    assert repeats.ended("a", b"x", tries((12, 13)), failed=True) == ([], False)  # the one before it succeeded


def test_another_question_is_no_retry():
    """Another body, or another name, asks for something else."""
    repeats = Repeats()
    repeats.ended("a", b"x", tries((0, 1)), failed=True)
    assert not repeats.ended("b", b"x", tries((2, 3)), failed=False)[1]
    assert not repeats.ended("a", b"y", tries((2, 3)), failed=False)[1]
