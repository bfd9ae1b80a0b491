"""Cuts the body of an HTTP reply into messages as it arrives."""

from __future__ import annotations

from agentlocust.dialects.agents.base import Framing, Message
from agentlocust.dialects.sse import MAX_LINE, EventSplitter
from agentlocust.errors import WireError

_BY_TYPE = {
    "text/event-stream": Framing.SSE,
    "application/x-ndjson": Framing.NDJSON,
    "application/ndjson": Framing.NDJSON,
    "application/jsonl": Framing.NDJSON,
    "application/jsonlines": Framing.NDJSON,
    "application/x-jsonlines": Framing.NDJSON,
    "application/json-seq": Framing.NDJSON,
    "application/json": Framing.JSON,
}
_RECORD_SEPARATOR = b"\x1e"  # RFC 7464: before each text of a json-seq


def framing_of(content_type: str, expected: Framing) -> Framing:
    """How a reply is cut, from its content type; what was expected where that says nothing.

    Some services call lines of JSON `application/json`: what was expected to be lines stays so.
    """
    kind = content_type.partition(";")[0].strip().lower()
    found = _BY_TYPE.get(kind) or (Framing.JSON if kind.endswith("+json") else expected)
    return Framing.NDJSON if found is Framing.JSON and expected is Framing.NDJSON else found


class Splitter:
    """One body's splitter. `feed` it chunks; `flush` gives what it ended in the middle of.

    Both raise WireError `too_large` for a line or an event beyond the limit. A whole JSON body is
    one message, given by `flush` with the stamp of its last chunk.
    """

    def __init__(self, framing: Framing, limit: int = MAX_LINE) -> None:
        self.framing = framing
        self._limit = limit
        self._sse = EventSplitter(limit) if framing is Framing.SSE else None
        self._pieces: list[bytes] = []
        self._size = 0
        self._stamp_ns = 0

    def feed(self, stamp_ns: int, chunk: bytes) -> list[Message]:
        """Take a chunk; give the messages it completed."""
        if not chunk:
            return []
        self._stamp_ns = stamp_ns
        if self._sse is not None:
            return [Message(stamp, data, event) for stamp, event, data in self._sse.feed(stamp_ns, chunk)]
        if self.framing is Framing.NDJSON:
            return self._lines(stamp_ns, chunk)
        self._pieces.append(chunk)  # the wire limits the size of a whole reply
        return []

    def flush(self) -> list[Message]:
        """The body ended: give what is left."""
        if self._sse is not None:
            return [Message(stamp, data, event) for stamp, event, data in self._sse.flush()]
        data = b"".join(self._pieces).strip(b"\x1e \t\r\n")
        self._pieces.clear()
        return [Message(self._stamp_ns, data, framing=self.framing)] if data else []

    def _lines(self, stamp_ns: int, chunk: bytes) -> list[Message]:
        *whole, rest = chunk.split(b"\n")
        if whole:
            self._pieces.append(whole[0])
            whole[0] = b"".join(self._pieces)
            self._pieces.clear()
            self._size = 0
        if rest:
            self._pieces.append(rest)
            self._size += len(rest)
        if self._size > self._limit or any(len(line) > self._limit for line in whole):
            raise WireError("too_large", f"a line of the reply is longer than {self._limit} bytes")
        lines = (line.lstrip(_RECORD_SEPARATOR).strip() for line in whole)
        return [Message(stamp_ns, line, framing=Framing.NDJSON) for line in lines if line]
