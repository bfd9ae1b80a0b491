"""What the proxy saw becomes calls of the ledger: attempts joined, runs found, nothing twice."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from locust.env import Environment

from agentlocust.lifecycle.proxied import Proxied
from agentlocust.metrics import Kind
from agentlocust.ordeal import Ordeal
from agentlocust.pricing import PriceBook
from agentlocust.proxy.record import Attempt
from agentlocust.redact import Scrubber
from agentlocust.summary import TestFacts, build_summary
from agentlocust.usage import Usage
from agentlocust.users.meter import Meter, RunNote
from agentlocust.windows import Window, Windows

S = 10**9


@pytest.fixture
def proxied():
    meter = Meter(Environment(), PriceBook.load(), Scrubber())
    meter.begin(mock_url="", seed=1, warmup_s=0.0)
    return Proxied(meter)


def attempt(start_s: float, end_s: float, **more) -> Attempt:
    """A chat completion that went well."""
    began, ended = round(start_s * S), round(end_s * S)
    told = {
        "dialect": "openai-chat",
        "model": "gpt-4o-mini",
        "status": 200,
        "streamed": True,
        "token_ns": (began + S // 10, ended),
        "usage": Usage(5, output=2),
        **more,
    }
    return Attempt(began, ended, "POST", "/v1/chat/completions", **told)


def failed(start_s: float, number: int, status: int = 503) -> Attempt:
    """One that did not, as an SDK numbers it."""
    return attempt(
        start_s,
        start_s + 0.1,
        number=number,
        key="k",
        status=status,
        failure="overloaded",
        token_ns=(),
        usage=Usage(),
    )


def sums(proxied: Proxied) -> dict[str, int]:
    """The counters of the LLM rows."""
    found: dict[str, int] = {}
    for _, row in proxied._meter.ledger.select(Kind.LLM):
        for name, n in row.counts.items():
            found[name] = found.get(name, 0) + n
    return found


@pytest.mark.parametrize("number", [0, -1])
def test_calls_lie_before_in_and_after_a_window(proxied, number):
    """Two tries of an SDK and the agent's own third, whether tries are numbered or not: how it waits is known."""
    meter = proxied._meter
    meter.ordeal = Ordeal(meter.ledger, Windows.of([Window("w", 20.0, 30.0)]), 0.0)
    run = {"run": "r", "by": "header", "run_name": "ask", "key": "k"}
    bad = {"status": 503, "failure": "overloaded", "token_ns": (), "usage": Usage(5), "retry_after_s": 2.0}
    proxied.take(attempt(1, 2))
    proxied.take(attempt(21, 21.1, number=number, **run, **bad))
    proxied.take(attempt(22, 22.1, number=1 if number == 0 else -1, **run, **bad))
    proxied.take(attempt(24.1, 25, number=number, **run))
    proxied.take(attempt(40, 41, **run))
    proxied.finish()
    facts = TestFacts("t", "a.py", "2026-11-20T10:40:00Z", 60.0, "mock", 1, windows=meter.ordeal._windows)
    [window] = build_summary(meter.ledger, facts).resilience.windows
    assert [span.calls for span in (window.before, window.during, window.after)] == [1, 2 + (number < 0), 1]
    assert (window.retries.attempts, window.retries.intended) == (3, 1)
    assert (window.retries.waits, window.retries.told, window.retries.honoured) == (2, 2, 1)
    assert window.wasted_tokens == 5 + 5 * (number < 0)  # an SDK's last try is the call's


def test_a_call_is_in_the_ledger_when_it_ends(proxied):
    """With its tokens, its price and its name."""
    proxied.take(attempt(1, 2, run="r", by="baggage", run_name="refund"))
    counted = sums(proxied)
    assert (counted["calls"], counted["attempts"], counted["input"], counted["output"]) == (1, 1, 5, 2)
    assert counted["cost_picousd"] == 5 * 150_000 + 2 * 600_000
    assert [key[1] for key, _ in proxied._meter.ledger.select(Kind.LLM)] == ["refund"]


def test_what_the_test_s_own_user_has_measured_is_not_counted_again(proxied):
    """It is said how many those were."""
    proxied.take(attempt(1, 2, metered=True))
    proxied.take(attempt(2, 3))
    proxied.finish()
    assert sums(proxied)["calls"] == 1
    assert len(proxied.lines()) == 1
    assert proxied.told().endswith("; 1 requests of the test's own users, counted by them")


