"""The times of hand-made streams, read by the real reader and Tap, by each tool's definitions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from locust.env import Environment
from locust.event import Events

from agentlocust.conventions import Convention, Stamps, times_of
from agentlocust.dialects import by_name
from agentlocust.failures import FailureKind
from agentlocust.pricing import PriceBook
from agentlocust.records import Call
from agentlocust.redact import Scrubber
from agentlocust.users.meter import Asked, Meter
from agentlocust.wire.exchange import Exchange, HttpRequest, Timeouts
from agentlocust.wire.pool import Pool
from agentlocust.wire.tap import Outcome, Tap
from agentlocust.wire.target import Origin

MS = 1_000_000
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


ROLE = delta(role="assistant", content="")
STOP = delta("stop")


def usage(tokens: int) -> dict[str, Any]:
    return {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": tokens}}


def called(name: str) -> dict[str, Any]:
    return delta(tool_calls=[{"index": 0, "id": "call_1", "function": {"name": name, "arguments": ""}}])


def argued(text: str) -> dict[str, Any]:
    return delta(tool_calls=[{"index": 0, "function": {"arguments": text}}])


# Each chunk and the millisecond of its arrival; [DONE] comes 5 ms after the last, the request went out at 0.
STREAMS: dict[str, list[tuple[int, dict[str, Any]]]] = {
    "role only first": [
        *((50, ROLE), (100, delta(content="a")), (120, delta(content="b")), (150, delta(content="c"))),
        *((160, STOP), (200, usage(3))),
    ],
    "reasoning first": [
        *((100, delta(reasoning_content="hm")), (130, delta(reasoning_content="so"))),
        *((170, delta(content="a")), (190, delta(content="b")), (200, STOP), (210, usage(4))),
    ],
    "tool call first": [
        *((90, called("lookup")), (100, argued('{"order":')), (125, argued(" 42}"))),
        *((125, delta("tool_calls")), (140, usage(5))),
    ],
    "bundled": [
        *((100, delta(content="one two three")), (140, delta(content=" four five")), (180, delta(content=" six"))),
        *((180, STOP), (185, usage(6))),
    ],
    "one token": [(80, ROLE), (100, delta(content="yes")), (110, STOP), (130, usage(1))],
    "finish with the last token": [(100, delta(content="a")), (140, delta("stop", content="b")), (150, usage(2))],
}

# ttft, ttfo, latency, itl gaps, tpot: milliseconds.
EXPECTED: dict[str, dict[str, tuple[float, float, float, list[float], float | None]]] = {
    "role only first": {
        "agentlocust": (100, 100, 150, [20, 30], 25),
        "vllm": (50, 100, 160, [50, 20, 30, 10], 55),
        "aiperf": (100, 100, 150, [25], 25),
        "guidellm": (100, 100, 205, [25], 50),
    },
    "reasoning first": {
        "agentlocust": (100, 170, 190, [30, 40, 20], 30),
        "vllm": (100, 170, 200, [30, 40, 20, 10], 100 / 3),
        "aiperf": (100, 170, 190, [30], 30),
        "guidellm": (100, 170, 215, [30], 47.5),
    },
    "tool call first": {
        "agentlocust": (90, 90, 125, [10, 25], 35 / 4),
        "vllm": (90, 90, 125, [10, 25, 0], 35 / 4),
        "aiperf": (90, 90, 125, [35 / 4], 35 / 4),
        "guidellm": (90, 90, 145, [35 / 4], 25),
    },
    "bundled": {
        "agentlocust": (100, 100, 180, [40, 40], 16),
        "vllm": (100, 100, 180, [40, 40, 0], 16),
        "aiperf": (100, 100, 180, [16], 16),
        "guidellm": (100, 100, 190, [16], 30),
    },
    "one token": {
        "agentlocust": (100, 100, 100, [], None),
        "vllm": (80, 100, 110, [20, 10], None),
        "aiperf": (100, 100, 100, [], None),
        "guidellm": (100, 100, 135, [], 100),
    },
    "finish with the last token": {
        "agentlocust": (100, 100, 140, [40], 40),
        "vllm": (100, 100, 140, [40], 40),
        "aiperf": (100, 100, 140, [40], 40),
        "guidellm": (100, 100, 155, [40], 70),
    },
}
CASES = [(stream, convention) for stream, by_tool in EXPECTED.items() for convention in by_tool]


def read(stream: str, *, status: bytes = HEAD, cut: bool = False) -> Outcome:
    """What the Tap makes of a stream whose request was issued at 0 ms (of the second 1)."""
    start = 10**9
    tap = Tap(by_name("openai-chat"), streamed=True, started_ns=start)
    exchange = Exchange(Pool(), HttpRequest("POST", Origin("http", "h", 80), "/", ()), Timeouts())
    tap.watch(exchange)
    chunks = STREAMS[stream]
    exchange.on_data(start + 10 * MS, status)
    for at, chunk in chunks:
        exchange.on_data(start + at * MS, b"data: " + json.dumps(chunk).encode() + b"\n\n")
    if not cut:
        exchange.on_data(start + (chunks[-1][0] + 5) * MS, b"data: [DONE]\n\n")
    exchange.on_data(start + 400 * MS, b"")
    return tap.settle()


def recorded(stream: str, convention: Convention | None, **how: Any) -> Call:
    meter = Meter(Environment(events=Events()), PriceBook.load(), Scrubber([]))
    meter.begin(mock_url="", seed=1, warmup_s=0, **({} if convention is None else {"convention": convention}))
    return meter.record_call(read(stream, **how), Asked("chat", "gpt-4o-mini", b"{}"))


@pytest.mark.parametrize(("stream", "convention"), CASES)
def test_a_stream_has_these_times(stream, convention):
    """Ttft, ttfo, latency, itl and tpot of each stream by each tool's words."""
    call = recorded(stream, Convention(convention))
    assert call.ok
    ttft, ttfo, latency, gaps, tpot = EXPECTED[stream][convention]
    assert call.ttft == pytest.approx(ttft / 1000)
    assert call.ttfo == pytest.approx(ttfo / 1000)
    assert call.latency == pytest.approx(latency / 1000)
    assert list(call.gaps_ns) == pytest.approx([gap * MS for gap in gaps])
    assert call.tpot == (None if tpot is None else pytest.approx(tpot / 1000))


