"""Records survive their journey; whose run a request is of is read from what agents pass on."""

from __future__ import annotations

import json

import pytest

from agentlocust.proxy.heads import Head
from agentlocust.proxy.record import Attempt
from agentlocust.proxy.runs import cause_of, new_run, run_headers
from agentlocust.usage import Usage

ALL = Attempt(
    10**12,
    10**12 + 5,
    "POST",
    "/v1/messages",
    dialect="anthropic",
    model="m",
    run="r",
    by="header",
    number=0,
    status=200,
    streamed=True,
    token_ns=(10**12 + 1, 10**12 + 4),
    frame_ns=(10**12 + 1,),
    usage=Usage(3, 1, 0, 0, 7, 2, estimated=True),
    cost_picousd=0,
    faults=("cut",),
    retry_after_s=1.5,
)


@pytest.mark.parametrize("record", [ALL, Attempt(1, 2, "GET", "/")])
def test_a_record_is_read_as_it_was_written(record):
    """Through a line of JSON, with all its figures."""
    line = record.encode()
    assert "\n" not in line
    assert Attempt.decode(json.loads(line)) == record


def head_of(pairs: list[tuple[str, str]]) -> Head:
    """A request's head with these headers."""
    return Head(b"HTTP/1.1", [(name.encode(), value.encode()) for name, value in pairs], b"POST", b"/")


def test_any_of_the_three_headers_tells_the_run():
    """Our own first, then baggage, then the trace's id; a name only where baggage came along."""
    run = new_run()
    traceparent, baggage, own = run_headers(run, "refund, 50%")
    assert cause_of(head_of([traceparent, baggage, own])) == (run, "header", "refund, 50%")
    assert cause_of(head_of([baggage])) == (run, "baggage", "refund, 50%")
    assert cause_of(head_of([traceparent])) == (run, "traceparent", "")
    assert cause_of(head_of([own])) == (run, "header", "")
    assert cause_of(head_of([("baggage", f"other=1,{baggage[1]};prop=x")]))[:2] == (run, "baggage")


@pytest.mark.parametrize(
    "pair",
    [
        ("traceparent", "00-" + "0" * 32 + "-" + "1" * 16 + "-01"),
        ("traceparent", "nonsense"),
        ("baggage", "agentlocust.run="),
        ("baggage", ",,;=,"),
        ("x-agentlocust-run", "a b\x00c"),
        ("x-agentlocust-run", "x" * 200),
    ],
)
def test_nonsense_tells_nothing(pair):
    """What agents send is not trusted to be well-formed."""
    assert cause_of(head_of([pair]))[:2] == ("", "")
