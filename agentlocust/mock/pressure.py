"""How the mock fares as a whole under load: its slots and queue, its rate limit, its troubles.

These are said once, when the mock starts (`slots=4,queue=16,leak=1MB`); a request cannot change them.
What is counted "from the first request" begins anew after a POST to /_truth/reset.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agentlocust.errors import ConfigError
from agentlocust.mock import readers

QUEUE_FULL = "rate_limited"


@dataclass(frozen=True, slots=True)
class Pressure:
    """What belongs to the process and not to a request. Times in seconds, sizes in bytes, rates a second.

    `slots` requests are generated at once (0: any number), the others wait in one line, first come,
    first served; when `queue` of them wait already (None: endless), a request is refused with
    `queue_full`. `rate` is a token bucket of `burst` requests (None: one second's worth, at least
    one). `contention`: each gap between tokens grows by that share for each other request that is
    being generated just then.

    `freeze` is (from, for): the whole process answers nothing, then goes on as one that was stopped:
    all that is due comes at once. `die` ends the process with exit code 1 that long after the first
    request, `die_at_concurrency` when so many are in flight. `leak` bytes are kept for each request,
    `leak_rate`, `leak_fds`, `leak_threads` each second from the first request. `cache` grows by a
    hundredth of itself with each request until it is full.
    """

    slots: int = 0
    queue: int | None = None
    queue_full: str = QUEUE_FULL
    rate: float = 0.0
    burst: int | None = None
    contention: float = 0.0
    freeze: tuple[float, float] | None = None
    die: float | None = None
    die_at_concurrency: int = 0
    leak: int = 0
    leak_rate: float = 0.0
    leak_fds: float = 0.0
    leak_threads: float = 0.0
    cache: int = 0

    @property
    def limits(self) -> bool:
        """True when requests must pass a gate."""
        return bool(self.slots or self.rate or self.contention)

    @property
    def ails(self) -> bool:
        """True when something will go wrong with the process."""
        rates = self.leak_rate or self.leak_fds or self.leak_threads
        return bool(self.die_at_concurrency or self.leak or rates or self.cache) or (
            self.freeze is not None or self.die is not None
        )

    def check(self) -> None:
        """Raises ConfigError for an option that means nothing without another."""
        for key, given, needed, there in (
            ("queue", self.queue is not None, "slots", self.slots),
            ("queue_full", self.queue_full != QUEUE_FULL, "queue", self.queue is not None),
            ("burst", self.burst is not None, "rate", self.rate),
        ):
            if given and not there:
                raise ConfigError(f"{key} without {needed}", where=f"mock:{key}", hint=f"add {needed}=")


READERS: dict[str, Callable[[str], Any]] = {
    "slots": readers.whole(0, 100_000),
    "queue": readers.whole(0, 1_000_000),
    "queue_full": readers.failure,
    "rate": readers.rate,
    "burst": readers.whole(1, 1_000_000),
    "contention": readers.share,
    "freeze": readers.stretch,
    "die": readers.moment,
    "die_at_concurrency": readers.whole(1, 1_000_000),
    "leak": readers.size,
    "leak_rate": readers.size_rate,
    "leak_fds": readers.rate,
    "leak_threads": readers.rate,
    "cache": readers.size,
}
