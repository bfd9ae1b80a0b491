"""What the mock itself holds: how many streams, at what cost, and how true its own times stay.

    python tests/benchmarks/mock.py [--streams 64,256,512,1000] [--itl 5,20] [--repeat 3]

Each row is an `agentlocust mock` process of its own and a client that does nothing with what it reads: one bare
asyncio connection a stream, in a second process, the next request sent when the last byte of a reply is seen.
The times are those of the mock's books (percentiles within 1%), beside what it was asked for. With --repeat each
column is the median.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import psutil
import uvloop

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from harness import MockServer  # the harness of the integration tests

TOKENS = 64
START_S = 20.0  # the longest that every stream may take for its first reply
BODY = json.dumps(
    {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Tell me a story."}], "stream": True}
).encode()
HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: mock\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Held:
    """One load: tokens a second, its share of the ideal, CPU of the mock, the mock's own times in milliseconds."""

    tokens_per_s: float
    achieved: float
    cpu_us: float
    core: float
    ttft_p50: float
    ttft_p99: float
    itl_mean: float
    itl_p50: float
    itl_p99: float
    client_core: float


class Stream(asyncio.Protocol):
    """Asks again as soon as a reply has ended; its chunked body is not even looked at."""

    transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        self.transport = cast("asyncio.WriteTransport", transport)
        self.transport.write(HEAD % len(BODY) + BODY)

    def data_received(self, data: bytes) -> None:
        """Ask again at the end of the body, which comes in a write of its own or with the last events."""
        if data.endswith(b"0\r\n\r\n"):
            self.transport.write(HEAD % len(BODY) + BODY)


async def keep_open(url: str, streams: int, spread_s: float, seconds: float) -> None:
    """Keep that many streams open, their starts spread over one reply, until time is up."""
    loop, address = asyncio.get_running_loop(), urlsplit(url)
    host, port = str(address.hostname), address.port or 80
    for _ in range(streams):
        await loop.create_connection(Stream, host, port)
        await asyncio.sleep(spread_s / streams)
    await asyncio.sleep(seconds)


def measure(streams: int, ttft_ms: float, itl_ms: float, seconds: float) -> Held:
    """Load a fresh mock, wait until every stream had a reply, and read its books over a window."""
    reply_s = (ttft_ms + (TOKENS - 1) * itl_ms) / 1000
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        mock = stack.enter_context(MockServer(Path(folder), f"ttft={ttft_ms}ms,itl={itl_ms}ms,tokens={TOKENS}"))
        [server] = psutil.Process().children()
        arguments = (mock.url, str(streams), str(reply_s), str(START_S + seconds + 30))
        client = stack.enter_context(subprocess.Popen([sys.executable, __file__, "--client", *arguments]))
        stack.callback(client.kill)
        deadline = time.monotonic() + START_S
        while mock.truth()["completed"] < 2 * streams:  # the first replies bear the cost of connecting
            if client.poll() is not None or time.monotonic() > deadline:
                message = f"{streams} streams were not all answered within {START_S:g} s"
                raise RuntimeError(message)
            time.sleep(0.2)
        mock.reset()
        time.sleep(2 * reply_s)  # what was open at the reset is not counted: its successors are
        processes = server, psutil.Process(client.pid)
        begun, completed = time.monotonic(), mock.truth()["completed"]
        used = [cpu_of(process) for process in processes]
        time.sleep(seconds)
        cpu, client_cpu = (cpu_of(process) - before for process, before in zip(processes, used, strict=True))
        window, truth = time.monotonic() - begun, mock.truth()
    replies = truth["completed"] - completed
    ttft, itl = truth["ttft_s"], truth["itl_s"]
    return Held(
        tokens_per_s=replies * TOKENS / window,
        achieved=replies / window * reply_s / streams,
        cpu_us=cpu / replies / TOKENS * 1e6,
        core=cpu / window,
        ttft_p50=ttft["p50"] * 1e3,
        ttft_p99=ttft["p99"] * 1e3,
        itl_mean=itl["mean"] * 1e3,
        itl_p50=itl["p50"] * 1e3,
        itl_p99=itl["p99"] * 1e3,
        client_core=client_cpu / window,
    )


def cpu_of(process: psutil.Process) -> float:
    """CPU seconds a process has used."""
    times = process.cpu_times()
    return times.user + times.system


def main() -> None:
    """Measure what was asked for and print a row at a time."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--streams", default="64,256,512,1000")
    parser.add_argument("--itl", default="5,20", help="milliseconds")
    parser.add_argument("--ttft", type=float, default=50, help="milliseconds")
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--repeat", type=int, default=1)
    options = parser.parse_args()
    print(
        "streams   ITL asked   tokens/s  of ideal  CPU us/token  of a core  client's  "
        f"TTFT p50    p99 (asked {options.ttft:g})  ITL mean    p50    p99"
    )
    for itl in map(float, options.itl.split(",")):
        for streams in map(int, options.streams.split(",")):
            try:
                runs = [measure(streams, options.ttft, itl, options.seconds) for _ in range(options.repeat)]
            except (OSError, RuntimeError) as error:  # so far behind that it does not even answer for its books
                print(f"{streams:>7}{itl:>9g} ms  not held: {error}", flush=True)
                continue
            row = Held(*(statistics.median(values) for values in zip(*map(astuple, runs), strict=True)))
            print(
                f"{streams:>7}{itl:>9g} ms{row.tokens_per_s:>11.0f}{row.achieved:>10.1%}{row.cpu_us:>14.1f}"
                f"{row.core:>11.0%}{row.client_core:>10.0%}{row.ttft_p50:>10.2f}{row.ttft_p99:>10.2f} ms"
                f"{row.itl_mean:>16.3f}{row.itl_p50:>7.2f}{row.itl_p99:>7.2f} ms",
                flush=True,
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--client"]:
        mock_url, count, spread, length = sys.argv[2:]
        uvloop.run(keep_open(mock_url, int(count), float(spread), float(length)))
    else:
        main()
