"""Microseconds that one call costs the generator after its last byte: `python tests/benchmarks/record.py`.

`settle` splits and decodes the stamped bytes of a streamed reply; `record_call` prices it, adds it to the
ledger and tells Locust, whose own statistics are in the figure.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

os.environ["LOCUST_SKIP_MONKEY_PATCH"] = "1"
sys.path.insert(0, str(Path(__file__).parents[2]))

from locust import events
from locust.env import Environment

import agentlocust.plugin  # noqa: F401  # its listeners are part of the cost
from agentlocust import dialects
from agentlocust.pricing import PriceBook
from agentlocust.redact import Scrubber
from agentlocust.users.meter import Asked, Meter
from agentlocust.wire.exchange import Exchange, HttpRequest, Timeouts
from agentlocust.wire.pool import Pool
from agentlocust.wire.tap import Tap
from agentlocust.wire.target import Target

ORIGIN = Target.parse("http://127.0.0.1:9").origin
GAP_NS = 20_000_000


@dataclass(frozen=True, slots=True)
class Sample:
    """A dialect's stream: its events as one chunk of bytes each."""

    dialect: str
    model: str
    events: list[bytes]


def chat(tokens: int) -> Sample:
    """A chat completion of that many tokens, with its usage."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini"}

    def event(delta: dict[str, str], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return b"data: " + json.dumps({**head, "choices": [choice]}).encode() + b"\n\n"

    counted = {"prompt_tokens": 9, "completion_tokens": tokens, "total_tokens": 9 + tokens}
    usage = b"data: " + json.dumps({**head, "choices": [], "usage": counted}).encode() + b"\n\n"
    words = [event({"content": " word"}) for _ in range(tokens)]
    first = event({"role": "assistant", "content": ""})
    return Sample("openai-chat", "gpt-4o-mini", [first, *words, event({}, "stop"), usage, b"data: [DONE]\n\n"])


def messages(tokens: int) -> Sample:
    """A message of that many tokens from the Messages API."""

    def event(kind: str, **body: object) -> bytes:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **body})}\n\n".encode()

    started = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "content": [],
        "model": "claude-haiku-4-5",
        "usage": {"input_tokens": 9, "output_tokens": 1},
    }
    word = {"type": "text_delta", "text": " word"}
    return Sample(
        "anthropic",
        "claude-haiku-4-5",
        [
            event("message_start", message=started),
            event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
            *(event("content_block_delta", index=0, delta=word) for _ in range(tokens)),
            event("content_block_stop", index=0),
            event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": tokens}),
            event("message_stop"),
        ],
    )


def tapped(sample: Sample) -> Tap:
    """A tap whose reply has arrived, a chunk an event."""
    exchange = Exchange(Pool(), HttpRequest("POST", ORIGIN, "/v1", []), Timeouts())
    now = time.monotonic_ns()
    response = exchange.response
    response.feed_at(now, b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    for event in sample.events:
        now += GAP_NS
        response.feed_at(now, f"{len(event):x}\r\n".encode() + event + b"\r\n")
    response.feed_at(now, b"0\r\n\r\n")
    tap = Tap(dialects.by_name(sample.dialect), streamed=True)
    tap.watch(exchange)
    return tap


def microseconds(work: Callable[[], object], times: int, repeats: int = 5) -> float:
    """The best of several means, in µs: other processes only ever add."""
    work()
    means = []
    for _ in range(repeats):
        started = time.perf_counter_ns()
        for _ in range(times):
            work()
        means.append((time.perf_counter_ns() - started) / times / 1000)
    return min(means)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--times", type=int, default=1000)
    options = parser.parse_args()
    print(f"µs a streamed call of {options.tokens} tokens\n")
    print(f"{'dialect':<14} {'settle':>8} {'record_call':>12} {'together':>9}")
    for sample in (chat(options.tokens), messages(options.tokens)):
        environment = Environment(events=events)
        environment.create_local_runner()
        meter = Meter(environment, PriceBook.load(), Scrubber(environ={}))
        meter.begin(mock_url="", seed=1, warmup_s=0, models=[sample.model])
        tap = tapped(sample)
        outcome = tap.settle()
        assert outcome.failure is None, outcome.failure
        assert len(outcome.decoded.token_ns) == options.tokens, outcome.decoded
        asked = Asked("chat", sample.model, b"{}")
        call = meter.record_call(outcome, asked)
        assert call.cost_picousd, "the model has a price"
        settle = microseconds(tap.settle, options.times)
        record = microseconds(partial(meter.record_call, outcome, asked), options.times)
        print(f"{sample.dialect:<14} {settle:>8.1f} {record:>12.1f} {settle + record:>9.1f}")


if __name__ == "__main__":
    main()
