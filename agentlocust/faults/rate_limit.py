"""429: a token bucket that says when to come back, or, without a rate, every call that is chosen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from agentlocust.dialects.answers import Problem
from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Draft, Fault, Group, Hit
from agentlocust.faults.injection import MadeReply
from agentlocust.faults.keys import Key, seconds
from agentlocust.faults.made import refused
from agentlocust.units import parse_number


class Bucket:
    """So many requests a second, and a burst of them at once. Its clock is that of the calls."""

    def __init__(self, rps: float, burst: float) -> None:
        self.rps = rps
        self.burst = burst
        self._left = burst
        self._at_s = 0.0

    def take(self, at_s: float) -> float:
        """Take one at that time: 0 when there was one, else the seconds until there will be."""
        self._left = min(self._left + max(at_s - self._at_s, 0.0) * self.rps, self.burst)
        self._at_s = max(self._at_s, at_s)
        if self._left >= 1:
            self._left -= 1
            return 0.0
        return (1 - self._left) / self.rps

    @property
    def left(self) -> int:
        """Whole requests that are left."""
        return int(self._left)


def _bucket(values: Mapping[str, Any], parts: int) -> Bucket | None:
    rps = values["rps"]
    # Processes share the rate; each keeps room for one request, or none would ever pass.
    return Bucket(rps / parts, max((values["burst"] or math.ceil(rps)) / parts, 1.0)) if rps else None


def _strike(hit: Hit, draft: Draft) -> bool:
    if draft.answered:
        return False
    bucket: Bucket | None = hit.state
    wait_s = bucket.take(hit.asked.at_s) if bucket is not None else 1.0
    if not wait_s:
        return False
    retry_s = hit.values["retry_after"] or wait_s
    reply = refused(hit, Problem(429, "rate_limited"), retry_s if hit.values["tell"] else None)
    draft.reply = _with_limit(reply, bucket.rps, bucket.burst) if bucket is not None else reply
    return True


def _with_limit(reply: MadeReply, rps: float, burst: float) -> MadeReply:
    """The rate-limit headers say what the limit is, per minute as providers do."""
    limit = b"%d" % max(math.ceil(rps * 60), int(burst))
    names = (b"x-ratelimit-limit-requests", b"anthropic-ratelimit-requests-limit")
    headers = tuple((name, limit if name in names else value) for name, value in reply.headers)
    return MadeReply(reply.status, headers, reply.pieces)


def _rate(text: str) -> float:
    number = parse_number(text.removesuffix("/s"))
    return min(max(number, 0.0), 1e6)


def _told(text: str) -> bool:
    return text not in ("no", "false", "0")


FAULT = Fault(
    "rate_limit",
    "429: what comes above a rate (a token bucket), with Retry-After and the provider's rate-limit headers",
    Group.PROVIDER,
    (
        Key("rps", _rate, "0", "requests a second that pass; 0: none does, a share is asked for with :30%"),
        Key("burst", _rate, "0", "requests that may come at once; 0: those of one second"),
        Key("retry_after", seconds, "0s", "what Retry-After says; 0s: when the bucket has one again (1 s without)"),
        Key("tell", _told, "yes", "no: without Retry-After"),
    ),
    _strike,
    fails_as=frozenset({FailureKind.RATE_LIMITED}),
    state=_bucket,
)
