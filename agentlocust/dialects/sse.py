"""Splits a byte stream into server-sent events as it arrives, by the rules of the WHATWG HTML standard, 9.2.6.

Lines end in LF, CR or CRLF; `data` lines of one event are joined by LF; comments, `id` and `retry`
are passed over; a byte-order mark at the start is dropped. All at the level of bytes, so a character
may be split over packets.
"""

from __future__ import annotations

from agentlocust.errors import WireError

MAX_LINE = 1_000_000  # bytes of one line, and of the data of one event

_BOM = b"\xef\xbb\xbf"

Event = tuple[int, bytes, bytes]


class EventSplitter:
    """One stream's splitter. `feed` it chunks; each event bears the stamp of the chunk that ended it."""

    __slots__ = ("_at_start", "_data", "_event", "_limit", "_line", "_line_size", "_size", "_skip_lf", "_stamp_ns")

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._line: list[bytes] = []  # pieces of a line whose end has not come
        self._line_size = 0
        self._data: list[bytes] = []  # data lines of an event whose end has not come
        self._size = 0
        self._event = b""
        self._at_start = True
        self._skip_lf = False  # the last chunk ended in CR: an LF now belongs to it
        self._stamp_ns = 0

    def feed(self, stamp_ns: int, chunk: bytes) -> list[Event]:
        """Take a chunk; give the events it completed as (stamp, event name, data).

        Raises WireError `too_large` for a line, or an event's data, beyond the limit.
        """
        if not chunk:
            return []
        self._stamp_ns = stamp_ns
        if (  # the common case: one event, whole, of one data line
            chunk.endswith(b"\n\n")
            and chunk.startswith(b"data: ")
            and not self._line
            and not self._data
            and not self._event
            and len(chunk) <= self._limit
            and b"\r" not in chunk
            and chunk.find(b"\n") == len(chunk) - 2
        ):
            self._at_start = self._skip_lf = False
            return [(stamp_ns, b"", chunk[6:-2])]
        return self._lines(stamp_ns, chunk)

    def flush(self) -> list[Event]:
        """Give the event that the stream ended in the middle of, if any, with the last chunk's stamp.

        The standard drops it. Some servers leave out the last blank line, so a caller may want it.
        """
        events = [] if not self._line else self._lines(self._stamp_ns, b"\n")
        if self._data:
            events += self._lines(self._stamp_ns, b"\n")
        return events

    def _lines(self, stamp_ns: int, chunk: bytes) -> list[Event]:
        if self._skip_lf and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._skip_lf = chunk.endswith(b"\r") if chunk else False
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = chunk.split(b"\n")
        rest = lines.pop()
        if lines and self._line:
            self._line.append(lines[0])
            lines[0] = b"".join(self._line)
            self._line.clear()
            self._line_size = 0
        events: list[Event] = []
        for line in lines:
            if line:
                self._field(line)
                continue
            if self._data:
                data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                events.append((stamp_ns, self._event, data))
                self._data.clear()
                self._size = 0
            self._event = b""
            self._at_start = False
        if rest:
            self._line.append(rest)
            self._line_size += len(rest)
            if self._line_size > self._limit:
                raise self._too_large("a line")
        return events

    def _field(self, line: bytes) -> None:
        if len(line) > self._limit:
            raise self._too_large("a line")
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        name, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if name == b"data":
            self._size += len(value) + 1
            if self._size > self._limit:
                raise self._too_large("an event")
            self._data.append(value)
        elif name == b"event":
            self._event = value

    def _too_large(self, what: str) -> WireError:
        return WireError("too_large", f"{what} of the stream is longer than {self._limit} bytes")
