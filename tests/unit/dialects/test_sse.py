"""Server-sent events from bytes: whatever the packets, the events are the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.dialects.sse import EventSplitter
from agentlocust.errors import WireError


def split(*chunks: bytes, flush: bool = False) -> list[tuple[int, bytes, bytes]]:
    """The events of chunks stamped 1, 2, 3..."""
    splitter = EventSplitter()
    events = [event for stamp, chunk in enumerate(chunks, 1) for event in splitter.feed(stamp, chunk)]
    return events + (splitter.flush() if flush else [])


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\n", [(b"", b"a")]),
        (b"data: a\n\ndata: b\n\n", [(b"", b"a"), (b"", b"b")]),
        (b"data:a\n\n", [(b"", b"a")]),
        (b"data:  a\n\n", [(b"", b" a")]),
        (b"event: ping\ndata: {}\n\n", [(b"ping", b"{}")]),
        (b"data: {}\nevent: ping\n\n", [(b"ping", b"{}")]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [(b"", b"a"), (b"", b"b")]),
        (b"data: a\r\rdata: b\r\r", [(b"", b"a"), (b"", b"b")]),
        (b"data: a\ndata: b\n\n", [(b"", b"a\nb")]),
        (b": keep-alive\n\ndata: a\n\n", [(b"", b"a")]),
        (b"\xef\xbb\xbfdata: a\n\n", [(b"", b"a")]),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [(b"", b"a")]),
        (b"\n\xef\xbb\xbfdata: b\n\n", []),
        (b"id: 7\nretry: 10\ndata: a\n\n", [(b"", b"a")]),
        (b"data\n\n", [(b"", b"")]),
        (b"event: lonely\n\ndata: a\n\n", [(b"", b"a")]),
        (b"other: x\n\n\n\n", []),
        (b"data: unended", []),
        (b"data: unended\n", []),
    ],
)
def test_the_standard_s_rules_hold(stream, events):
    """Line ends, comments, fields and the byte-order mark are read as the standard says."""
    assert [event[1:] for event in split(stream)] == events


PIECES = st.sampled_from(
    [
        b"data: ",
        b"data:",
        b"event: x",
        b": c",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"a",
        "é🙂".encode(),
        b"{}",
        b"\xef\xbb\xbf",
    ]
)


@given(st.lists(PIECES, max_size=30).map(b"".join), st.lists(st.integers(1, 9), min_size=1, max_size=9))
def test_events_do_not_depend_on_packets(stream, sizes):
    """However a stream is cut into packets, the events are the same."""
    chunks, at, turn = [], 0, 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        chunks.append(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert [event[1:] for event in split(*chunks, flush=True)] == [event[1:] for event in split(stream, flush=True)]


def test_an_event_bears_the_stamp_of_the_chunk_that_ended_it():
    """The chunk with the end of the blank line stamps the event."""
    assert split(b"data: a\n", b"\ndata: b", b"\n\n") == [(2, b"", b"a"), (3, b"", b"b")]


def test_a_blank_line_in_cr_is_not_waited_for():
    """An event that ends in CR is given at once, and the LF that follows belongs to it."""
    assert split(b"data: a\r\n\r", b"\ndata: b\r\n\r\n") == [(1, b"", b"a"), (2, b"", b"b")]


def test_characters_split_over_packets_survive():
    """A character cut in two comes out whole."""
    text = "naïve 🙂".encode()
    assert split(b"data: " + text[:3], text[3:8], text[8:] + b"\n\n") == [(3, b"", text)]


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_flush_gives_the_unended_event(end):
    """The last event of a stream without its last blank line is there for who wants it."""
    assert split(b"event: x\ndata: a" + end, flush=True) == [(1, b"x", b"a")]


def test_flush_after_whole_events_gives_nothing():
    """A stream that ended as it should holds no more."""
    assert split(b"data: a\n\n: bye\n", flush=True) == [(1, b"", b"a")]


@pytest.mark.parametrize(
    "chunks",
    [
        [b"data: " + b"x" * 100 + b"\n\n"],
        [b"data: ", *[b"x" * 10] * 10],
        [b": " + b"x" * 100 + b"\n"],
        [b"data: xxxxxxxxx\n"] * 10,
    ],
)
def test_too_long_a_line_or_event_is_refused(chunks):
    """Neither one line nor many lines of one event grow beyond the limit."""
    splitter = EventSplitter(limit=64)
    with pytest.raises(WireError) as caught:
        for chunk in chunks:
            splitter.feed(1, chunk)
    assert caught.value.kind == "too_large"
