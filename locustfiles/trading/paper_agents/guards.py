"""The rules that stand between a model's advice and an order; none of them asks the model."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from decimal import Decimal


class Backoff:
    """Waits after failures: twice as long after each, never less than the server asks for, with jitter."""

    def __init__(self, draw: random.Random, first_s: float = 1.0, most_s: float = 60.0) -> None:
        self._draw, self._first_s, self._most_s = draw, first_s, most_s
        self._failures, self._until = 0, float("-inf")

    def ready(self, now: float) -> bool:
        """Whether the wait is over."""
        return now >= self._until

    def failed(self, now: float, retry_after: float = 0.0) -> None:
        """One more failure; the jitter only ever adds, so that the server's word is kept."""
        wait = min(self._first_s * 2**self._failures, self._most_s)
        self._until = now + max(wait, retry_after) * self._draw.uniform(1, 1.25)
        self._failures += 1

    def worked(self) -> None:
        """All is well again."""
        self._failures, self._until = 0, float("-inf")


class CrashGuard:
    """Stands aside while the price is far below its highest of the last half minute, and for a minute after."""

    WITHIN_S, CALM_S = 30.0, 60.0

    def __init__(self, share: Decimal) -> None:
        self._share = share
        self._seen: deque[tuple[float, Decimal]] = deque()
        self._until = float("-inf")

    def see(self, now: float, price: Decimal) -> None:
        """A new price."""
        self._seen.append((now, price))
        while self._seen[0][0] < now - self.WITHIN_S:
            self._seen.popleft()
        if price <= max(seen for _, seen in self._seen) * (1 - self._share):
            self._until = now + self.CALM_S

    def aside(self, now: float) -> bool:
        """Whether nothing is to be traded."""
        return now < self._until


class LossGuard:
    """Halts all trading for the day once the account has lost its share, and says so once."""

    def __init__(self, share: Decimal, alert: Callable[[str], None]) -> None:
        self._share, self._alert = share, alert
        self.halted = False

    def see(self, opening: Decimal, equity: Decimal) -> None:
        """What the account was worth at the opening, and is now."""
        if not self.halted and equity <= opening * (1 - self._share):
            self.halted = True
            lost = 1 - equity / opening
            self._alert(f"daily loss limit: the account lost {lost:.2%}; all trading is halted")


def bought(advice: str, *, equity: Decimal, invested: Decimal, order: Decimal, exposure: Decimal) -> Decimal:
    """The money that an advice to buy may be worth: nothing beyond the most that may be invested."""
    return max(min(equity * order, equity * exposure - invested), Decimal(0)) if advice == "buy" else Decimal(0)
