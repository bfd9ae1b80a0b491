"""The parser's own rules, fed by hand."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.errors import WireError
from agentlocust.wire.response import MAX_CHUNKS, MAX_REPLY_BYTES, Response

HEAD = b"HTTP/1.1 200 OK\r\nX-Twice: a\r\nX-Twice: b\r\nContent-Length: 5\r\n\r\n"


def cuts(data: bytes):
    return st.lists(st.integers(0, len(data)), max_size=8).map(
        lambda at: [data[a:b] for a, b in zip([0, *sorted(at)], [*sorted(at), len(data)], strict=True) if a != b]
    )


@given(cuts(b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"hello"))
def test_where_packets_end_is_of_no_matter(packets):
    """Any cut of the bytes gives the same reply, each chunk with its packet's stamp."""
    response = Response()
    for now, packet in enumerate(packets, 1):
        response.feed_at(now, packet)
    assert response.complete
    assert (response.status_code, b"".join(data for _, data in response.chunks)) == (200, b"hello")
    assert response.header("x-twice") == "a, b"
    assert response.first_byte_ns == 1
    assert [stamp for stamp, _ in response.chunks] == sorted({stamp for stamp, _ in response.chunks})
    assert not response.should_close()


@given(st.binary(min_size=1, max_size=60))
def test_what_follows_a_reply_changes_nothing_in_it(trailing):
    """It only costs the connection."""
    response = Response()
    response.feed_at(1, HEAD + b"hello" + trailing)
    assert (response.complete, response.status_code, response.chunks) == (True, 200, [(1, b"hello")])
    if trailing.strip(b"\r\n"):
        assert response.should_close()


@given(st.binary(max_size=400))
def test_no_bytes_raise_anything_but_a_wire_error(data):
    """Whatever comes for a reply."""
    for start in (b"", b"HTTP/1.1 ", HEAD, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"):
        response = Response()
        try:
            response.feed_at(1, start + data)
            response.feed_at(2, b"")
        except WireError:
            continue
        assert response.complete


def test_the_pieces_of_one_packet_are_one_chunk():
    """Thousands of tiny chunks cost no more memory than their bytes."""
    response = Response()
    response.feed_at(7, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 5000)
    assert response.chunks == [(7, b"x" * 5000)]


def test_a_reply_has_a_limit_in_bytes_and_in_pieces():
    """16 MB, and as many pieces as can be kept in about as much."""
    response = Response()
    response.feed_at(1, b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n")
    with pytest.raises(WireError, match="bytes"):
        for _ in range(MAX_REPLY_BYTES // 65536 + 1):
            response.feed_at(2, bytes(65536))
    response = Response()
    response.feed_at(1, b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n")
    with pytest.raises(WireError, match="pieces"):
        for _ in range(MAX_CHUNKS + 1):
            response.feed_at(2, b"x")


@given(cuts(gzip.compress(b"hello" * 30, mtime=0)))
def test_gzip_is_undone_as_it_arrives(packets):
    """However it is cut, and whatever comes after its end."""
    response = Response()
    response.feed_at(1, b"HTTP/1.1 200 OK\r\nContent-Encoding: GZIP\r\nTransfer-Encoding: chunked\r\n\r\n")
    for packet in [*packets, b"after the end"]:
        response.feed_at(2, b"%x\r\n%s\r\n" % (len(packet), packet))
    assert b"".join(data for _, data in response.chunks) == b"hello" * 30
