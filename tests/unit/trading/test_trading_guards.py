"""The reference agent's rules, one by one."""

from __future__ import annotations

import random
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paper_agents.books import Books
from paper_agents.guards import Backoff, CrashGuard, LossGuard, bought
from paper_agents.venue_client import Execution, Unsure


@given(st.integers(), st.lists(st.floats(0, 120), min_size=2, max_size=12))
def test_a_back_off_keeps_the_server_s_word_and_grows(seed, asked):
    """It never ends before Retry-After, nor before the doubled wait, and it has an end."""
    backoff, now = Backoff(random.Random(seed)), 0.0
    for number, retry_after in enumerate(asked):
        backoff.failed(now, retry_after)
        least = max(min(2.0**number, 60), retry_after)
        assert not backoff.ready(now + least * 0.999)
        assert backoff.ready(now + least * 1.251)
    backoff.worked()
    assert backoff.ready(now)


def test_two_agents_do_not_come_back_together():
    """The jitter parts them."""
    ends = set()
    for seed in range(20):
        backoff = Backoff(random.Random(seed))
        backoff.failed(0, 10)
        ends.add(next(tick for tick in range(2000) if backoff.ready(tick / 100)))
    assert len(ends) > 10


def test_the_crash_guard_stands_aside_until_a_minute_of_calm():
    """5% within half a minute is a crash; as much in five minutes is not."""
    slow, fast = CrashGuard(Decimal("0.05")), CrashGuard(Decimal("0.05"))
    for second in range(300):
        slow.see(second, Decimal(100) * (1 - Decimal(second) / 3000))
        assert not slow.aside(second)
    for second, price in enumerate((100, 99, 94, 90)):
        fast.see(second, Decimal(price))
    assert fast.aside(3)
    asides = []
    for second in range(4, 120):
        fast.see(second, Decimal(90))
        asides.append(fast.aside(second))
    ends = [number for number, (now, after) in enumerate(pairwise(asides)) if now and not after]
    assert len(ends) == 1
    assert 80 < ends[0] + 4 < 95


def test_the_loss_guard_halts_once_and_for_the_day():
    """A recovery changes nothing, and one alert is enough."""
    alerts: list[str] = []
    guard = LossGuard(Decimal("0.03"), alerts.append)
    for equity in (Decimal(100), Decimal("97.01")):
        guard.see(Decimal(100), equity)
        assert not guard.halted
    for equity in (Decimal(97), Decimal(50), Decimal(100)):
        guard.see(Decimal(100), equity)
        assert guard.halted
    assert len(alerts) == 1
    assert "3.00%" in alerts[0]


@given(*[st.decimals(0, 10**6, places=2)] * 2, st.sampled_from(["buy", "sell", "hold", "all in!"]))
def test_no_advice_buys_more_than_may_be_invested(equity, invested, advice):
    """Whatever is held, an order never takes the investment beyond its share, and only "buy" buys."""
    money = bought(advice, equity=equity, invested=invested, order=Decimal("0.02"), exposure=Decimal("0.1"))
    assert money >= 0
    assert money <= equity * Decimal("0.02")
    assert money == 0 or (advice == "buy" and invested + money <= equity * Decimal("0.1"))


def test_books_enter_each_fill_once():
    """Pages overlap and repeat; what was entered is not entered again, and a gap is a doubt."""
    fills = [Execution(n, "buy", Decimal("0.1"), Decimal(3), Decimal("0.01")) for n in range(1, 8)]
    books = Books()
    books.open(Decimal(10), Decimal(0), Decimal(3))
    assert books.pull(lambda after: fills[after : after + 3]) == 7
    assert books.pull(lambda after: fills[after : after + 3]) == 0
    assert (books.cash, books.position) == (Decimal("7.83"), Decimal("0.7"))
    with pytest.raises(Unsure, match="fill 9 follows 7"):
        books.pull(lambda _: [Execution(9, "buy", Decimal(1), Decimal(1), Decimal(0))])
    assert books.cash == Decimal("7.83")
