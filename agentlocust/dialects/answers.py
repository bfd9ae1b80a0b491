"""What a server has to say, in no provider's words: the writers beside this turn it into bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from json.encoder import encode_basestring

from agentlocust.usage import Usage

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """One tool the model asks for: its arguments as JSON text, in the pieces they are streamed in."""

    id: str
    name: str
    pieces: tuple[str, ...]

    @property
    def arguments(self) -> str:
        """The whole of the arguments' JSON text."""
        return "".join(self.pieces)


@dataclass(frozen=True, slots=True)
class Answer:
    """One reply, in the pieces it is streamed in: reasoning, then text, then tool calls.

    `id` is letters and digits, each writer adds its API's prefix; `created` is in epoch seconds.
    `finish` is `stop`, `length`, `tools` or `filter`. `usage` is None when the server does not tell it.
    """

    id: str
    model: str
    created: int
    usage: Usage | None
    finish: str = "stop"
    reasoning: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    calls: tuple[FunctionCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """An error reply. `kind` is a `failures.FailureKind` value; `message` "" takes the provider's own."""

    status: int
    kind: str
    message: str = ""
    param: str | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Frames:
    """A streamed answer as bytes: what comes before the first token, one item a piece, what follows.

    The items of `pieces` are in the order reasoning, text, tool calls; they are made as they are
    drawn. `closing` is called when all are drawn; `error` instead, to break the stream off with one.
    """

    opening: bytes
    pieces: Iterator[bytes]
    closing: Callable[[], bytes]
    error: Callable[[Problem], bytes]


def quoted(text: str) -> bytes:
    """`text` as a JSON string in UTF-8; half a surrogate pair becomes `?`."""
    return encode_basestring(text).encode("utf-8", "replace")