def test_attempts_are_one_call_that_began_with_the_first(proxied):
    """Two that failed and one that did not; the latency is from the first."""
    for each in (failed(1, 0), failed(2, 1), attempt(3, 4, number=2, key="k")):
        proxied.take(each)
    counted = sums(proxied)
    assert (counted["calls"], counted["attempts"], counted.get("failed", 0)) == (1, 3, 0)
    [line] = map(json.loads, proxied.lines())
    assert (line["attempts"], line["latency_s"]) == (3, 3.0)


def test_a_client_that_hangs_up_may_try_again(proxied):
    """SDKs do not wait for an error's body to end, nor for a reply that takes longer than they were told to."""
    proxied.take(replace(failed(1, 0), left=True))
    proxied.take(replace(failed(2, 1, 0), failure="client", left=True))
    proxied.take(replace(failed(3, 2, 200), failure="client", left=True, streamed=False))
    proxied.take(attempt(4, 5, number=3, key="k"))
    counted = sums(proxied)
    assert (counted["calls"], counted["attempts"], counted.get("failed", 0)) == (1, 4, 0)


def test_a_call_that_nobody_tries_again_is_counted_in_the_end(proxied):
    """Or when its SDK begins another, or long after."""
    proxied.take(failed(1, 0))
    assert sums(proxied) == {}
    proxied.take(replace(failed(2, 0), key="other"))
    proxied.take(failed(3, 0))  # the same request once more, as a call of its own
    assert sums(proxied)["failed"] == 1
    proxied.take(attempt(200, 201))
    assert sums(proxied)["failed"] == 3
    proxied.take(failed(300, 0))
    proxied.finish()
    assert (sums(proxied)["calls"], sums(proxied)["failed"]) == (5, 4)


def test_other_runs_and_other_requests_are_not_attempts_of_it(proxied):
    """Only the same request of the same run goes on with it."""
    proxied.take(replace(failed(1, 0), run="a", by="header"))
    proxied.take(replace(attempt(2, 3, number=1, key="k"), run="b", by="header"))
    proxied.finish()
    assert (sums(proxied)["calls"], sums(proxied)["failed"]) == (2, 1)


def test_a_failure_that_is_not_tried_again_is_one_at_once(proxied):
    """A 400, a stream that its client left, a request that its SDK does not number."""
    proxied.take(failed(1, 0, 400))
    proxied.take(replace(failed(2, 0, 200), failure="client", left=True, streamed=True))
    proxied.take(replace(failed(3, -1), key=""))
    assert sums(proxied)["failed"] == 3


def test_tools_and_refusals_are_no_calls(proxied):
    """A tool has its own row; what the budget refused was never sent; other traffic is nothing."""
    proxied.take(Attempt(S, 2 * S, "GET", "/find", tool="search", status=200))
    proxied.take(Attempt(S, 2 * S, "GET", "/find", tool="search", status=500, failure="server_error", message="no"))
    proxied.take(attempt(1, 2, status=402, own=402, failure="budget", token_ns=(), usage=Usage()))
    proxied.take(Attempt(S, 2 * S, "GET", "/v1/models", status=200))
    assert sums(proxied) == {}
    [(key, row)] = proxied._meter.ledger.select(Kind.TOOL)
    assert key[1] == "search"
    assert (row.counts["calls"], row.counts["failed"]) == (2, 1)


def test_time_tells_the_run_only_where_there_is_one(proxied):
    """Alone and all the while: not where two overlap, not where it had ended, not from another machine."""
    for start in (1.1, 3.1, 6.0, 9.1):
        proxied.take(attempt(start, start + 0.5))
    proxied.note([RunNote("a", "ask", S, 2 * S), RunNote("b", "ask", 3 * S, 5 * S), RunNote("c", "ask", 3 * S, 4 * S)])
    proxied.note([RunNote("d", "ask", 9 * S, 10 * S)], "another machine")
    lines = [json.loads(line) for line in proxied.lines()]
    assert [(line["run"], line["run_by"]) for line in lines] == [("a", "time"), ("", ""), ("", ""), ("", "")]
    assert proxied.told() == "4 calls, their runs known by: nothing 3, time 1"
