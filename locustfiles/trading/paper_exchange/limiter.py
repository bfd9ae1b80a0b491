"""The venue's rate limit: so many requests in any sixty seconds."""

from __future__ import annotations

import math
from collections import deque

PER_MINUTE = 300
WINDOW_S = 60.0
ROUNDING_S = 1e-6  # who waits exactly as told is let pass


class Limiter:
    """Counts what it lets pass over a sliding window; refused requests do not count."""

    def __init__(self, limit: int = PER_MINUTE) -> None:
        self.limit = limit
        self.busiest = 0
        self._passed: deque[float] = deque()

    def take(self, now: float) -> int:
        """0 when a request may pass at `now`, else the whole seconds after which one may."""
        while self._passed and self._passed[0] + WINDOW_S <= now + ROUNDING_S:
            self._passed.popleft()
        if len(self._passed) >= self.limit:
            return max(math.ceil(self._passed[0] + WINDOW_S - now), 1)
        self._passed.append(now)
        self.busiest = max(self.busiest, len(self._passed))
        return 0
