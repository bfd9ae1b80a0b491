"""One request and its reply on their way through, and the copy that is read once they are over."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from agentlocust.budget import Reserved
from agentlocust.dialects import for_path
from agentlocust.dialects.base import Dialect
from agentlocust.faults.chain import struck_by
from agentlocust.faults.injection import ABOUT, WHO, Injection, Rewriter
from agentlocust.proxy.framing import Body
from agentlocust.proxy.heads import Head
from agentlocust.proxy.runs import METERED, RUN, cause_of

MAX_COPY = 16 * 1024 * 1024  # bytes of a reply, or a request, that are kept to be read
_STAINLESS = b"x-stainless-retry-count"  # both official SDKs number their attempts in it

OWN = b"x-agentlocust-proxy"
"""On every reply that the proxy made itself: why."""


@dataclass(slots=True)
class Passage:
    """Times are monotonic nanoseconds: the request's first byte and last, the reply's first.

    `chunks` is the reply's content as it came, stamped; `pending` what of the request could not go on yet.
    `problem` is a failure kind and a sentence when the reply was not whole, `own` the status of a reply that
    was made here. `told` is what a client of ours tells of its request. `faults` are the names of those that
    were chosen, once it is over of those that struck; `elsewhere`: the client gets another body than came.
    """

    head: Head
    tool: str  # of a mounted tool API, "" for the models'
    path: str  # as it is asked of the upstream
    body: Body
    started_ns: int
    dialect: Dialect | None = None
    run: str = ""
    by: str = ""
    run_name: str = ""
    told: dict[str, str] = field(default_factory=dict)  # of whose it is, for faults
    metered: bool = False  # by the test's own user who asks
    number: int = -1  # of the attempt, by its SDK; -1 when it does not say
    copies: bool = True
    asked_ns: int = 0
    request: list[bytes] = field(default_factory=list)
    request_size: int = 0
    pending: list[bytes] = field(default_factory=list)
    pending_size: int = 0
    whole: asyncio.Event = field(default_factory=asyncio.Event)
    reply: Head | None = None
    first_byte_ns: int = 0
    chunks: list[tuple[int, bytes]] = field(default_factory=list)
    reply_size: int = 0
    ended_ns: int = 0
    complete: bool = False
    problem: tuple[str, str] | None = None
    left: bool = False  # the client went away
    own: int = 0
    own_retry_after_s: float | None = None
    faults: tuple[str, ...] = ()
    injection: Injection | None = None
    rewriter: Rewriter | None = None  # of its reply
    elsewhere: bool = False
    reservation: Reserved | None = None

    def ask(self, content: bytes) -> None:
        """Some of the request's body came."""
        self.request_size += len(content)
        if self.copies and content and self.request_size <= MAX_COPY:
            self.request.append(content)

    def answer(self, now_ns: int, content: bytes) -> None:
        """Some of the upstream's reply came."""
        if not self.elsewhere:
            self.answered(now_ns, content)

    def answered(self, now_ns: int, content: bytes) -> None:
        """Some of the reply that the client gets."""
        self.reply_size += len(content)
        if self.copies and self.reply_size <= MAX_COPY:
            self.chunks.append((now_ns, content))

    @property
    def asked(self) -> bytes:
        """The request's content; b"" when it was too large to keep."""
        if self.request_size > MAX_COPY:
            return b""
        if len(self.request) > 1:
            self.request = [b"".join(self.request)]
        return self.request[0] if self.request else b""

    def end(self, now_ns: int) -> None:
        """It is over."""
        self.ended_ns = now_ns
        if self.injection is not None:  # a rewriter that found nothing to change has not struck
            self.faults = struck_by(self.injection, self.rewriter)

    @property
    def readable(self) -> bool:
        """True when the copy of the reply is whole."""
        return self.copies and self.reply_size <= MAX_COPY


def passage_of(head: Head, body: Body, tool: str, path: str, started_ns: int, *, copies: bool) -> Passage:
    """The passage of a request whose head has come. What is ours alone is taken out of the head."""
    dialect = for_path(path) if head.method == b"POST" and not tool else None
    run, by, name = cause_of(head)
    told = {name.decode(): head.text(name) for name in (WHO, ABOUT) if head.get(name)}
    number = head.get(_STAINLESS)
    metered = bool(head.get(METERED.encode()))
    head.drop(RUN.encode(), METERED.encode(), WHO, ABOUT)
    return Passage(
        head,
        tool,
        path,
        body,
        started_ns,
        dialect=dialect,
        run=run,
        by=by,
        run_name=name,
        told=told,
        metered=metered,
        number=int(number) if number.isdigit() and len(number) < 4 else -1,
        copies=copies or dialect is not None,
        asked_ns=started_ns if body.done else 0,
    )
