"""The schedule is absolute."""

from __future__ import annotations

import asyncio
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.mock.behaviour import parse_spec
from agentlocust.mock.schedule import due_times, slowed_times, until


@given(st.lists(st.integers(1, 5), min_size=1, max_size=20))
def test_a_piece_is_due_with_its_last_token(weights: list[int]) -> None:
    """Token k is due at ttft + (k - 1) itl, however tokens are bundled."""
    found = list(due_times(parse_spec("ttft=1s,itl=100ms"), weights, random.Random(1)))
    tokens = 0
    for weight, due in zip(weights, found, strict=True):
        tokens += weight
        assert due == pytest.approx(1 + (tokens - 1) * 0.1)


def test_drawn_gaps_never_go_back_in_time() -> None:
    """With random gaps the times still rise."""
    found = list(due_times(parse_spec("ttft=exponential(1s),itl=normal(1ms,10ms)"), [1] * 100, random.Random(3)))
    assert found == sorted(found)


def test_nothing_is_sent_before_it_is_due() -> None:
    """Waiting ends at or after the moment, at once for one that is past."""

    async def waits() -> tuple[bool, bool, float]:
        due = time.monotonic() + 0.0123
        slept = await until(due)
        return slept, await until(due), time.monotonic() - due

    slept, again, over = asyncio.run(waits())
    assert slept is True
    assert again is False
    assert over >= 0


def test_crowded_gaps_grow_as_the_crowd_does() -> None:
    """Each gap is longer by what is the case when it is drawn; ttft is as ever."""
    crowd = iter([1.0, 2.0, 2.0, 1.5])
    found = list(slowed_times(parse_spec("ttft=1s,itl=100ms"), [1] * 5, random.Random(1), lambda: next(crowd)))
    assert found == pytest.approx([1.0, 1.1, 1.3, 1.5, 1.65])
