"""The network is slow: a request waits before it goes out."""

from __future__ import annotations

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Draft, Fault, Group, Hit
from agentlocust.faults.keys import Key, seconds


def _strike(hit: Hit, draft: Draft) -> bool:
    jitter = hit.values["jitter"]
    draft.delay_s += max(hit.values["delay"] + jitter * (2 * hit.chance("jitter") - 1), 0.0)
    return True


FAULT = Fault(
    "latency",
    "each request waits before it goes out",
    Group.NETWORK,
    (
        Key("delay", seconds, "500ms", "how long"),
        Key("jitter", seconds, "0s", "up to so much more or less, uniform"),
    ),
    _strike,
    fails_as=frozenset({FailureKind.TIMEOUT}),
)
