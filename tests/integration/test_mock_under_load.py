"""The mock as a server under pressure, over real sockets: slots, limits, freezes, deaths, leaks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx2
import psutil
import pytest

from agentlocust.mock.embedded import EmbeddedMock

BODY = {"model": "mock", "max_tokens": 1000, "messages": [{"role": "user", "content": "Where is order 42?"}]}
CHAT = "/v1/chat/completions"


@contextlib.contextmanager
def mocked(spec: str) -> Iterator[EmbeddedMock]:
    mock = EmbeddedMock.start(spec, 1)
    try:
        yield mock
    finally:
        mock.stop()


def played(mock: EmbeddedMock, play: Callable[[httpx2.AsyncClient], Awaitable[None]]) -> None:
    """Play with a client that has a connection for each request that is open."""

    async def with_client() -> None:
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
        async with httpx2.AsyncClient(base_url=mock.url, timeout=20, limits=limits) as client:
            await play(client)

    asyncio.run(with_client())


async def ask(client: httpx2.AsyncClient, behaviour: str = "", **more: Any) -> httpx2.Response:
    return await client.post(CHAT, json={**BODY, **more}, headers={"x-mock": behaviour} if behaviour else {})


async def truth(client: httpx2.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get("/_truth")).json()
    return found


async def eventually(client: httpx2.AsyncClient, holds: Callable[[dict[str, Any]], bool]) -> None:
    """Wait, at most ten seconds, until the books say so."""
    async with asyncio.timeout(10):
        while not holds(await truth(client)):  # noqa: ASYNC110  # the books are only told when asked
            await asyncio.sleep(0.005)


async def queued(client: httpx2.AsyncClient, length: int) -> None:
    """Wait until one is served and so many stand in the line."""
    await eventually(client, lambda books: (books["queue"]["now"], books["concurrent"]["now"]) == (length, length + 1))


async def gone(task: asyncio.Task[Any]) -> None:
    """Let a client go away."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("stream", [False, True])
def test_latency_is_wait_and_service(stream: bool) -> None:
    """Eight at four slots: half take one service time, half two, to 10 ms when the machine is not busy."""
    late = []

    async def eight(client: httpx2.AsyncClient) -> None:
        async def timed() -> float:
            begun = time.monotonic()
            assert (await ask(client, stream=stream)).status_code == 200
            return time.monotonic() - begun

        await asyncio.gather(*(truth(client) for _ in range(8)))  # open the connections
        await client.post("/_truth/reset")
        found = sorted(await asyncio.gather(*(timed() for _ in range(8))))
        books = await truth(client)
        assert min(found[:4]) >= 0.5
        assert min(found[4:]) >= 1.0 - 0.02  # the second four came a little after the first
        late.append(max(*(taken - 0.5 for taken in found[:4]), *(taken - 1.0 for taken in found[4:])))
        assert books["queue"] == {"now": 0, "max": 4}
        assert books["waits"]["count"] == 4
        assert 1.9e9 <= books["waits"]["sum_ns"] <= 4 * books["waits"]["max_ns"]
        assert books["concurrent"]["max"] == 8

    with mocked("slots=4,ttft=100ms,itl=10ms,tokens=41") as mock:
        for _ in range(5):
            played(mock, eight)
            if late[-1] < 0.01:
                return
    pytest.fail(f"never within 10 ms: {late}")


def test_slots_are_used_without_a_gap() -> None:
    """160 services of 50 ms at four slots take 2 s: no lateness adds up, to 2% when the machine is not busy."""
    taken = []

    async def eight(client: httpx2.AsyncClient) -> None:
        async def twenty() -> None:
            for _ in range(20):
                await ask(client)

        await asyncio.gather(*(truth(client) for _ in range(8)))
        begun = time.monotonic()
        await asyncio.gather(*(twenty() for _ in range(8)))
        taken.append(time.monotonic() - begun)
        assert taken[-1] >= 2.0

    with mocked("slots=4,ttft=50ms,itl=0,tokens=1") as mock:
        for _ in range(5):
            played(mock, eight)
            if taken[-1] <= 2.04:
                return
    pytest.fail(f"never within 2%: {taken}")


