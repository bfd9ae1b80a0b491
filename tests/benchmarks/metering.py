"""What the metering adds to one call: a request through a wrapped transport, and through the bare one.

    python tests/benchmarks/metering.py [--calls 5000] [--repeat 5]

No network: below the wrapper a function hands back a reply of the usual size at once, whose body is read and closed
as a client would. Sync, in a greenlet of the users' hub. Two figures, in microseconds of CPU a call: what the wrapper
does itself while the call goes on (`transport`: recognising it, the tap, the stamps), and with what is recorded of it
(`recorded`: decoding, cost, metrics), as for any call of the pack. The median of the repeats.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import httpx
from locust.env import Environment
from locust.event import Events

from agentlocust.pricing import PriceBook
from agentlocust.redact import Scrubber
from agentlocust.users.meter import Meter
from agentlocust.users.python_agent import PythonAgentUser
from agentlocust.wire.foreign_body import metered_send
from agentlocust.wire.metering import Scope

URL = "http://127.0.0.1:1/v1/chat/completions"
REPLY = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "word " * 60}, "finish_reason": "stop"},
        ],
        "usage": {"prompt_tokens": 300, "completion_tokens": 60, "total_tokens": 360},
    }
).encode()
BODY = json.dumps(
    {
        "model": "gpt-4o-mini",
        "messages": [{"role": "system", "content": "be brief " * 40}, {"role": "user", "content": "why? " * 40}],
    }
).encode()


class Agent(PythonAgentUser):
    """A user to whom the calls belong."""

    abstract = True


class _Reply(httpx.SyncByteStream):
    def __iter__(self) -> Any:
        yield REPLY


def _bare(_transport: object, _request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": "application/json"}, stream=_Reply())


def _request() -> httpx.Request:
    headers = {"content-type": "application/json", "x-stainless-retry-count": "0"}
    return httpx.Request("POST", URL, headers=headers, content=BODY)


def _microseconds(send: Callable[[Any, Any], Any], calls: int) -> float:
    requests = [_request() for _ in range(calls)]
    began_ns = time.process_time_ns()
    for request in requests:
        send(None, request).read()
    return (time.process_time_ns() - began_ns) / calls / 1e3


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=5000)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()

    environment = Environment(events=Events(), host="http://127.0.0.1:1")
    environment.agentlocust = Meter(environment, PriceBook.load(), Scrubber([]))
    user = Agent(environment)
    wrapped = metered_send(httpx, _bare)
    bare, transport, recorded = [], [], []
    drain = Scope._drain
    for _ in range(options.repeat):
        bare.append(_microseconds(_bare, options.calls))
        with user.agent_run("recorded"):
            recorded.append(_microseconds(wrapped, options.calls))
        Scope._drain = lambda self: self._due.clear()  # type: ignore[method-assign]  # nothing is recorded
        with user.agent_run("transport"):
            transport.append(_microseconds(wrapped, options.calls))
        Scope._drain = drain  # type: ignore[method-assign]
    base = statistics.median(bare)
    print(f"bare       {base:8.1f} us a call")
    print(f"transport  {statistics.median(transport) - base:+8.1f} us")
    print(f"recorded   {statistics.median(recorded) - base:+8.1f} us")


if __name__ == "__main__":
    main()
