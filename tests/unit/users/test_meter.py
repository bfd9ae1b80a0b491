"""Outcomes into records: usage, price, phase, events."""

from __future__ import annotations

import gevent
import pytest
from locust.env import Environment
from locust.event import Events

from agentlocust.dialects.base import Decoded, ToolRequest
from agentlocust.failures import Failure, FailureKind
from agentlocust.pricing import PriceBook
from agentlocust.records import MAIN_PHASE, WARMUP_PHASE, AgentRun, ToolCall
from agentlocust.redact import Scrubber
from agentlocust.usage import Usage
from agentlocust.users.meter import Asked, Meter
from agentlocust.wire.tap import Outcome

SECRET = "canary-secret-0123456789"
ASKED = Asked("chat", "gpt-4o-mini", b'{"messages":[{"role":"user","content":"one two three four"}]}')
TOLD = Usage(uncached_input=100, output=10)


@pytest.fixture
def meter():
    meter = Meter(Environment(events=Events()), PriceBook.load(), Scrubber([SECRET]))
    meter.fired = []
    meter.environment.events.request.add_listener(lambda **event: meter.fired.append(event))
    return meter


def outcome(failure=None, *, usage=TOLD, text="hello there", terminal=True, events=2, model="", started_s=5.0, **more):
    start = int(started_s * 1e9)
    token_ns = [start + 10**8, start + 10**9][:events]
    decoded = Decoded(text=text, usage=usage, terminal=terminal, model=model, token_ns=token_ns, **more)
    return Outcome(start, start + 10**9, decoded, failure, 200, 1, True)


def counts(meter):
    (row,) = [row for _, row in meter.ledger.select("LLM")]
    return row.counts


def test_a_call_is_recorded_and_told(meter):
    """Times in seconds, money in pico-dollars, one event."""
    call = meter.record_call(outcome(), ASKED)
    assert (call.ok, call.latency, call.ttft) == (True, 1.0, 0.1)
    assert call.cost_picousd == 100 * 150_000 + 10 * 600_000
    assert len(meter.fired) == 1
    assert counts(meter)["cost_picousd"] == call.cost_picousd


@pytest.mark.parametrize(
    ("replied", "asked", "expected"),
    [
        ("gpt-4o-mini-2024-07-18", "my-alias", 21_000_000),
        ("", "gpt-4o-mini", 21_000_000),
        ("house-model-7", "gpt-4o-mini", 21_000_000),
        ("house-model-7", "house-model", None),
    ],
)
def test_what_answered_is_what_is_billed(meter, replied, asked, expected):
    """The model in the reply has the price; the one asked for stands in; no price is None, never 0."""
    assert meter.record_call(outcome(model=replied), Asked("chat", asked, b"{}")).cost_picousd == expected


def test_usage_that_was_not_told(meter):
    """Counted and flagged for what was generated; nothing for what failed before."""
    limited = Failure(FailureKind.RATE_LIMITED, "no", 429)
    assert meter.record_call(outcome(limited, usage=None, text="", terminal=False, events=0), ASKED).usage == Usage()
    missing = meter.record_call(outcome(usage=None), ASKED).usage
    assert missing.estimated
    assert missing.uncached_input > 3 < missing.output + 2
    cut = Failure(FailureKind.CANCELLED, "the test ended")
    half = meter.record_call(outcome(cut, usage=Usage(uncached_input=50, output=1), terminal=False), ASKED).usage
    assert half.estimated
    assert half.uncached_input == 50
    assert half.output >= 2
    called = [ToolRequest("1", "lookup", '{"order": 42, "why": "because it was asked for"}')]
    assert meter.record_call(outcome(usage=None, text="", tool_calls=called), ASKED).usage.output > 5


def test_a_cancelled_call_is_told_to_no_one(meter):
    """Its tokens are counted, its latency and its failure are not."""
    meter.record_call(outcome(Failure(FailureKind.CANCELLED, "the test ended"), terminal=False), ASKED)
    assert meter.fired == []
    assert counts(meter)["cancelled"] == 1
    assert "failed" not in counts(meter)
    assert counts(meter)["output"] == 10


@pytest.mark.parametrize("where", ["count", "judge"])
def test_a_kill_while_a_call_is_recorded_does_not_lose_it(meter, where, monkeypatch):
    """The server did answer: the ledger has the call when the kill has passed."""

    def killed(*args):
        raise gevent.GreenletExit

    complete = meter._counter.complete
    if where == "count":
        monkeypatch.setattr(
            meter._counter, "complete", lambda *a, hurried: complete(*a, hurried=True) if hurried else killed()
        )
    with pytest.raises(gevent.GreenletExit):
        meter.record_call(outcome(), ASKED, judge=killed if where == "judge" else None)
    assert counts(meter)["calls"] == 1
    assert counts(meter)["output"] == 10


def test_no_secret_or_escape_is_kept(meter):
    """Texts of calls, tools and runs are scrubbed before anything sees them."""
    bad = f"\x1b[31mkey {SECRET}\x1b]8;;http://x\x07"
    meter.record_call(outcome(Failure(FailureKind.AUTH, bad, 401)), ASKED)
    meter.record_call(outcome(), ASKED, judge=lambda call: bad)
    meter.record_tool(ToolCall("lookup", 1.0, 0.1, error=bad))
    meter.record_run(AgentRun("refund", 1.0, 0.1, error=bad))
    shown = str([event["exception"] for event in meter.fired]) + str(meter.ledger.take())
    shown += str(meter.environment.stats.serialize_errors())
    assert SECRET not in shown
    assert "\\x1b" not in shown
    assert "\x1b" not in shown
    assert "key ***" in shown


def test_a_listener_that_raises_costs_no_record(meter):
    """Locust logs it and goes on; so does the call."""
    meter.environment.events.request.add_listener(lambda **event: 1 / 0)
    meter.record_call(outcome(), ASKED)
    assert counts(meter)["calls"] == 1


def test_a_record_belongs_to_the_phase_of_its_start(meter):
    """Warm-up from the test's start on, and only what is left of it after a reset."""
    meter.begin(mock_url="", seed=1, warmup_s=1000.0)
    started = meter._started
    assert meter.phase_at(started + 999) == WARMUP_PHASE
    assert meter.phase_at(started + 1001) == MAIN_PHASE
    meter.restart()
    assert meter.phase_at(started + 999.999) == WARMUP_PHASE
    assert meter.phase_at(started + 1001) == MAIN_PHASE


def test_what_was_under_way_at_a_reset_is_no_warm_up(meter):
    """Without a warm-up there is none, whenever a record started."""
    meter.begin(mock_url="", seed=1, warmup_s=0.0)
    before = meter._started
    meter.restart()
    assert meter.phase_at(before) == MAIN_PHASE


def test_a_new_test_forgets_the_one_before(meter):
    """Begin and restart both clear the ledger."""
    for forget in (
        meter.restart,
        lambda: meter.begin(mock_url="", seed=2, warmup_s=0.0, models=["gpt-4o-mini@ttft=1"]),
    ):
        meter.record_call(outcome(), ASKED)
        assert meter.ledger
        forget()
        assert not meter.ledger
