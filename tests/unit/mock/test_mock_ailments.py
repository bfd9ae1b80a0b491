"""Troubles come when they are due and not before, and a reset puts them off."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable

import pytest

from agentlocust.mock import ailments as ailments_module
from agentlocust.mock.ailments import Ailments
from agentlocust.mock.pressure import Pressure


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The exit codes of deaths, of which nobody dies here."""
    found: list[int] = []
    monkeypatch.setattr(os, "_exit", found.append)
    return found


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  # a leak tells nobody
            await asyncio.sleep(0.005)


def never() -> bool:
    return False


def test_death_is_counted_from_the_first_request_after_a_reset(exits: list[int]) -> None:
    """A reset takes back the one that was coming; the next request sets out anew."""

    async def live() -> None:
        ailments = Ailments(Pressure(die=0.02), never)
        await asyncio.sleep(0.04)
        ailments.request(1)
        ailments.reset()
        await asyncio.sleep(0.04)
        assert exits == []
        ailments.request(1)
        ailments.request(2)
        await eventually(lambda: bool(exits))
        assert exits == [1]

    asyncio.run(live())


def test_death_by_concurrency_comes_at_its_number(exits: list[int]) -> None:
    """One less does no harm."""
    ailments = Ailments(Pressure(die_at_concurrency=3), never)

    async def live() -> None:
        ailments.request(2)
        assert exits == []
        ailments.request(3)

    asyncio.run(live())
    assert exits == [1]


def test_nothing_at_all_happens_while_frozen() -> None:
    """The loop stands still for the whole of the freeze; what was due in it comes after."""

    async def live() -> tuple[float, float]:
        started = time.monotonic()
        Ailments(Pressure(freeze=(0.01, 0.1)), never).request(1)
        await asyncio.sleep(0.03)
        return started, time.monotonic()

    started, woken = asyncio.run(live())
    assert woken - started >= 0.11


def test_a_freeze_ends_when_the_server_is_to_stop() -> None:
    """An hour's freeze does not hold up a stop."""
    asked = []

    def is_ending() -> bool:
        asked.append(True)
        return len(asked) > 1

    async def live() -> None:
        Ailments(Pressure(freeze=(0, 3600)), is_ending).request(1)
        await eventually(lambda: bool(asked))

    asyncio.run(live())
    assert len(asked) == 2


def test_descriptors_threads_and_memory_leak_at_their_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more leaks than the rate says, whatever the loop's pace, and a reset stops it."""
    opened: list[str] = []
    begun: list[threading.Thread] = []
    sizes: list[int] = []
    monkeypatch.setattr(os, "open", lambda path, _: opened.append(path))
    monkeypatch.setattr(threading.Thread, "start", lambda thread: begun.append(thread))
    monkeypatch.setattr(ailments_module, "_touched", sizes.append)

    async def live() -> None:
        ailments = Ailments(Pressure(leak_rate=1e6, leak_fds=40, leak_threads=20), never)
        started = time.monotonic()
        ailments.request(1)
        await eventually(lambda: len(opened) >= 8)
        ailments.reset()
        elapsed = time.monotonic() - started
        leaked = len(opened), len(begun), sum(sizes)
        assert leaked[0] <= 40 * elapsed
        assert 4 <= leaked[1] <= 20 * elapsed
        assert 2e5 <= leaked[2] <= 1e6 * elapsed
        await asyncio.sleep(0.15)
        assert (len(opened), len(begun), sum(sizes)) == leaked

    asyncio.run(live())


def test_memory_is_kept_for_each_request_and_a_cache_only_till_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """The leak goes on; the cache grows by hundredths and settles at its size."""
    sizes: list[int] = []
    monkeypatch.setattr(ailments_module, "_touched", sizes.append)

    async def live() -> None:
        leaking, caching = Ailments(Pressure(leak=1001), never), Ailments(Pressure(cache=3000), never)
        for _ in range(150):
            leaking.request(1)
            caching.request(1)

    asyncio.run(live())
    assert sizes.count(1001) == 150
    assert sizes.count(30) == 100
