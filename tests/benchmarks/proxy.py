"""What the proxy adds: 200 streams at 20 ms between tokens, through it and without it.

    python tests/benchmarks/proxy.py [--streams 200] [--itl 20] [--tokens 64] [--seconds 12] [--repeat 3]

The upstream writes into each event when it wrote it, and into the first when it had read the request; all three
processes read the same monotonic clock. So each request tells how long it and its first token were on their way:
the delay of its TTFT. "Added" is what that is more through the proxy than straight, percentile by percentile.
The upstream's events are those of a chat completion, so the proxy reads and meters every reply as it does others.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import ClassVar, cast
from urllib.parse import urlsplit
from urllib.request import urlopen

import psutil
import uvloop

ROOT = Path(__file__).parents[2]
BODY = json.dumps(
    {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Tell me a story."}], "stream": True}
).encode()
ASK = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    % len(BODY)
) + BODY
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
FRAME = (
    'data: {"id":"c","object":"chat.completion.chunk","model":"gpt-4o-mini",%s"choices":[{"index":0,"delta":%s}]}\n\n'
)
EVENT = FRAME % ('"at":%d,"read":%d,', '{"content":" word"},"finish_reason":null')
STOP = (FRAME % ("", '{},"finish_reason":"stop"')).encode()
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":%d,"total_tokens":0}}\n\n'
DONE = b"data: [DONE]\n\n"
STAMPS = re.compile(rb'"at":(\d+),"read":(\d+)')


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


class Upstream(asyncio.Protocol):
    """Streams `tokens` events, `itl` seconds apart, each with its stamps."""

    tokens = 64
    itl = 0.02

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Someone came."""
        self.transport = cast("asyncio.Transport", transport)
        self.read = b""

    def data_received(self, data: bytes) -> None:
        """A request."""
        self.read += data
        if self.read.endswith(BODY):
            self.read = b""
            now = time.monotonic_ns()
            self.transport.write(HEAD)
            asyncio.get_running_loop().call_later(self.itl, self.token, 1, now, time.monotonic())

    def token(self, n: int, read: int, began: float) -> None:
        """The n-th token is due."""
        if self.transport.is_closing():
            return
        self.transport.write(chunk((EVENT % (time.monotonic_ns(), read)).encode()))
        if n < self.tokens:
            asyncio.get_running_loop().call_at(began + (n + 1) * self.itl, self.token, n + 1, read, began)
        else:
            self.transport.write(chunk(STOP) + chunk(USAGE % self.tokens) + chunk(DONE) + b"0\r\n\r\n")


class Stream(asyncio.Protocol):
    """Asks again and again; notes how long the request and its first token, and each later one, were on their way."""

    first: ClassVar[list[int]] = []
    later: ClassVar[list[int]] = []
    replies = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        self.transport = cast("asyncio.Transport", transport)
        self.ask()

    def ask(self) -> None:
        """Once more."""
        self.waits = True
        self.sent = time.monotonic_ns()
        self.transport.write(ASK)

    def data_received(self, data: bytes) -> None:
        """Some of a reply."""
        now = time.monotonic_ns()
        found = STAMPS.search(data)
        if found is not None:
            at, read = int(found[1]), int(found[2])
            if self.waits:
                self.waits = False
                Stream.first.append(read - self.sent + now - at)
            else:
                Stream.later.append(now - at)
        if data.endswith(b"0\r\n\r\n"):
            Stream.replies += 1
            asyncio.get_running_loop().call_soon(self.ask)


def upstream(tokens: int, itl: float, pipe: Connection) -> None:
    """The upstream's process."""
    Upstream.tokens, Upstream.itl = tokens, itl

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0, backlog=4096)
        pipe.send(server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()

    uvloop.run(run())


def client(url: str, streams: int, seconds: float, reply_s: float, pipe: Connection) -> None:
    """The client's process: the streams' starts are spread over one reply; what comes after two counts."""

    async def run() -> None:
        loop, address = asyncio.get_running_loop(), urlsplit(url)
        for _ in range(streams):
            await loop.create_connection(Stream, address.hostname, address.port)
            await asyncio.sleep(reply_s / streams)
        await asyncio.sleep(reply_s)
        Stream.first.clear()
        Stream.later.clear()
        pipe.send("go")
        await asyncio.sleep(seconds)
        pipe.send((Stream.first, Stream.later, Stream.replies))

    uvloop.run(run())


@dataclass(frozen=True, slots=True)
class Delays:
    """Milliseconds, and the share of a core that a process took meanwhile."""

    ttft_p50: float
    ttft_p99: float
    token_p50: float
    token_p99: float
    replies: int
    core: float


def percentile(values: list[int], p: float) -> float:
    """Nearest rank, in milliseconds."""
    ranked = sorted(values)
    return ranked[min(int(len(ranked) * p / 100), len(ranked) - 1)] / 1e6


def measure(url: str, streams: int, seconds: float, reply_s: float, pid: int) -> Delays:
    """One load on one URL; `pid` is whose CPU is told."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=client, args=(url, streams, seconds, reply_s, there), daemon=True)
    process.start()
    here.recv()
    cpu = psutil.Process(pid).cpu_times()
    first, later, replies = here.recv()
    used = psutil.Process(pid).cpu_times()
    process.join(10)
    core = (used.user + used.system - cpu.user - cpu.system) / seconds
    return Delays(
        percentile(first, 50), percentile(first, 99), percentile(later, 50), percentile(later, 99), replies, core
    )


def main() -> None:
    """Measure straight and through, alternately, and print both."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--itl", type=float, default=20, help="milliseconds")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    here, there = multiprocessing.Pipe()
    server = multiprocessing.Process(target=upstream, args=(options.tokens, options.itl / 1000, there), daemon=True)
    server.start()
    straight = f"http://127.0.0.1:{here.recv()}"
    run = "from agentlocust.cli import main; main()"
    command = [sys.executable, "-c", run, "proxy", "--upstream", straight]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as proxy:
        assert proxy.stdout is not None
        through = proxy.stdout.readline().decode().split()[-1]
        reply_s = options.tokens * options.itl / 1000
        rows: dict[str, list[Delays]] = {"straight": [], "through": []}
        print(f"{'':10}{'TTFT p50':>10}{'p99':>9}{'token p50':>11}{'p99':>9}{'replies':>9}{'core':>7}", flush=True)
        for _ in range(options.repeat):
            for name, url, pid in (("straight", straight, server.pid), ("through", through, proxy.pid)):
                row = measure(url, options.streams, options.seconds, reply_s, pid or 0)
                rows[name].append(row)
                print(
                    f"{name:10}{row.ttft_p50:>10.3f}{row.ttft_p99:>9.3f}{row.token_p50:>11.3f}{row.token_p99:>9.3f}"
                    f"{row.replies:>9}{row.core:>7.0%}",
                    flush=True,
                )
        added = [
            statistics.median(getattr(row, name) for row in rows["through"])
            - statistics.median(getattr(row, name) for row in rows["straight"])
            for name in ("ttft_p50", "ttft_p99", "token_p50", "token_p99")
        ]
        print(f"{'added':10}{added[0]:>10.3f}{added[1]:>9.3f}{added[2]:>11.3f}{added[3]:>9.3f} ms")
        print(f"the proxy's own count: {json.load(urlopen(through + '/_proxy'))['calls']} calls")
        proxy.terminate()
    server.terminate()


if __name__ == "__main__":
    main()
