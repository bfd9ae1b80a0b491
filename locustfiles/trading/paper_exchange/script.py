"""How the venue misbehaves: faults with a place, a time, and a number of times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

KINDS = {
    "rate_limit": "answers 429 with Retry-After",
    "lose_reply": "acts, and breaks the connection before it answers",
    "error_after": "acts, and answers 500",
    "error_before": "answers 500 and does nothing",
    "delay": "answers, and acts, so many seconds later",
    "malformed": "acts, and answers with what is no reply",
    "stall": "takes an order and never executes it",
    "split": "executes an order in that many pieces",
}
MALFORMED = (
    b"",
    b"<html><body>502 Bad Gateway</body></html>",
    b'{"symbol": "BTC-USD", "price": "60',
    b'{"price": null, "at": null}',
    b'{"price": "NaN", "orders": {}, "status": 7}',
    b'["price", 60000]',
    b"\xff\xfe\x00",
    b'{"price": "-60000.00", "at": "yesterday"}',
)


@dataclass(slots=True)
class Fault:
    """`do` happens to requests `on` (method and path, "" for all) from `from_s` until `to_s` after the start.

    At most `times` times (0: always); `seconds` is a delay or the Retry-After, `pieces` those of a split.
    """

    do: str
    on: str = ""
    from_s: float = 0.0
    to_s: float = 1e9
    times: int = 0
    seconds: float = 0.0
    pieces: int = 1
    struck: int = field(default=0)

    def strikes(self, what: str, elapsed_s: float) -> bool:
        """Whether it happens to this request; counts it if so."""
        if self.on not in ("", what) or not self.from_s <= elapsed_s < self.to_s or 0 < self.times <= self.struck:
            return False
        self.struck += 1
        return True


class Script:
    """All faults of a scenario; the first that fits strikes."""

    def __init__(self, faults: Iterable[Mapping[str, Any]] = ()) -> None:
        """Raises ValueError for a fault that there is not."""
        self.faults = [Fault(**fault) for fault in faults]
        for fault in self.faults:
            if fault.do not in KINDS:
                raise ValueError(f"no fault {fault.do!r}; there are {', '.join(KINDS)}")

    def fault(self, what: str, elapsed_s: float) -> Fault | None:
        """What goes wrong with a request, such as "POST /orders"."""
        return next((fault for fault in self.faults if fault.strikes(what, elapsed_s)), None)
