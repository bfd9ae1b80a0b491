"""The proxy's guard and its Treasury: never more than the budget, nobody waits for ever, whatever the order."""

from __future__ import annotations

import asyncio
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentlocust.budget import Budget
from agentlocust.pricing import PriceBook
from agentlocust.proxy.framing import Sized
from agentlocust.proxy.guard import Guard, OwnTreasury
from agentlocust.proxy.heads import Head
from agentlocust.proxy.passage import Passage, passage_of

PRICES = PriceBook.load()
MICRO = 10**6  # pico-dollars


def ask(limit: int = 10, *, model: str = "gpt-4o-mini", run: str = "") -> Passage:
    """A request that came whole."""
    headers = [(b"x-agentlocust-run", run.encode())] if run else []
    head = Head(b"HTTP/1.1", headers, b"POST", b"/v1/chat/completions")
    passage = passage_of(head, Sized(0), "", "/v1/chat/completions", 1, copies=False)
    passage.ask(json.dumps({"model": model, "max_tokens": limit, "messages": []}).encode())
    return passage


def guard_of(budget: Budget) -> Guard:
    """A guard with a Treasury of its own."""
    treasury = OwnTreasury(budget)
    treasury.guard = Guard(PRICES, treasury.told, shared=budget.shared, run=budget.run)
    return treasury.guard


def settle(passage: Passage, cost: int | None) -> None:
    """The request has ended."""
    assert passage.reservation is not None
    passage.reservation.settle(cost)


def test_what_fits_passes_and_what_never_will_is_refused():
    """The second's worst case is more than is left."""

    async def run() -> list[str]:
        guard = guard_of(Budget(total=20 * MICRO))
        first = ask()
        told = [await guard.admit(first)]
        settle(first, 15 * MICRO)
        return [*told, await guard.admit(ask())]

    passed, refused = asyncio.run(run())
    assert passed == ""
    assert "the budget is spent" in refused


def test_who_may_fit_later_waits_for_those_under_way():
    """And passes when they cost less than was set aside."""

    async def run() -> str:
        guard = guard_of(Budget(total=20 * MICRO))
        first, second = ask(), ask()
        assert await guard.admit(first) == ""
        waiting = asyncio.create_task(guard.admit(second))
        await asyncio.sleep(0.02)
        assert not waiting.done()
        settle(first, 1)
        return await asyncio.wait_for(waiting, 1)

    assert asyncio.run(run()) == ""


def test_who_still_waits_after_a_grant_says_so_again():
    """The Treasury takes a need as met by what it grants: the next one's is told, though it is the same."""

    async def run() -> list[int]:
        words: list[dict] = []
        guard = Guard(PRICES, words.append, shared=True, run=None)
        waiting = [asyncio.create_task(guard.admit(ask())) for _ in range(2)]
        await asyncio.sleep(0.01)
        told = len(words)
        guard.hear({"n": words[-1]["need"], "ceiling": None, "scarce": False})
        await asyncio.sleep(0.01)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return [word["need"] for word in words[told - 1 : told + 1]]

    before, after = asyncio.run(run())
    assert before == after > 0


def test_a_model_without_a_price_is_not_let_through():
    """No budget can be kept for it."""
    refused = asyncio.run(guard_of(Budget(total=MICRO * MICRO)).admit(ask(model="nobodys-model")))
    assert "has no price" in refused


def test_each_run_has_its_own_money():
    """One that has spent it is refused, another is not."""

    async def run() -> list[str]:
        guard = guard_of(Budget(run=20 * MICRO))
        first = ask(run="a")
        told = [await guard.admit(first)]
        settle(first, None)  # nobody told: it counts in full
        return [*told, await guard.admit(ask(run="a")), await guard.admit(ask(run="b")), await guard.admit(ask())]

    first, again, other, unknown = asyncio.run(run())
    assert (first, other, unknown) == ("", "", "")
    assert "its run has" in again


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(15, 400))
def test_no_order_of_calls_spends_more_and_all_come_to_an_end(seed, micros):
    """Calls that start, wait, are given up and end in any order."""
    drawn = random.Random(seed)

    async def call(guard: Guard) -> int:
        passage = ask(drawn.choice([1, 10, 40]))
        try:
            refused = await asyncio.wait_for(guard.admit(passage), drawn.choice([0.002, 5]))
        except TimeoutError:
            return 0
        if refused:
            return 0
        assert passage.reservation is not None
        cost = drawn.randrange(passage.reservation.amount + 1)
        await asyncio.sleep(drawn.choice([0, 0.001]))
        settle(passage, cost)
        return cost

    async def run() -> int:
        guard = guard_of(Budget(total=micros * MICRO))
        return sum(await asyncio.wait_for(asyncio.gather(*(call(guard) for _ in range(30))), 10))

    assert asyncio.run(run()) <= micros * MICRO


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense"])
def test_a_request_that_cannot_be_read_is_not_let_through(body):
    """It names no model, so it has no price."""
    passage = ask()
    passage.request, passage.request_size = [body], len(body)
    assert "has no price" in asyncio.run(guard_of(Budget(total=MICRO * MICRO)).admit(passage))
