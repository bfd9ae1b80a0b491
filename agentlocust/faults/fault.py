"""What every fault is: a name, what it asks, its keys, and what it does to one attempt that it strikes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agentlocust.failures import FailureKind
from agentlocust.faults.chain import Chain, Link
from agentlocust.faults.injection import Asked, Breakage, Injection, MadeReply
from agentlocust.faults.keys import Key

GENERATING = frozenset({"openai-chat", "openai-responses", "anthropic"})
"""The dialects whose replies hold generated tokens: faults of content are for these."""

FRAMED = frozenset({"sse", "ndjson"})
"""HTTP streams of other protocols, by how they are cut into events: each event counts as a token."""


class Group(StrEnum):
    """Where a fault comes from."""

    NETWORK = "network"
    PROVIDER = "provider"
    STREAM = "stream"
    CONTENT = "content"
    LOCAL = "local"


@dataclass(slots=True)
class Draft:
    """An Injection that rules are still adding to. Of several breakages or replies the first stands."""

    faults: list[str] = field(default_factory=list)
    delay_s: float = 0.0
    breakage: Breakage | None = None
    reply: MadeReply | None = None
    requests: list[Callable[[bytes], bytes]] = field(default_factory=list)
    lose_reply: bool = False
    first_byte_s: float = 0.0
    bytes_per_s: float = 0.0
    links: list[Link] = field(default_factory=list)
    limit_s: float | None = None

    @property
    def answered(self) -> bool:
        """True when the server will not be asked: what would change its reply has nothing to change."""
        return self.breakage is not None or self.reply is not None

    def injection(self) -> Injection | None:
        """What came of it, None when nothing did."""
        if not self.faults:
            return None
        requests, links = tuple(self.requests), tuple(self.links)

        def changed(body: bytes) -> bytes:
            for change in requests:
                body = change(body)
            return body

        return Injection(
            faults=tuple(self.faults),
            delay_s=self.delay_s,
            breakage=self.breakage,
            reply=self.reply,
            request=changed if requests else None,
            lose_reply=self.lose_reply,
            first_byte_s=self.first_byte_s,
            bytes_per_s=self.bytes_per_s,
            rewriter=(lambda: Chain(links)) if links else None,
            limit_s=self.limit_s,
        )


@dataclass(frozen=True, slots=True)
class Hit:
    """One attempt that a rule has chosen. `chance(what)` draws from 0 up to 1; `state` is what `Fault.state` made."""

    values: Mapping[str, Any]
    asked: Asked
    body: bytes
    chance: Callable[[str], float]
    state: Any = None

    def request(self) -> dict[str, Any]:
        """The request's JSON object; empty when it is none."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


def _always(asked: Asked) -> bool:
    return True


def generates(asked: Asked) -> bool:
    """True for a call whose reply holds generated tokens."""
    return asked.dialect in GENERATING


def streams(asked: Asked) -> bool:
    """True for such a call whose reply is streamed."""
    return asked.streamed and asked.dialect in GENERATING


def framed(asked: Asked) -> bool:
    """True for any request whose reply is a body of events that come one by one."""
    return streams(asked) or asked.dialect in FRAMED


def flows(asked: Asked) -> bool:
    """True for any request whose reply is events that come one by one, as messages of a WebSocket do too."""
    return framed(asked) or asked.dialect == "websocket"


def begins(asked: Asked) -> bool:
    """True for any request that a model, an agent or a tool answers."""
    return generates(asked) or flows(asked) or asked.dialect == "json"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `strike` adds what it does to the draft and returns whether there was anything to do.

    `fails_as` are the kinds of failure that it can cause: another kind of failure of a call that it struck
    is the target's own. `state` makes what a rule keeps from call to call, for one of `parts` processes that share it.
    """

    name: str
    asks: str
    group: Group
    keys: tuple[Key, ...]
    strike: Callable[[Hit, Draft], bool]
    applies: Callable[[Asked], bool] = _always
    fails_as: frozenset[FailureKind] = frozenset()
    state: Callable[[Mapping[str, Any], int], Any] | None = None
