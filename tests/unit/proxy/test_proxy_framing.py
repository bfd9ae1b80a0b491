"""Heads are read in one way or not at all; the end of a body is found wherever its bytes are split."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.proxy.framing import Chunked, Sized, UntilClose, body_of_reply, body_of_request
from agentlocust.proxy.heads import Head, NotHttp, read_reply, read_request

CUTS = st.lists(st.integers(0, 400), max_size=12)
PIECES = st.lists(st.binary(min_size=1, max_size=60), max_size=6)


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    """The bytes cut at those places."""
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def chunked(pieces: list[bytes], extension: bytes = b"", trailers: bytes = b"") -> bytes:
    """A chunked body."""
    chunks = b"".join(b"%X%s\r\n%s\r\n" % (len(piece), extension, piece) for piece in pieces)
    return chunks + b"0\r\n" + trailers + b"\r\n"


@given(PIECES, CUTS, st.sampled_from([b"", b";a=b", b' ; q="x"']), st.sampled_from([b"", b"X-A: 1\r\nX-B: 2\r\n"]))
def test_a_chunked_body_is_followed_however_it_is_split(pieces, cuts, extension, trailers):
    """Its content is what was chunked, its end is found to the byte, and what follows is not touched."""
    data = chunked(pieces, extension, trailers)
    body, content, taken = Chunked(), b"", 0
    for part in split(data + b"NEXT", cuts):
        if body.done:
            break
        got, used = body.feed(part)
        content += got
        taken += used
    assert body.done
    assert (content, taken) == (b"".join(pieces), len(data))


@pytest.mark.parametrize(
    "bad", [b"x\r\n", b"5\r\nhelloXX", b"5\n", b"-1\r\n", b"\r\n", b"f" * 16 + b"\r\n", b"0x5\r\n"]
)
def test_broken_chunks_are_no_http(bad):
    """No size, a chunk longer than it says, a line that does not end as lines do."""
    with pytest.raises(NotHttp):
        Chunked().feed(bad)


@given(st.binary(max_size=200), CUTS)
def test_a_sized_body_takes_its_length_and_no_more(data, cuts):
    """What is beyond it belongs to the next message."""
    body, content, taken = Sized(len(data)), b"", 0
    for part in split(data + b"NEXT", cuts):
        got, used = body.feed(part) if not body.done else (b"", 0)
        content += got
        taken += used
    assert body.done
    assert (content, taken) == (data, len(data))


def test_which_replies_have_a_body():
    """None to a HEAD, with 204 or 304; else by its framing, else until the connection closes."""

    def reply(status: int, *headers: tuple[bytes, bytes]) -> Head:
        return Head(b"HTTP/1.1", list(headers), status=status)

    sized = (b"Content-Length", b"5")
    assert body_of_reply(reply(200, sized), b"HEAD").done
    assert body_of_reply(reply(204), b"GET").done
    assert body_of_reply(reply(304, sized), b"GET").done
    assert not body_of_reply(reply(200, sized), b"GET").done
    assert isinstance(body_of_reply(reply(200, (b"transfer-encoding", b"Chunked")), b"GET"), Chunked)
    assert isinstance(body_of_reply(reply(200), b"GET"), UntilClose)


@pytest.mark.parametrize(
    "headers",
    [
        [(b"Content-Length", b"5"), (b"Content-Length", b"6")],
        [(b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked")],
        [(b"Content-Length", b"+5")],
        [(b"Content-Length", b"0x5")],
        [(b"Transfer-Encoding", b"gzip, chunked")],
        [(b"Transfer-Encoding", b"chunked, chunked")],
    ],
)
def test_a_length_that_two_could_read_differently_is_refused(headers):
    """So that no request hides in another."""
    with pytest.raises(NotHttp):
        body_of_request(Head(b"HTTP/1.1", headers, method=b"POST", target=b"/"))


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET /a b HTTP/1.1\r\n\r\n",
        b"G\x00T / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n X: folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nX : 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\nY: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nnocolon\r\n\r\n",
    ],
)
def test_a_malformed_request_is_refused(raw):
    """Rather than passed on to somebody who reads it otherwise."""
    with pytest.raises(NotHttp):
        read_request(raw)


def test_a_head_is_written_as_it_was_read():
    """Order, case and repeated headers; only blanks around values go."""
    raw = b"HTTP/1.1 200 Very OK\r\nX-b: 1\r\nx-A:  two words \r\nX-b: 3\r\nEmpty:\r\n\r\n"
    head = read_reply(raw)
    assert head.encode() == b"HTTP/1.1 200 Very OK\r\nX-b: 1\r\nx-A: two words\r\nX-b: 3\r\nEmpty: \r\n\r\n"
    assert head.get(b"x-b") == b"1, 3"


def test_what_was_for_one_connection_does_not_go_on():
    """What Connection names, and its likes; never what says how long the body is."""
    head = read_request(
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: X-One, content-length, close\r\nX-One: 1\r\nX-Two: 2\r\n"
        b"Upgrade: h2c\r\nTE: trailers\r\nProxy-Authorization: x\r\nContent-Length: 3\r\n\r\n"
    )
    head.onward()
    assert head.headers == [(b"Host", b"a"), (b"X-Two", b"2"), (b"Content-Length", b"3"), (b"Connection", b"close")]