def test_the_line_is_kept_over_all_connections() -> None:
    """They are served as they came, but for those who went away."""
    order: list[int] = []

    async def line(client: httpx2.AsyncClient) -> None:
        async def one(name: int) -> None:
            await ask(client, "ttft=60s" if name == 0 else "", stream=name % 2 == 0)
            order.append(name)

        tasks = []
        for name in range(12):
            tasks.append(asyncio.create_task(one(name)))
            await queued(client, name)
        await gone(tasks[5])
        await queued(client, 10)
        assert order == []
        await gone(tasks[0])  # it is served, and would be for a minute: its slot is free at once
        await asyncio.gather(*tasks[1:5], *tasks[6:])
        books = await truth(client)
        assert books["aborted_by"] == {"client": 2}
        assert (books["queue"]["now"], books["concurrent"]["now"]) == (0, 0)
        assert books["waits"]["count"] == 10

    with mocked("slots=1,ttft=20ms,itl=0,tokens=2") as mock:
        played(mock, line)
    assert order == [1, 2, 3, 4, 6, 7, 8, 9, 10, 11]


@pytest.mark.parametrize(("more", "status"), [("", 429), (",queue_full=503", 503)])
def test_who_finds_the_line_full_is_refused_at_once(more: str, status: int) -> None:
    """The refusal is the provider's, is counted, and leaves those in the line where they are."""

    async def five(client: httpx2.AsyncClient) -> None:
        waiting = []
        for length in range(3):
            waiting.append(asyncio.create_task(ask(client)))
            await queued(client, length)
        refused = [await ask(client), await client.post("/v1/messages", json=BODY)]
        assert [reply.status_code for reply in refused] == [status, status]
        assert all(("retry-after" in reply.headers) is (status == 429) for reply in refused)
        assert "error" in refused[0].json()
        books = await truth(client)
        assert books["refused"] == {"rate": 0, "queue": 2}
        assert books["failed_by"] == {str(status): 2}
        assert books["queue"] == {"now": 2, "max": 2}
        for task in waiting:
            await gone(task)

    with mocked("slots=1,queue=2,ttft=60s" + more) as mock:
        played(mock, five)


def test_a_rate_limit_refuses_what_is_beyond_and_says_when_to_come_back() -> None:
    """A burst of three, then one each 200 ms; who waits as told is served."""

    async def more_than_allowed(client: httpx2.AsyncClient) -> None:
        replies = [await ask(client) for _ in range(3)]
        assert [reply.status_code for reply in replies] == [200] * 3
        refused = await ask(client)
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert refused.headers["x-ratelimit-remaining-requests"] == "0"
        wait_ms = int(refused.headers["retry-after-ms"])
        assert 0 < wait_ms <= 60_000
        theirs = await client.post("/v1/messages", json=BODY)
        assert theirs.headers["anthropic-ratelimit-requests-remaining"] == "0"
        await asyncio.sleep(wait_ms / 1000)
        assert (await ask(client)).status_code == 200
        assert (await truth(client))["refused"] == {"rate": 2, "queue": 0}

    with mocked("rate=60/min,burst=3,ttft=0,itl=0,tokens=1") as mock:
        played(mock, more_than_allowed)


def test_a_request_cannot_set_what_all_share() -> None:
    """It is told so, and the others go on."""

    async def tries(client: httpx2.AsyncClient) -> None:
        refused = await ask(client, "slots=100")
        assert refused.status_code == 400
        assert "the mock as a whole" in refused.text
        assert (await ask(client, "tokens=3,fill=yes", max_tokens=7)).json()["usage"]["completion_tokens"] == 7

    with mocked("slots=1,ttft=0,itl=0") as mock:
        played(mock, tries)


