"""The proxy carries out what an Injector says, over real sockets, and marks what was struck."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import pytest
import uvloop

from agentlocust.faults.injection import Asked, Breakage, End, Injection, MadeReply, Piece
from agentlocust.faults.injector import PlanInjector
from agentlocust.faults.plan import FaultPlan
from agentlocust.pricing import PriceBook
from agentlocust.proxy.books import Books
from agentlocust.proxy.client import Client
from agentlocust.proxy.gateway import Gateway
from agentlocust.proxy.record import Attempt
from agentlocust.wire.target import Target
from proxy_server import body_of, connect, exchange, read_all, request
from scripted_server import DONE, END, READ, STOP, STREAM_HEAD, USAGE, ScriptedServer, chunk, reply, token

CHAT = "/v1/chat/completions"
ASK = b'{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"hi"}]}'
ASKING = request("POST", CHAT, ASK, "Connection: close")
EVENTS = (token("Hel"), token("lo"), STOP, USAGE, DONE)
STREAM = [READ, STREAM_HEAD, *map(chunk, EVENTS), END]


class Always:
    """An Injector with one answer; remembers what it was asked."""

    def __init__(self, injection: Injection | None) -> None:
        self.injection = injection
        self.asked: list[Asked] = []

    def decide(self, asked: Asked, body: bytes) -> Injection | None:
        self.asked.append(asked)
        return self.injection


class ProxyHere:
    """A proxy on a loop in a thread of this process, so that it can be given an Injector."""

    def __init__(self, upstream: str, injector: Any) -> None:
        self.attempts: list[Attempt] = []
        self.url = ""
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._run(upstream, injector)), daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    async def _run(self, upstream: str, injector: Any) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        books = Books(PriceBook.load(), [lambda _, attempt: self.attempts.append(attempt)])
        gateway = Gateway(Target.parse(upstream), books.add, injector=injector)
        server = await self._loop.create_server(lambda: Client(gateway), "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        reading = asyncio.create_task(books.run())
        self._ready.set()
        await self._stop.wait()
        for client in list(gateway.clients):
            client.cancel()
        await asyncio.sleep(0)
        books.finish()
        await reading
        server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)


class Each:
    """A Rewriter of single functions."""

    def __init__(self, change: Callable[[bytes, int], list[Piece]], last: list[Piece] | None = None) -> None:
        self.end: End | None = None
        self.ends_after: tuple[int, End] | None = None
        self._change, self._last, self._n = change, last or [], 0

    def feed(self, data: bytes) -> list[Piece]:
        """The server sent `data`; what goes on."""
        self._n += 1
        if self.ends_after is not None and self._n > self.ends_after[0]:
            self.end = self.ends_after[1]
            return []
        return self._change(data, self._n)

    def finish(self) -> list[Piece]:
        """What goes on last."""
        return self._last


def struck(injection: Injection | None, script: Any = None, data: bytes = ASKING) -> tuple[bytes, float, Attempt, int]:
    """What the client got, how long it took, the record, and how often the upstream was asked."""
    with ScriptedServer(script or STREAM) as server:
        with ProxyHere(server.url, Always(injection)) as proxy:
            began = time.monotonic()
            got = exchange(proxy.url, data)
            took = time.monotonic() - began
        return got, took, proxy.attempts[0], len(server.requests)


def content(got: bytes) -> bytes:
    """A chunked body's content."""
    return b"".join(re.findall(rb"[0-9a-f]+\r\n(.+?)\r\n(?=[0-9a-f]+\r\n|\Z)", body_of(got), re.DOTALL))


def test_without_a_fault_all_is_as_it_was():
    """An Injector that says None changes no byte."""
    got, _, attempt, asked = struck(None)
    assert body_of(got) == b"".join([*map(chunk, EVENTS), END])
    assert (attempt.faults, attempt.failure, asked) == ((), "", 1)


def test_a_delay_comes_before_the_request_and_another_before_the_reply():
    """Both are there, and both are in what is measured."""
    got, took, attempt, _ = struck(Injection(("slow",), delay_s=0.15, first_byte_s=0.1))
    assert 0.25 <= took < 0.6
    assert attempt.faults == ("slow",)
    assert b"x-agentlocust-fault: slow\r\n" in got


@pytest.mark.parametrize("breakage", [Breakage.RESET, Breakage.REFUSED, Breakage.DNS])
def test_a_broken_connection_is_reset_and_the_upstream_not_asked(breakage):
    """The client gets no reply."""
    with ScriptedServer(STREAM) as server, ProxyHere(server.url, Always(Injection(("x",), breakage=breakage))) as proxy:
        with connect(proxy.url) as connection:
            connection.sendall(ASKING)
            with pytest.raises(ConnectionResetError):
                connection.recv(100)
        assert server.connections == 0
    assert (proxy.attempts[0].failure, proxy.attempts[0].faults) == ("reset", ("x",))


def test_a_black_hole_says_nothing_until_the_client_gives_up():
    """Not a byte, and the record says who was struck by what."""
    hole = Always(Injection(("hole",), breakage=Breakage.BLACK_HOLE))
    with ScriptedServer(STREAM) as server, ProxyHere(server.url, hole) as proxy:
        with connect(proxy.url) as connection:
            connection.sendall(ASKING)
            assert read_all(connection, 0.4) == b""
        assert server.connections == 0
    assert proxy.attempts
    assert (proxy.attempts[0].failure, proxy.attempts[0].faults) == ("timeout", ("hole",))


