"""A rate limit as a token bucket; it knows no clock."""

from __future__ import annotations


class TokenBucket:
    """Full at first with `burst` tokens, refilled with `rate` a second; a request takes one."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = now

    def take(self, now: float) -> float:
        """0.0 when there was a token; else none is taken, and it is the seconds until there is one."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens >= 1 - 1e-9:  # the sum of many refills may be a hair short
            self._tokens = max(0.0, self._tokens - 1)
            return 0.0
        return (1 - self._tokens) / self._rate
