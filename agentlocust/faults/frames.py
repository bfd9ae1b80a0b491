"""Streams of server-sent events taken apart into whole frames, whose bytes stay as they are, and put together again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from agentlocust import dialects
from agentlocust.dialects.base import Decoded
from agentlocust.dialects.sse import EventSplitter
from agentlocust.errors import WireError
from agentlocust.faults.chain import Change
from agentlocust.faults.fault import GENERATING, Draft, Hit
from agentlocust.faults.injection import End, Piece

# A line's end and a blank line. A CR at the end of what came may be half of a CRLF: wait for more.
_EOL = rb"(?:\r\n|\n|\r(?!\n|\Z))"
_BLANK = re.compile(_EOL + _EOL)
_LINES = re.compile(rb"\r\n|\n|\r")
MESSAGE_END = b"\x1e"
"""What stands after each message of a WebSocket that is handed to a rewriter: no JSON text has it within."""

_TERMINATORS = {"ndjson": b"\n", "websocket": MESSAGE_END}
_DATA = re.compile(rb"^data", re.MULTILINE)
_LONGEST = 1_000_000  # of one frame; a longer one is passed on in pieces


class FrameSplitter:
    """One stream's splitter: whole frames, blank line included, whatever the chunks they came in."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that `data` completed."""
        rest = self._rest
        start = max(len(rest) - 4, 0)
        rest += data
        found, at = [], 0
        while (end := _BLANK.search(rest, max(start, at))) is not None:
            found.append(bytes(rest[at : end.end()]))
            at = end.end()
        del rest[:at]
        if len(rest) > _LONGEST:
            found.append(self.rest())
        return found

    def rest(self) -> bytes:
        """What is left of an unfinished frame."""
        rest = bytes(self._rest)
        self._rest.clear()
        return rest


class LineSplitter:
    """The same for a stream whose frames each end in `terminator`, which stays with them."""

    def __init__(self, terminator: bytes) -> None:
        self._terminator = terminator
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that `data` completed."""
        *found, self._rest = (self._rest + data).split(self._terminator)
        whole = [frame + self._terminator for frame in found]
        if len(self._rest) > _LONGEST:
            whole.append(self.rest())
        return whole

    def rest(self) -> bytes:
        """What is left of an unfinished frame."""
        rest, self._rest = self._rest, b""
        return rest


class FrameRewriter:
    """Changes a stream frame by frame. A subclass says what becomes of each in `frame`, and of the end in `last`.

    `tokens` counts the token events that the frames before this one held, as our own readers count them; of a
    stream that holds none, the frames themselves. `terminator` is what ends each, b"" for server-sent events.
    """

    def __init__(self, dialect: str) -> None:
        self.end: End | None = None
        self.struck = False
        self.tokens = 0
        self.terminator = _TERMINATORS.get(dialect, b"")
        self._splitter = LineSplitter(self.terminator) if self.terminator else FrameSplitter()
        self._events = EventSplitter()
        self._reader = dialects.by_name(dialect).stream_reader(strict=False) if dialect in GENERATING else None

    @property
    def so_far(self) -> Decoded:
        """What the stream has told, the frame at hand included."""
        return self._reader.so_far if self._reader is not None else Decoded()

    def feed(self, data: bytes) -> list[Piece]:
        """The server sent `data`; what goes on."""
        made: list[Piece] = []
        for raw in self._splitter.feed(data):
            made += self._frame(raw)
        return made

    def finish(self) -> list[Piece]:
        """The stream ended; what goes on last."""
        rest = self._splitter.rest()
        made = self._frame(rest) if rest else []
        return made if self.end is not None else made + self.last()

    def frame(self, raw: bytes, tokens: int) -> list[Piece]:
        """What becomes of one frame that holds `tokens` token events."""
        return [Piece(raw)]

    def last(self) -> list[Piece]:
        """What follows after the last frame."""
        return []

    def _frame(self, raw: bytes) -> list[Piece]:
        if self.end is not None:
            return []
        came = self._tokens_in(raw)
        made = self.frame(raw, came)
        self.tokens += came
        return made

    def _tokens_in(self, raw: bytes) -> int:
        reader = self._reader
        if reader is None:
            return int(bool(raw.strip() if self.terminator else _DATA.search(raw) or raw[:1] in b"{["))
        try:
            for event in self._events.feed(1, raw):
                reader.feed(*event)
        except WireError:
            pass  # a frame beyond the limits holds no token that anybody reads
        return len(reader.so_far.token_ns) - self.tokens


class WholeRewriter:
    """Changes a reply that is not streamed: `whole` is given all of it once it is there."""

    def __init__(self, whole: Callable[[WholeRewriter, bytes], bytes]) -> None:
        self.end: End | None = None
        self.struck = False
        self._whole = whole
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> list[Piece]:
        """Nothing goes on yet."""
        self._parts.append(data)
        return []

    def finish(self) -> list[Piece]:
        """All of it goes on, changed."""
        body = self._whole(self, b"".join(self._parts))
        return [Piece(body)] if body else []


class Editor(FrameRewriter):
    """Changes the JSON object of every frame: `edit` changes it in place, or says False to drop the frame.

    `edit` returns None when it has changed nothing.
    """

    def __init__(self, dialect: str, edit: Callable[[dict[str, Any]], bool | None]) -> None:
        super().__init__(dialect)
        self._edit = edit

    def frame(self, raw: bytes, tokens: int) -> list[Piece]:
        """The frame as it was, changed, or nothing."""
        found = data_of(raw)
        kept = self._edit(found) if found is not None else None
        if found is None or kept is None:
            return [Piece(raw)]
        self.struck = True
        return [Piece(with_data(raw, json.dumps(found, separators=(",", ":")).encode()))] if kept else []


def edited_body(edit: Callable[[dict[str, Any]], bool | None]) -> Callable[[WholeRewriter, bytes], bytes]:
    """The same edit for a whole JSON reply, for `WholeRewriter`."""

    def whole(rewriter: WholeRewriter, body: bytes) -> bytes:
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            return body
        if not isinstance(found, dict) or edit(found) is None:
            return body
        rewriter.struck = True
        return json.dumps(found).encode()

    return whole


def data_of(raw: bytes) -> dict[str, Any] | None:
    """The JSON object in a frame's data; None when there is none."""
    try:
        events = EventSplitter().feed(1, raw if raw.endswith((b"\n", b"\r")) else raw + b"\n\n")
        found = json.loads(events[0][2]) if len(events) == 1 else None
    except (ValueError, RecursionError, WireError):
        return None
    return found if isinstance(found, dict) else None


def with_data(raw: bytes, data: bytes) -> bytes:
    """The frame with other data; its event's name stays."""
    name = b"".join(line + b"\n" for line in _LINES.split(raw) if line.startswith(b"event:"))
    return name + b"data: " + data + b"\n\n"


def rewritten_by(fault: str, make: Callable[..., Change], *keys: str) -> Callable[[Hit, Draft], bool]:
    """A strike that lets a reply pass through what `make` makes of its dialect and of those keys' values."""

    def strike(hit: Hit, draft: Draft) -> bool:
        if draft.answered:
            return False
        draft.links.append((fault, partial(make, hit.asked.dialect, *(hit.values[key] for key in keys))))
        return True

    return strike
