"""Makes the recorded sessions again: `python -m paper_exchange.record_sessions`, in the folder locustfiles/trading.

Each is drawn from its own name as the seed, so the files come out the same wherever they are made.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

from paper_exchange.market import SESSIONS

START = 60_000.0
Prices = Iterator[float]


def normal(draw: random.Random) -> Prices:
    """Ten minutes of ordinary ticks, about 1% up and down."""
    price = START
    for _ in range(600):
        price *= 1 + draw.gauss(0, 0.0004)
        yield price


def sideways(draw: random.Random) -> Prices:
    """Ten minutes within 0.1% of where they began."""
    for _ in range(600):
        yield START * (1 + draw.uniform(-0.001, 0.001))


def bull_run(draw: random.Random) -> Prices:
    """Ten minutes that gain 12%."""
    for second in range(600):
        yield START * (1 + 0.12 * second / 600) * (1 + draw.gauss(0, 0.0005))


def slide(draw: random.Random) -> Prices:
    """Five minutes that lose 25%, slowly enough that nothing looks like a crash."""
    for second in range(300):
        yield START * (1 - 0.25 * second / 300) * (1 + draw.gauss(0, 0.0003))


def flash_crash(draw: random.Random) -> Prices:
    """A minute of calm, 40% lost in ten seconds, a minute at the bottom, half of it won back."""
    for second in range(240):
        fall = 0.4 * min(max(second - 60, 0) / 10, 1)
        won = 0.2 * min(max(second - 130, 0) / 60, 1)
        yield START * (1 - fall + won) * (1 + draw.gauss(0, 0.0005))


def recorded_day(draw: random.Random) -> Prices:
    """Ten minutes of a day with a trend up, then down; what the model said is recorded with it."""
    price = START
    for second in range(600):
        price *= 1 + draw.gauss(0.00012 if second < 350 else -0.00015, 0.0006)
        yield price


MADE: tuple[Callable[[random.Random], Prices], ...] = (normal, sideways, bull_run, slide, flash_crash, recorded_day)


def rows(make: Callable[[random.Random], Prices]) -> list[tuple[int, Decimal, str]]:
    """Second, price at cents, and the advice of that second, which only `recorded_day` has."""
    draw = random.Random(make.__name__)
    prices = [Decimal(f"{price:.2f}") for price in make(draw)]
    with_advice = make is recorded_day
    said = [draw.choice(("buy", "sell", "hold")) if with_advice and second % 5 == 0 else "" for second in range(600)]
    return [(second, price, said[second]) for second, price in enumerate(prices)]


def write(folder: Path) -> None:
    """Write all sessions as CSV."""
    for make in MADE:
        with (folder / f"{make.__name__}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("second", "price", "advice"))
            writer.writerows(rows(make))


if __name__ == "__main__":
    write(SESSIONS)