def test_contention_slows_the_gaps_while_others_are_served() -> None:
    """Two at once have twice the gaps at contention 1, one alone has its own."""

    async def together(client: httpx2.AsyncClient) -> None:
        await ask(client, stream=True)
        assert (await truth(client))["itl_s"]["min"] < 0.04
        await client.post("/_truth/reset")
        await asyncio.gather(ask(client, stream=True), ask(client, stream=True))
        assert (await truth(client))["itl_s"]["mean"] >= 0.035

    with mocked("contention=1,ttft=20ms,itl=20ms,tokens=21") as mock:
        played(mock, together)


def test_a_frozen_server_answers_nothing_and_then_all_at_once() -> None:
    """Neither a stream nor a new request moves in the freeze, not even the books; after it all ends well."""

    async def through(client: httpx2.AsyncClient) -> None:
        begun = time.monotonic()
        open_one = asyncio.create_task(ask(client, "itl=20ms,tokens=30", stream=True))
        await asyncio.sleep(0.35)
        late = await asyncio.gather(ask(client), truth(client), open_one)
        assert time.monotonic() - begun >= 1.2
        assert (late[0].status_code, late[2].status_code) == (200, 200)
        books = await truth(client)
        assert books["completed"] == 2
        assert books["itl_s"]["max"] >= 0.9
        assert books["itl_s"]["min"] < 0.01  # what was due in the freeze came at once

    with mocked("freeze=200ms+1s,ttft=0,itl=0,tokens=2") as mock:
        played(mock, through)


def test_a_frozen_server_can_be_stopped() -> None:
    """A signal ends it cleanly, however long it was to be frozen."""
    command = [sys.executable, "-m", "agentlocust.mock", "--spec", "freeze=0+1h,ttft=60s"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = process.stdout.readline().split()[-1]
    with pytest.raises(httpx2.ReadTimeout):
        httpx2.post(url + CHAT, json=BODY, timeout=0.5)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize(("spec", "clients"), [("die=200ms", 1), ("die_at_concurrency=3", 3)])
def test_a_dying_server_is_gone_at_once(spec: str, clients: int) -> None:
    """Its clients see their connections break, with no last words."""

    async def until_death(client: httpx2.AsyncClient) -> None:
        for _ in range(clients - 1):
            asyncio.create_task(ask(client)).add_done_callback(lambda task: task.exception())
        await asyncio.sleep(0.1)
        with pytest.raises(httpx2.TransportError):
            await ask(client)

    with mocked(spec + ",ttft=60s") as mock:
        played(mock, until_death)
        assert os.waitpid(mock.pid, 0)[1] == 1 << 8


def test_leaks_show_in_the_process() -> None:
    """Memory, descriptors and threads grow while it serves, and are not given back."""

    async def serve(client: httpx2.AsyncClient, process: psutil.Process) -> None:
        await truth(client)
        memory, descriptors, threads = process.memory_info().rss, process.num_fds(), process.num_threads()
        for _ in range(5):
            await ask(client)
        assert process.memory_info().rss - memory >= 0.9 * 5 * 4e6
        await eventually(client, lambda _: process.num_fds() - descriptors >= 20)
        await eventually(client, lambda _: process.num_threads() - threads >= 10)
        await eventually(client, lambda _: process.memory_info().rss - memory >= 40e6)

    with mocked("leak=4MB,leak_rate=20MB/s,leak_fds=20/s,leak_threads=10/s,ttft=0,itl=0,tokens=1") as mock:
        played(mock, lambda client: serve(client, psutil.Process(mock.pid)))


def test_a_cache_grows_and_settles() -> None:
    """It is full after a hundred requests and grows no more."""

    async def serve(client: httpx2.AsyncClient, process: psutil.Process) -> None:
        await ask(client)
        sizes = [process.memory_info().rss]
        for _ in range(3):
            for _ in range(100):
                await ask(client)
            sizes.append(process.memory_info().rss)
        assert sizes[1] - sizes[0] >= 0.9 * 99 / 100 * 30e6
        assert sizes[3] - sizes[1] <= 5e6

    with mocked("cache=30MB,ttft=0,itl=0,tokens=1") as mock:
        played(mock, lambda client: serve(client, psutil.Process(mock.pid)))
