"""What carries faults and what decides on them, and nothing else that the two need to know of each other.

A carrier (our transport, the mock, the proxy) tells an `Injector` what it is about to send; it gets
an `Injection`, what is to go wrong with that request, or None, and does as it says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

HEADER = b"x-agentlocust-fault"
"""Names the faults of a reply, comma-separated, when the mock or the proxy put them there."""

WHO = b"x-agentlocust-who"
"""Whose request it is, `user.run.call.attempt` in decimal: the mock and the proxy decide by it as we would."""

ABOUT = b"x-agentlocust-about"
"""What else a plan asks of it, as a query string: `at` (seconds since the test began), `phase`, `name`, `model`."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One attempt, as far as a plan asks about it.

    `at_s` are seconds since the test began. `user`, `run` and `call` count from 0: the user over the
    whole test, the run within its user, the call within its run; `attempt` within its call.
    `dialect` is that of `agentlocust.dialects`; of an agent or a tool whose protocol is no model's it is how the
    reply is cut into messages: `json` (not at all), `sse`, `ndjson`, `websocket`; "" for any other HTTP.
    """

    at_s: float
    phase: str = ""
    name: str = ""
    model: str = ""
    method: str = "POST"
    path: str = ""
    dialect: str = ""
    streamed: bool = True
    user: int = 0
    run: int = 0
    call: int = 0
    attempt: int = 0


class Breakage(StrEnum):
    """Ways to fail a connection."""

    REFUSED = "refused"  # nobody listens
    DNS = "dns"  # the name does not resolve
    BLACK_HOLE = "black_hole"  # bytes go in and nothing comes out, until whoever waits gives up
    RESET = "reset"  # RST


class End(StrEnum):
    """Ways to end a reply before its time."""

    CUT = "cut"  # the connection breaks
    CLEAN = "clean"  # as a whole reply ends, though it is not


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a reply's body, to be sent `after_s` seconds later than they could have been."""

    data: bytes
    after_s: float = 0.0


class Rewriter(Protocol):
    """Changes one reply's body as it passes. `end` is set once nothing more is to be taken from the server."""

    end: End | None

    def feed(self, data: bytes) -> list[Piece]:
        """The server sent `data`; what goes on."""

    def finish(self) -> list[Piece]:
        """The server's body ended; what goes on last."""


@dataclass(frozen=True, slots=True)
class MadeReply:
    """A reply that no server gave. A streamed body is sent as its `pieces` say."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Injection:
    """What goes wrong with one attempt; carried out in the order of the fields.

    `faults` are the names of those that struck. `delay_s` passes first. With `breakage` or `reply` the
    server is not asked. `request` changes the request's body. `lose_reply`: the server gets the
    request and acts, and the connection is reset before a byte of its reply goes on.
    `first_byte_s` is added before the reply's first byte; `bytes_per_s` limits the reply, 0 does not.
    `rewriter` makes what changes the body; it is made once a reply. `limit_s`: whoever carries it gives up
    as if the caller's time was over, this long after it was issued.
    """

    faults: tuple[str, ...]
    delay_s: float = 0.0
    breakage: Breakage | None = None
    reply: MadeReply | None = None
    request: Callable[[bytes], bytes] | None = None
    lose_reply: bool = False
    first_byte_s: float = 0.0
    bytes_per_s: float = 0.0
    rewriter: Callable[[], Rewriter] | None = None
    limit_s: float | None = None


class Injector(Protocol):
    """Decides what goes wrong. Decisions are a function of (seed, user, run, call, attempt), windows aside."""

    def decide(self, asked: Asked, body: bytes) -> Injection | None:
        """What goes wrong with this attempt, or None. Never waits."""
