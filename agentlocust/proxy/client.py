"""A client's connection: its requests are passed on one after the other, their replies as they come."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from typing import TYPE_CHECKING, cast

from agentlocust.failures import FailureKind
from agentlocust.faults.injection import Injection
from agentlocust.proxy.framing import body_of_request, is_framed
from agentlocust.proxy.heads import MAX_HEAD, Head, NotHttp, read_request
from agentlocust.proxy.intake import Intake
from agentlocust.proxy.link import Link
from agentlocust.proxy.own import bad_request, own_reply
from agentlocust.proxy.passage import Passage, passage_of
from agentlocust.proxy.spout import Direct, Spout, strike

if TYPE_CHECKING:
    from agentlocust.proxy.gateway import Gateway

MAX_HELD = 64 * 1024 * 1024  # bytes of a request that somebody must see whole before it goes on
_HIGH = 256 * 1024  # bytes that wait for a connection before the client is asked to wait
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_KIND_STATUS = {FailureKind.TIMEOUT: (504, b"Gateway Timeout")}
_BAD_GATEWAY = (502, b"Bad Gateway")


class Client(asyncio.Protocol):
    """One connection, at most one passage at a time; what is pipelined waits."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._passage: Passage | None = None
        self._link: Link | None = None
        self._sending = False  # the link has the request's head
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._way: Direct | Spout = Direct()
        self.transport: asyncio.Transport
        self._intake: Intake

    # -- the client ----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client came."""
        self.transport = cast("asyncio.Transport", transport)
        self._intake = Intake(self.transport)
        self._gateway.clients.add(self)

    def data_received(self, data: bytes) -> None:
        """Bytes of a request."""
        passage = self._passage
        try:
            if passage is None:
                self._buffer = self._buffer + data if self._buffer else data
                self._next()
            elif passage.body.done:
                self._buffer += data  # pipelined
                if len(self._buffer) > _HIGH:
                    self._intake.hold("pipelined")
            else:
                self._take(passage, data)
        except NotHttp as error:
            self._refuse_bytes(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: what it asked for is given up."""
        self._gateway.clients.discard(self)
        passage, self._passage = self._passage, None
        self._forget_link()
        self._stop_waiting()
        if passage is not None:
            passage.left = not passage.complete and passage.problem is None
            self._end(passage)

    def pause_writing(self) -> None:
        """The client takes no more for now: neither does the upstream's connection."""
        link = self._link
        if link is not None and link.transport is not None:
            link.transport.pause_reading()

    def resume_writing(self) -> None:
        """It takes more."""
        link = self._link
        if link is not None and link.transport is not None:
            link.transport.resume_reading()

    def hold_reading(self) -> None:
        """The upstream takes no more of the request for now."""
        self._intake.hold("upstream")

    def go_on_reading(self) -> None:
        """It takes more."""
        self._intake.release("upstream")

    def close(self) -> None:
        """End the connection once what was written is gone."""
        self.transport.close()

    def cancel(self) -> None:
        """The proxy ends: so does what is under way."""
        if self._passage is not None:
            self._passage.problem = (FailureKind.CANCELLED, "the test ended")
        self.transport.abort()

    def reset(self) -> None:
        """End the connection with an RST."""
        raw = self.transport.get_extra_info("socket")
        if raw is not None:
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    # -- requests ------------------------------------------------------------------------------

    def _next(self) -> None:
        """Begin the next request that is in the buffer. Raises NotHttp."""
        while self._passage is None and self._buffer and not self.transport.is_closing():
            data = self._buffer.lstrip(b"\r\n") if self._buffer[:1] in b"\r\n" else self._buffer
            end = data.find(b"\r\n\r\n")
            if end < 0:
                if len(data) > MAX_HEAD:
                    raise NotHttp(f"a head of more than {MAX_HEAD} bytes")
                self._buffer = data
                return
            head = read_request(data[: end + 4])
            self._buffer = b""
            self._begin(head, data[end + 4 :])

    def _begin(self, head: Head, rest: bytes) -> None:
        body = body_of_request(head)
        gateway = self._gateway
        own = gateway.own_reply(head)
        if own is not None:
            self.transport.write(own)
            if not body.done:
                self.close()
            self._buffer = rest
            return
        route = gateway.route(head)
        passage = passage_of(head, body, route.tool, route.path, time.monotonic_ns(), copies=gateway.copies_all)
        self._passage, self._sending = passage, False
        if b"websocket" in head.get(b"upgrade").lower():
            what = "no WebSocket passes here: ask over plain HTTP, or past the proxy"
            self._answer(passage, 501, b"Not Implemented", "websocket", what)
            self.close()
            return
        if rest or body.done:
            self._take(passage, rest)
        if self._passage is not passage:
            return
        link = self._link
        if link is not None and link.usable and link.origin == route.target.origin and not gateway.holds(passage):
            self._send(passage, link, passage.head)
            return
        self._task = self._loop.create_task(self._serve(passage))

    def _take(self, passage: Passage, data: bytes) -> None:
        """Some of the request's body came. Raises NotHttp."""
        raw = data
        if not passage.body.done:
            content, used = passage.body.feed(data)
            passage.ask(content)
            if used < len(data):
                raw, self._buffer = data[:used], data[used:]
        elif data:
            raw, self._buffer = b"", data
        if passage.body.done:
            passage.asked_ns = time.monotonic_ns()
            passage.whole.set()
        if not raw:
            return
        if self._sending and self._link is not None:
            self._link.write(raw)
            return
        passage.pending.append(raw)
        passage.pending_size += len(raw)
        if self._gateway.holds(passage):
            if passage.pending_size > MAX_HELD:
                self._answer(passage, 413, b"Content Too Large", "too_large", "the request is too large to be held")
        elif passage.pending_size > _HIGH:
            self._intake.hold("connecting")

    async def _serve(self, passage: Passage) -> None:
        """See to what a request needs before it goes on, and send it."""
        gateway = self._gateway
        head, injection = passage.head, None
        if gateway.holds(passage):
            if head.get(b"expect").lower() == b"100-continue":
                self.transport.write(_CONTINUE)
            head.drop(b"expect")
            await passage.whole.wait()
            injection = gateway.decide(passage)
            if injection is not None and not await self._strike(passage, injection):
                return
            if gateway.guard is not None and gateway.guards(passage):
                refused = await gateway.guard.admit(passage)
                if refused:
                    self._refuse_money(passage, refused)
                    return
        link = await self._connect(passage)
        if link is not None and self._passage is passage:
            self._send(passage, link, head)

    async def _strike(self, passage: Passage, injection: Injection) -> bool:
        """Carry out what goes wrong before the request is sent; False when that was all."""
        passage.faults, passage.injection = injection.faults, injection
        if injection.limit_s is not None:
            self._loop.call_later(injection.limit_s, self._give_up, passage)
        way = await strike(self, passage, injection, self.reply_over)
        if way is not None:
            self._way = way
        return way is not None and not passage.own

    def _give_up(self, passage: Passage) -> None:
        if self._passage is passage:
            passage.problem = (FailureKind.TIMEOUT, "its time was over")
            self.reset()

    async def _connect(self, passage: Passage) -> Link | None:
        """The connection the request goes out on; None, and the client is told, when there is none."""
        route = self._gateway.route(passage.head)
        origin = route.target.origin
        link = self._link
        if link is not None and link.usable and link.origin == origin:
            return link
        self._forget_link()
        made_link, problem = await self._gateway.connect(self, origin)
        if self._passage is not passage:
            if made_link is not None:
                made_link.abort()
            return None
        if made_link is None:
            assert problem is not None
            self._fail(passage, *problem)
            return None
        self._link = made_link
        return made_link

    def _send(self, passage: Passage, link: Link, head: Head) -> None:
        route = self._gateway.route(head)
        onward = Head(head.version, list(head.headers), method=head.method, target=route.path.encode("latin-1"))
        onward.onward()
        onward.set(b"Host", route.target.origin.host_header.encode())
        if passage.dialect is not None:
            self._gateway.limit_encodings(onward)
        pending, passage.pending = passage.pending, []
        self._sending = True
        link.begin(passage, b"".join((onward.encode(), *pending)))
        self._intake.release("connecting")
        self._timer = self._loop.call_later(self._gateway.timeout_s, self._timed_out, passage)

    def _timed_out(self, passage: Passage) -> None:
        if self._passage is passage and passage.reply is None:
            self._forget_link()
            seconds = self._gateway.timeout_s
            self._fail(passage, FailureKind.TIMEOUT, f"no reply from the upstream within {seconds:g} s")

    # -- replies -------------------------------------------------------------------------------

    def interim(self, raw: bytes) -> None:
        """An informational reply."""
        if self._passage is not None and self._passage.head.version != b"HTTP/1.0":
            self.transport.write(raw)

    def reply_began(self, passage: Passage, head: Head, raw: bytes, content: bytes) -> None:
        """The final reply's head came, and perhaps some of its body."""
        self._stop_timer()
        onward = Head(head.version, list(head.headers), status=head.status, reason=head.reason)
        onward.onward()
        if isinstance(self._way, Spout):
            self._way.head(onward)
            self._way.data(raw, content)
        else:
            self.transport.write(onward.encode() + raw)

    def reply_goes_on(self, passage: Passage, raw: bytes, content: bytes) -> None:
        """More of its body came."""
        if isinstance(self._way, Spout):
            self._way.data(raw, content)
        else:
            self.transport.write(raw)

    def reply_ended(self, passage: Passage) -> None:
        """It is whole."""
        if isinstance(self._way, Spout):
            self._way.end()
        else:
            self.reply_over(passage, whole=True)

    def reply_over(self, passage: Passage, *, whole: bool) -> None:
        """All that goes to the client has been written; `whole`: as HTTP says a reply ends."""
        if self._passage is not passage:
            return
        passage.complete = whole
        self._passage = None
        self._stop_waiting()
        reply, link = passage.reply, self._link
        asked_all = passage.body.done
        self._end(passage)
        goes_on = whole and asked_all and passage.head.keeps_alive
        if link is not None:
            if goes_on and reply is not None and reply.keeps_alive and link.usable and self._sending:
                link.rest()
            else:
                self._forget_link()
        if not goes_on or (reply is not None and not reply.keeps_alive) or not is_framed(reply, passage.head.method):
            self.close()
            return
        self._intake.release("pipelined")
        if self._buffer:
            try:
                self._next()
            except NotHttp as error:
                self._refuse_bytes(error)

    def reply_broke(self, passage: Passage, kind: FailureKind, what: str) -> None:
        """The upstream's connection broke under it."""
        if passage.reply is None:
            self._fail(passage, kind, what)
            return
        passage.problem = (kind, what)
        if kind is FailureKind.RESET:
            self.reset()
        elif isinstance(self._way, Spout):
            self._way.broke()
        else:
            self.close()

    def link_lost(self, link: Link) -> None:
        """An idle connection to the upstream was closed: so is the client's, which learns it in the same way."""
        if link is self._link:
            self._link = None
            if self._passage is None:
                self.close()

    # -- our own -------------------------------------------------------------------------------

    def _fail(self, passage: Passage, kind: FailureKind, what: str) -> None:
        """The upstream did not answer: say so."""
        passage.problem = (kind, what)
        status, reason = _KIND_STATUS.get(kind, _BAD_GATEWAY)
        self._answer(passage, status, reason, str(kind), what)

    def _refuse_money(self, passage: Passage, why: str) -> None:
        passage.problem = (FailureKind.BUDGET, why)
        self._answer(passage, 402, b"Payment Required", "budget", why)

    def _answer(self, passage: Passage, status: int, reason: bytes, word: str, what: str) -> None:
        """Reply without the upstream."""
        passage.own = status
        self.transport.write(own_reply(passage, status, reason, word, what))
        self._sending = False
        self.reply_over(passage, whole=True)

    def _refuse_bytes(self, error: NotHttp) -> None:
        """What the client sent is no HTTP: nothing after it can be understood."""
        passage, self._passage = self._passage, None
        self._forget_link()
        self._stop_waiting()
        if passage is None or passage.reply is None:
            self.transport.write(bad_request(str(error)))
        if passage is not None:
            passage.problem = (FailureKind.BAD_REQUEST, str(error))
            self._end(passage)
        self.close()

    # -- the end of a passage ------------------------------------------------------------------

    def _end(self, passage: Passage) -> None:
        passage.end(time.monotonic_ns())
        self._gateway.ended(passage)

    def _forget_link(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.abort()

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _stop_waiting(self) -> None:
        self._stop_timer()
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()
        way, self._way = self._way, Direct()
        way.stop()
