"""Ready scenarios: what people mean by an outage or a slow network, as lines of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scenario:
    """A plan with a name: what it asks, and its line."""

    name: str
    asks: str
    line: str


_ALL = (
    Scenario("network_latency", "every request waits half a second", "latency(delay=500ms)"),
    Scenario("timeout", "every call has 0.1 s, then it times out", "timeout(limit=100ms)"),
    Scenario("rate_limit", "30% of the requests get a 429", "rate_limit():30%"),
    Scenario("resource_exhaustion", "20% of the requests find no room", "overloaded():20%"),
    Scenario(
        "rate_limit_storm",
        "for half a minute one request a second passes; the rest is to come back in 2 s",
        "rate_limit(rps=1,burst=1,retry_after=2s)@30s-60s",
    ),
    Scenario("outage", "for half a minute nobody answers", "refused()@30s-60s"),
    Scenario(
        "brownout",
        "for half a minute half of the requests are slow and a fifth is refused",
        "latency(delay=2s,jitter=1s)@30s-60s:50%,overloaded()@30s-60s:20%",
    ),
    Scenario("dns_failure", "the name is not found", "dns_failure()"),
    Scenario("slow_network", "every request waits five seconds", "latency(delay=5s)"),
    Scenario("packet_loss", "20% of the replies are lost after the server acted", "packet_loss():20%"),
    Scenario("clock_skew", "the agent's clock is 5 minutes ahead", "clock_skew(jump=5m)"),
    Scenario("disk_full", "writing files fails", "disk_full()"),
)

SCENARIOS: Mapping[str, Scenario] = {scenario.name: scenario for scenario in _ALL}
