"""A server that answers in time, but for the outages it is told of, and an agent that bears them in some manner.

A relay tells what goes over the wire to any other server: who asked when, and what the answer was.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import NamedTuple

AGENT = """
import os, random, time
import gevent
from locust import constant, events, task
from agentlocust import OpenAIUser

MANNER = os.environ["MANNER"]

@events.test_start.add_listener
def began(**_):
    print(f"began at {time.monotonic():.6f} s")

class Agent(OpenAIUser):
    model = "gpt-4o-mini"
    stream = False
    wait_time = constant(0.1)
    max_retries = 6 if MANNER == "sdk" else 0

    @task
    def work(self):
        with self.agent_run("work") as run:
            if MANNER == "sdk":
                try:
                    self.client.chat.completions.create(model=self.model, messages=[{"role": "user", "content": "x"}])
                except Exception:
                    run.fail("gave up")
                return
            wait = 0.2
            for _ in range(2000):
                reply = self.chat([{"role": "user", "content": "x"}])
                if reply.ok:
                    run.error = ""
                    break
                if MANNER == "fixed":
                    gevent.sleep(0.4)
                elif MANNER == "step":
                    gevent.sleep(1.0)
                elif MANNER == "honours":
                    gevent.sleep(1.0 + random.uniform(0, 0.3))
                elif MANNER == "exponential":
                    gevent.sleep(wait)
                elif MANNER == "jitter":
                    gevent.sleep(random.uniform(0.5, 1.0) * wait)
                wait = min(wait * 2, 2.0)
"""


def began(output: str) -> float:
    """When the agent's test began, in monotonic seconds of this machine."""
    found = re.search(r"^began at ([\d.]+) s$", output, re.MULTILINE)
    assert found is not None, output
    return float(found[1])


_BODY = (
    b'{"id":"r1","model":"gpt-4o-mini","choices":[{"message":{"content":"Hello"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":5,"completion_tokens":1}}'
)
_ERROR = b'{"error":{"message":"overloaded","type":"server_error"}}'
_LATENCY_S = 0.05


class Outages:
    """Answers 200 after 50 ms; within the windows (seconds from the first request) 503 after 5 ms.

    `arrived` are the seconds at which requests came; with `retry_after` the refusals ask for that wait.
    """

    def __init__(self, windows: Sequence[tuple[float, float]], retry_after: str = "") -> None:
        self.windows = windows
        self.arrived: list[float] = []
        self.url = ""
        self._more = f"Retry-After: {retry_after}\r\n" if retry_after else ""
        self._zero = 0.0

    def back_at(self) -> float:
        """When the last outage ended, in monotonic seconds."""
        return self._zero + self.windows[-1][1]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                self._zero = self._zero or time.monotonic()
                at = time.monotonic() - self._zero
                self.arrived.append(at)
                out = any(start <= at < end for start, end in self.windows)
                await asyncio.sleep(0.005 if out else _LATENCY_S)
                body, status = (_ERROR, "503 Service Unavailable") if out else (_BODY, "200 OK")
                more = self._more if out else ""
                head_out = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{more}"
                writer.write(head_out.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
        writer.close()


@contextlib.contextmanager
def outages(windows: Sequence[tuple[float, float]], retry_after: str = "") -> Iterator[Outages]:
    """The server, in a thread of its own, for as long as the block lasts."""
    target = Outages(windows, retry_after)
    with listening(target.serve) as target.url:
        yield target


class Answer(NamedTuple):
    """One answer: when it came, its status, and which connection it came on."""

    at: float
    status: int
    connection: int


@dataclass(slots=True)
class Seen:
    """What went over the wire, in monotonic seconds: when each request came, and the answers."""

    url: str = ""
    arrived: list[float] = field(default_factory=list)
    answered: list[Answer] = field(default_factory=list)

    def peak_rate(self, start: float, end: float) -> float:
        """The most requests that came within one second, from a time to another."""
        arrived = [at for at in self.arrived if start <= at < end]
        first = most = 0
        for last, at in enumerate(arrived):
            while arrived[first] <= at - 1.0:
                first += 1
            most = max(most, last - first + 1)
        return float(most)


@contextlib.contextmanager
def relay(url: str) -> Iterator[Seen]:
    """Stands before a server that answers one request of a connection after the other, and changes nothing."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    seen, numbers = Seen(), count()

    def came(data: bytes) -> None:
        seen.arrived.extend([time.monotonic()] * data.count(b"POST /v1/"))

    def went(data: bytes, connection: int) -> None:
        now = time.monotonic()
        seen.answered.extend(Answer(now, int(part[:3]), connection) for part in data.split(b"HTTP/1.1 ")[1:])

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, look: Callable[[bytes], None]) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                look(data)
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection(host, int(port))
        answered = partial(went, connection=next(numbers))
        await asyncio.gather(pump(reader, ours, came), pump(theirs, writer, answered))

    with listening(serve) as seen.url:
        yield seen


@contextlib.contextmanager
def listening(serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> Iterator[str]:
    """The address of a server in a thread of its own, for as long as the block lasts."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0, backlog=512))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:

        async def stop() -> None:
            server.close()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(0)

        asyncio.run_coroutine_threadsafe(stop(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()