def test_a_made_reply_is_given_without_the_upstream():
    """Its status, headers and body, framed by us and marked."""
    body = b'{"error":{"message":"slow down","code":"rate_limit_exceeded"}}'
    made = MadeReply(429, ((b"Retry-After", b"7"), (b"content-type", b"application/json")), (Piece(body),))
    got, _, attempt, asked = struck(Injection(("rate_limit",), reply=made))
    assert got.startswith(b"HTTP/1.1 429 ")
    assert b"Retry-After: 7\r\n" in got
    assert body_of(got) == body
    assert (asked, attempt.status, attempt.failure) == (0, 429, "rate_limited")


def test_a_lost_reply_was_acted_upon():
    """The upstream had the request; the client gets a reset before a byte."""
    with ScriptedServer(STREAM) as server, ProxyHere(server.url, Always(Injection(("l",), lose_reply=True))) as proxy:
        with connect(proxy.url) as connection:
            connection.sendall(ASKING)
            with pytest.raises(ConnectionResetError):
                connection.recv(100)
        assert len(server.requests) == 1
    assert proxy.attempts[0].failure == "reset"


def test_a_request_can_be_changed():
    """The upstream gets the other body with its length."""
    with ScriptedServer(STREAM) as server:
        with ProxyHere(server.url, Always(Injection(("r",), request=lambda body: body[:10] + b"!"))) as proxy:
            exchange(proxy.url, ASKING)
        assert server.requests[0].endswith(b"Content-Length: 11\r\nConnection: close\r\n\r\n" + ASK[:10] + b"!")


def test_a_rewriter_changes_the_body():
    """A reply of a known length, too: it goes on in chunks."""
    loud = Injection(("loud",), rewriter=lambda: Each(lambda data, _: [Piece(data.upper())], [Piece(b"!")]))
    got, _, _, _ = struck(loud, [READ, reply(b'{"a":"b"}')])
    assert content(got) == b'{"A":"B"}!'


@pytest.mark.parametrize(("end", "whole"), [(End.CUT, False), (End.CLEAN, True)])
def test_a_stream_ends_before_its_time(end, whole):
    """After two pieces exactly; clean as a whole reply ends, cut without its last chunk; metered as truncated."""

    def make() -> Each:
        each = Each(lambda data, _: [Piece(data)])
        each.ends_after = (2, end)
        return each

    script = [READ, STREAM_HEAD, *[step for event in EVENTS for step in (chunk(event), 0.02)], END]
    got, _, attempt, _ = struck(Injection(("cut",), rewriter=make), script)
    assert body_of(got) == chunk(EVENTS[0]) + chunk(EVENTS[1]) + (END if whole else b"")
    assert attempt.failure == "truncated_stream"
    assert len(attempt.token_ns) == 2


def test_pieces_come_as_late_as_they_are_to():
    """Each waits its own time after the one before."""
    drip = Injection(("drip",), rewriter=lambda: Each(lambda data, _: [Piece(data, 0.05)]))
    script = [READ, STREAM_HEAD, *[step for event in EVENTS for step in (chunk(event), 0.01)], END]
    got, took, attempt, _ = struck(drip, script)
    assert content(got) == b"".join(EVENTS)
    assert 0.24 <= took < 0.7
    assert attempt.failure == ""


def test_bandwidth_is_limited():
    """Twenty thousand bytes at a hundred thousand a second take a fifth of one."""
    got, took, _, _ = struck(Injection(("thin",), bytes_per_s=100_000), [READ, reply(b"x" * 20_000)])
    assert body_of(got) == b"x" * 20_000
    assert 0.19 <= took < 0.6


def test_who_gives_up_is_reset_when_its_time_is_over():
    """`limit_s` after it was issued, whatever the upstream does."""
    with ScriptedServer([READ, 3.0]) as server, ProxyHere(server.url, Always(Injection(("t",), limit_s=0.1))) as proxy:
        began = time.monotonic()
        with connect(proxy.url) as connection:
            connection.sendall(ASKING)
            with pytest.raises(ConnectionResetError):
                connection.recv(100)
        assert time.monotonic() - began < 1.0
    assert proxy.attempts[0].failure == "timeout"


def test_the_injector_is_told_whose_request_it_is():
    """By headers of ours, which go no further; else by counting within the run."""
    injector = Always(None)
    with ScriptedServer(STREAM, STREAM, STREAM) as server, ProxyHere(server.url, injector) as proxy:
        about = "x-agentlocust-about: at=7.250&phase=spike&name=re+fund&model=other"
        exchange(proxy.url, request("POST", CHAT, ASK, "Connection: close", "x-agentlocust-who: 3.1.4.2", about))
        for _ in range(2):
            exchange(proxy.url, request("POST", CHAT, ASK, "Connection: close", "x-agentlocust-run: " + "ab" * 16))
        assert b"x-agentlocust" not in b"".join(server.requests)
    first, second, third = injector.asked
    assert (second.user, second.run) == (0xABABAB, 0xABABAB)
    assert (first.user, first.run, first.call, first.attempt) == (3, 1, 4, 2)
    assert (first.at_s, first.phase, first.name) == (7.25, "spike", "re fund")
    assert (first.model, first.dialect, first.streamed, first.path) == ("other", "openai-chat", True, CHAT)
    assert (second.user, second.call, third.call) == (third.user, 0, 1)


def test_what_found_nothing_to_change_has_not_struck():
    """A cut after more tokens than there are is not on the record."""
    injector = PlanInjector(FaultPlan.parse("cut(after=50), latency(delay=1ms)"), 1)
    with ScriptedServer(STREAM) as server, ProxyHere(server.url, injector) as proxy:
        exchange(proxy.url, ASKING)
    assert proxy.attempts[0].faults == ("latency",)
