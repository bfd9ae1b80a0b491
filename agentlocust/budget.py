"""What a test may spend, and the arithmetic that keeps it there, in whole pico-dollars.

The Treasury stands where the test is judged and hands out slices; each process that makes calls has
a Purse. A call's worst case is reserved before the call is sent and settled when its cost is known.
At any time, whatever is under way, sent, lost or late:

- a Purse's `spent + reserved` is at most what it was `granted`;
- what all were granted is at most the budget.

So the test spends no more, also when a worker dies (all it was granted counts as spent) or the
master does (no Purse grows without it). Only a reply that costs more than its own worst case can
break this, as when a gateway answers with a dearer model: that is told as `overrun`.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

from agentlocust.errors import ConfigError
from agentlocust.failures import FailureKind
from agentlocust.records import Call
from agentlocust.units import PICOUSD, parse_money, usd_text

SLICES = 4  # while there is plenty, a worker's share of it is handed out in as many parts
HEAD_START = 10  # of a rate's amount one part in so many may be spent at once; the rest comes with time
MOST_USD = 1_000_000

_NOT_SENT = (FailureKind.CONNECT, FailureKind.DNS, FailureKind.TLS)
_PERIODS_NS = {"s": 10**9, "sec": 10**9, "m": 60 * 10**9, "min": 60 * 10**9, "h": 3600 * 10**9}
_PARTS = re.compile(r"([^/]*)(?:/\s*([a-z]+)\s*)?\Z")
_EXAMPLES = "write $2, $0.50/min or $0.05/run"


class Reserved(Protocol):
    """Money set aside for one attempt of a call, `waited` when that took time."""

    waited: bool

    def settle(self, cost: int | None) -> None:
        """Say what the attempt cost, in pico-dollars; None when nobody told, and it counts in full."""


class Refused(Exception):
    """A call that must not be sent, because its run may not spend that much; the message says so."""

    end_reason = "budget"  # of a run that it ends


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits in pico-dollars, None where there is none.

    `total` is the test's; `rate` the most in any stretch of `period_ns`; `run` that of each agent run.
    """

    total: int | None = None
    rate: int | None = None
    period_ns: int = 0
    run: int | None = None

    def __bool__(self) -> bool:
        return self.shared or self.run is not None

    def __str__(self) -> str:
        period = next((name for name, ns in _PERIODS_NS.items() if ns == self.period_ns), "")
        found = [(self.total, ""), (self.rate, f"/{'min' if period == 'm' else period}"), (self.run, "/run")]
        return " and ".join(f"${usd_text(amount)}{per}" for amount, per in found if amount is not None)

    @property
    def shared(self) -> bool:
        """True when all calls of the test draw on the same money."""
        return self.total is not None or self.rate is not None

    @classmethod
    def parse(cls, texts: Sequence[str], where: str = "--budget") -> Self:
        """The budget of `$2`, `$0.50/min` (or /s, /h) and `$0.05/run`, at most one of each. Raises ConfigError."""
        found: dict[str, int] = {}
        for text in texts:
            if not text.strip():
                continue
            parts = _PARTS.match(text.strip().lower()[:80])
            per = (parts[2] or "") if parts else ""
            if parts is None or (per and per != "run" and per not in _PERIODS_NS):
                raise ConfigError(f"{text.strip()[:40]!r} is not a budget", where=where, hint=_EXAMPLES)
            kind = "total" if not per else "run" if per == "run" else "rate"
            if kind in found:
                raise ConfigError(f"{text.strip()!r} is a second budget of its kind", where=where, hint="keep one")
            found[kind] = parse_amount(parts[1], where)
            if kind == "rate":
                found["period_ns"] = _PERIODS_NS[per]
        return cls(**found)


def parse_amount(text: str, where: str) -> int:
    """Pico-dollars that may be spent: more than nothing. Raises ConfigError."""
    try:
        amount = parse_money(text)
    except ConfigError as error:
        raise ConfigError(error.what, where=where, hint=_EXAMPLES) from None
    if not 0 < amount <= MOST_USD * PICOUSD:
        raise ConfigError(f"a budget of {text.strip()}", where=where, hint=f"from $0.000000000001 to ${MOST_USD:,}")
    return amount


def cost_of(call: Call) -> int | None:
    """What an ended call is known to have cost; None when its usage was not told, as of one that was cut."""
    if call.usage.total and not call.usage.estimated:
        return call.cost_picousd
    return cost_of_failed(call.status, call.failure.kind if call.failure is not None else None)


def cost_of_failed(status: int, kind: str | None) -> int | None:
    """0 for an attempt that nobody bills: it was refused, or never reached the server. None otherwise."""
    return 0 if status >= 300 or kind in _NOT_SENT else None


@dataclass(slots=True)
class Purse:
    """One process's money. `returned` and `overrun` only ever grow, like `spent`: the Treasury reads them so."""

    granted: int = 0
    spent: int = 0
    reserved: int = 0
    returned: int = 0
    overrun: int = 0

    @property
    def free(self) -> int:
        """What may still be reserved."""
        return self.granted + self.overrun - self.returned - self.spent - self.reserved

    def reserve(self, amount: int) -> bool:
        """Set money aside for a call; False, and nothing changed, when there is not enough."""
        if amount > self.free:
            return False
        self.reserved += amount
        return True

    def settle(self, reserved: int, cost: int) -> None:
        """The call that `reserved` was set aside for has ended and cost that much."""
        self.reserved -= reserved
        self.spent += cost
        self.overrun += max(cost - reserved, 0)

    def give_back(self) -> int:
        """Take all that is free out of the purse."""
        free = max(self.free, 0)
        self.returned += free
        return free


