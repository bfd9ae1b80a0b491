"""How a reply reaches the client: at once, or late, slow and changed, as an Injection says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from agentlocust.backoff import retry_after
from agentlocust.failures import FailureKind
from agentlocust.faults.injection import HEADER, Breakage, End, Injection, MadeReply, Piece, Rewriter
from agentlocust.proxy.heads import Head, Pair
from agentlocust.proxy.passage import Passage

if TYPE_CHECKING:
    from agentlocust.proxy.client import Client

_LAST = b"0\r\n\r\n"


class Over(Protocol):
    """Hears that all has been written."""

    def __call__(self, passage: Passage, *, whole: bool) -> None:
        """All has been written; `whole`: as HTTP says a reply ends."""


class Direct:
    """Bytes go on as they come: nobody stands in between."""

    def stop(self) -> None:
        """Nothing is under way."""


Step = tuple[str, bytes, float]  # what to do: write, end, cut, reset; bytes; seconds to wait before it


class Spout:
    """Writes one reply in a task of its own, each part when it is due."""

    def __init__(self, client: Client, passage: Passage, injection: Injection, over: Over) -> None:
        self._client = client
        self._passage = passage
        self._injection = injection
        self._over = over
        self._rewriter: Rewriter | None = injection.rewriter() if injection.rewriter is not None else None
        passage.rewriter = self._rewriter
        self._first = injection.first_byte_s
        self._chunked = False
        self._steps: asyncio.Queue[Step] = asyncio.Queue()
        self._ended = False
        self._copy = passage.elsewhere = self._rewriter is not None  # what the client gets is what its call came to
        self._task = asyncio.get_running_loop().create_task(self._run())

    def made(self, reply: MadeReply, named: Pair) -> None:
        """Send a reply that no server gave."""
        passage = self._passage
        keep = (b"content-length", b"transfer-encoding", b"connection")
        headers = [pair for pair in reply.headers if pair[0].lower() not in keep]
        size = sum(len(piece.data) for piece in reply.pieces)
        head = Head(b"HTTP/1.1", [*headers, named, (b"Content-Length", b"%d" % size)], status=reply.status)
        head.reason = b"Injected"
        passage.reply = head
        self._copy = passage.elsewhere = True
        self._wait_and("write", head.encode(), self._first)
        for piece in reply.pieces:
            self._write(piece)
        self._finish("end")

    def head(self, head: Head) -> None:
        """The server's head."""
        if self._injection.lose_reply:
            self._finish("reset")
            return
        head.set(HEADER, ",".join(self._injection.faults).encode())
        if self._rewriter is not None:
            head.drop(b"content-length", b"transfer-encoding")
            self._chunked = self._passage.head.version == b"HTTP/1.1" and self._passage.head.method != b"HEAD"
            if self._chunked:
                head.headers.append((b"Transfer-Encoding", b"chunked"))
        self._wait_and("write", head.encode(), self._first)

    def data(self, raw: bytes, content: bytes) -> None:
        """Some of its body."""
        if self._ended or not raw:
            return
        if self._rewriter is None:
            self._wait_and("write", raw, 0.0)
            return
        if content:
            for piece in self._rewriter.feed(content):
                self._write(piece)
            self._look_for_end(self._rewriter)

    def end(self) -> None:
        """Its body is whole."""
        if self._ended:
            return
        if self._rewriter is not None:
            for piece in self._rewriter.finish():
                self._write(piece)
            self._look_for_end(self._rewriter)
            if not self._ended:
                self._finish("end", _LAST if self._chunked else b"")
            return
        self._finish("end")

    def broke(self) -> None:
        """The server broke it off."""
        if not self._ended:
            self._finish("cut")

    def stop(self) -> None:
        """Nobody reads it any more."""
        if self._task is not asyncio.current_task():
            self._task.cancel()

    def _look_for_end(self, rewriter: Rewriter) -> None:
        if rewriter.end is End.CUT:
            self._finish("cut")
        elif rewriter.end is End.CLEAN:
            self._finish("end", _LAST if self._chunked else b"")

    def _write(self, piece: Piece) -> None:
        data = piece.data
        if not data:
            return
        raw = b"%x\r\n%s\r\n" % (len(data), data) if self._chunked else data
        self._wait_and("write", raw, piece.after_s)
        if self._copy:
            self._steps.put_nowait(("copy", data, 0.0))

    def _finish(self, how: str, data: bytes = b"") -> None:
        self._ended = True
        if data:
            self._wait_and("write", data, 0.0)
        self._wait_and(how, b"", 0.0)

    def _wait_and(self, what: str, data: bytes, after_s: float) -> None:
        self._steps.put_nowait((what, data, after_s))

    async def _run(self) -> None:
        client, passage = self._client, self._passage
        endings: dict[str, Callable[[], None]] = {"cut": client.close, "reset": client.reset}
        while True:
            what, data, after_s = await self._steps.get()
            if after_s:
                await asyncio.sleep(after_s)
            if what == "write":
                await self._pour(data)
            elif what == "copy":
                passage.answered(time.monotonic_ns(), data)
            elif what == "end":
                self._over(passage, whole=True)
                return
            else:
                kind = FailureKind.TRUNCATED_STREAM if what == "cut" else FailureKind.RESET
                passage.problem = passage.problem or (kind, f"the reply was {what}")
                endings[what]()
                return

    async def _pour(self, data: bytes) -> None:
        """Write, no faster than the Injection lets."""
        rate = self._injection.bytes_per_s
        transport = self._client.transport
        if not rate:
            transport.write(data)
            return
        step = max(int(rate / 20), 1)
        for at in range(0, len(data), step):
            part = data[at : at + step]
            transport.write(part)
            await asyncio.sleep(len(part) / rate)


async def strike(client: Client, passage: Passage, injection: Injection, over: Over) -> Spout | None:
    """Carry out what goes wrong before a request is sent. Gives the way of its reply, None when there is none.

    With a made reply (`passage.own`) that is all there is to do.
    """
    if injection.delay_s:
        await asyncio.sleep(injection.delay_s)
    if injection.breakage is Breakage.BLACK_HOLE:
        passage.problem = (FailureKind.TIMEOUT, "nothing answers")
        await asyncio.get_running_loop().create_future()
    if injection.breakage is not None:  # whoever has connected can only be reset
        passage.problem = (FailureKind.RESET, f"the connection was {injection.breakage.value}")
        client.reset()
        return None
    spout = Spout(client, passage, injection, over)
    if injection.reply is not None:
        passage.own = injection.reply.status
        told = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in injection.reply.headers}
        passage.own_retry_after_s = retry_after(lambda name: told.get(name, ""))
        spout.made(injection.reply, (HEADER, ",".join(injection.faults).encode()))
        return spout
    if injection.request is not None:
        body = injection.request(passage.asked)
        passage.head.drop(b"transfer-encoding")
        passage.head.set(b"Content-Length", b"%d" % len(body))
        passage.pending = [body]
    if injection.rewriter is not None:
        passage.head.set(b"Accept-Encoding", b"identity")
    return spout