@pytest.mark.parametrize("stream", STREAMS)
def test_our_own_is_the_default(stream):
    """Without a word the times are ours, and tpot is what a Call works out by itself."""
    call = recorded(stream, None)
    times = times_of(_stamps(stream), call.usage.output)
    assert times is not None
    assert times == times_of(_stamps(stream), call.usage.output, Convention.AGENTLOCUST)
    own = Call("chat", "m", call.started, call.latency, ttft=call.ttft, usage=call.usage)
    assert call.tpot == (None if own.tpot is None else pytest.approx(own.tpot))
    assert (call.tpot is None) == (own.tpot is None)


def _stamps(stream: str) -> Stamps:
    outcome = read(stream)
    return Stamps(outcome.started_ns, outcome.decoded.token_ns, outcome.decoded.frame_ns, outcome.last_byte_ns)


def test_bundled_gaps_are_labelled():
    """Six tokens in three chunks: the gaps are between chunks, and the record says so."""
    assert recorded("bundled", None).bundled
    assert not recorded("role only first", None).bundled


@pytest.mark.parametrize("convention", Convention)
def test_a_stream_without_a_token_has_no_times(convention):
    """Frames alone generate nothing."""
    assert times_of(Stamps(0, [], [5, 6], 9), 0, convention) is None
    assert times_of(Stamps(0, [], [5, 6], 9), 7, convention) is None


@pytest.mark.parametrize("convention", Convention)
def test_without_frames_tokens_count(convention):
    """Dialects other than chat completions tell no frames: their token events stand for them."""
    times = times_of(Stamps(0, [100, 150], (), 190), 2, convention)
    assert times is not None
    assert times.ttft_ns == 100
    assert times.latency_ns == (190 if convention is Convention.GUIDELLM else 150)


@pytest.mark.parametrize("convention", Convention)
def test_a_failed_call_keeps_the_time_it_took_to_fail(convention):
    """Whoever's definitions are used, a truncated stream's duration is ours."""
    call = recorded("role only first", convention, cut=True)
    assert call.failure is not None
    assert call.failure.kind is FailureKind.TRUNCATED_STREAM
    assert call.latency > 0.4  # until it was given up, on the real clock