@dataclass(slots=True)
class Slice:
    """What the Treasury knows of one worker's Purse, and what calls that wait there need.

    `need` is the next call's worst case, `least` the cheapest one's, `want` that of all which may yet fit.
    """

    granted: int = 0
    spent: int = 0
    returned: int = 0
    overrun: int = 0
    need: int = 0
    least: int = 0
    want: int = 0
    lost: bool = False

    @property
    def used(self) -> int:
        """What is spent; all of it, once nobody will tell."""
        return self.held if self.lost else self.spent

    @property
    def held(self) -> int:
        """All that it has had and not returned."""
        return self.granted + self.overrun - self.returned

    @property
    def outstanding(self) -> int:
        """What it may yet spend: reserved for calls in flight, free, or on its way."""
        return 0 if self.lost else self.held - self.spent


@dataclass(slots=True)
class Treasury:
    """Hands a budget out to workers in slices that shrink with it. Times are nanoseconds, monotonic.

    `most_out` is the most that was set aside, or ready to be, at one time. Once a need could not be met
    it is `scarce`: from then on workers return at once what they cannot use.
    """

    budget: Budget
    started_ns: int
    slices: dict[str, Slice] = field(default_factory=dict)
    scarce: bool = False
    most_out: int = 0
    _line: list[str] = field(default_factory=list)  # the workers that wait, the first to be served first
    _lately: deque[tuple[int, int]] = field(default_factory=deque)  # when, how much was told as spent

    @property
    def spent(self) -> int:
        """What is known to be spent, or may be for all anyone knows."""
        return sum(part.used for part in self.slices.values())

    @property
    def outstanding(self) -> int:
        """What workers may yet spend of what they hold."""
        return sum(part.outstanding for part in self.slices.values())

    @property
    def ceiling(self) -> int | None:
        """No call with a larger worst case will ever fit; None when any might."""
        limits = [self.budget.rate] if self.budget.rate is not None else []
        if self.budget.total is not None:
            limits.append(max(self.budget.total - self.spent, 0))
        return min(limits) if limits else None

    def room(self, now_ns: int) -> int:
        """What may be handed out now."""
        used = self.spent + self.outstanding
        rooms = [0] if self.budget.total is None and self.budget.rate is None else []
        if self.budget.total is not None:
            rooms.append(self.budget.total - used)
        if self.budget.rate is not None:
            rate, period_ns = self.budget.rate, self.budget.period_ns
            while self._lately and self._lately[0][0] <= now_ns - period_ns:
                self._lately.popleft()
            # What is outstanding may be spent at any moment; what was told of late was spent no later.
            rooms.append(rate - self.outstanding - sum(amount for _, amount in self._lately))
            rooms.append(rate // HEAD_START + rate * (now_ns - self.started_ns) // period_ns - used)
        return max(min(rooms), 0)

    def told(self, worker: str, word: Mapping[str, int], now_ns: int) -> None:
        """A worker says how its Purse stands, and what its waiting calls need."""
        part = self.slices.setdefault(worker, Slice())
        before = part.used
        part.lost = False  # one that was thought lost lives
        part.spent = max(part.spent, word["spent"])
        part.returned = max(part.returned, word["returned"])
        part.overrun = max(part.overrun, word["overrun"])
        part.need, part.least, part.want = word["need"], word["least"], word["want"]
        self._remember(part.used - before, now_ns)
        if part.need and worker not in self._line:
            self._line.append(worker)
        elif not part.need and worker in self._line:
            self._line.remove(worker)

    def lost(self, worker: str, now_ns: int) -> None:
        """A worker is gone: what it did not tell of counts as spent."""
        part = self.slices.get(worker)
        if part is not None and not part.lost:
            before = part.used
            part.lost, part.need, part.want = True, 0, 0
            self._remember(part.used - before, now_ns)
            if worker in self._line:
                self._line.remove(worker)

    def serve(self, now_ns: int) -> list[tuple[str, int]]:
        """Hand out what there is room for: (worker, amount). The first in line is waited for, unless in vain."""
        given: list[tuple[str, int]] = []
        workers = max(sum(not part.lost for part in self.slices.values()), 1)
        ceiling = self.ceiling
        for worker in list(self._line):
            part, room = self.slices[worker], self.room(now_ns)
            if ceiling is not None and part.need > ceiling:
                self.scarce = True
                continue
            if part.need > room:
                self.scarce = True
                break
            share = room // workers
            amount = max(part.need, min(part.want, share), 0 if self.scarce else min(share // SLICES, room))
            part.granted += amount
            part.need = part.want = 0
            self._line.remove(worker)
            given.append((worker, amount))
        if given:
            self.most_out = max(self.most_out, self.outstanding)
        return given

    def in_vain(self) -> int:
        """The least that a waiting call needs, when none of them will ever fit and nothing is in flight; else 0."""
        needs = [self.slices[worker].least for worker in self._line]
        ceiling = self.ceiling
        if not needs or ceiling is None or min(needs) <= ceiling or self.outstanding > 0:
            return 0
        return min(needs)

    def _remember(self, amount: int, now_ns: int) -> None:
        if amount > 0 and self.budget.rate is not None:
            self._lately.append((now_ns, amount))
