"""Servers that err, lie or attack: each ends in its own FailureKind, in time and within 32 MB."""

from __future__ import annotations

import gc
import gzip
import json
import zlib
from pathlib import Path

import psutil
import pytest

from agentlocust.failures import FailureKind
from agentlocust.wire.exchange import Timeouts
from agentlocust.wire.response import MAX_CHUNKS, MAX_REPLY_BYTES
from scripted_server import (
    CLOSE,
    DONE,
    END,
    JSON_BODY,
    READ,
    RESET,
    STOP,
    STREAM_HEAD,
    USAGE,
    ScriptedServer,
    ask,
    chunk,
    repeat,
    reply,
    token,
)

LIMIT = 32 * 1024 * 1024
HTML = b"<!doctype html><html><head><title>Sign in</title></head><body>data: nothing</body></html>"


def stream(*events: bytes, end: bytes = END) -> list:
    """A streamed reply of these events, each in a chunk of its own."""
    return [READ, STREAM_HEAD + b"".join(map(chunk, events)) + end]


FAULTS = {
    "reset before the reply": ([READ, RESET], "reset"),
    "closed before the reply": ([READ, CLOSE], "reset"),
    "closed in the status line": ([READ, b"HTTP/1.1 2", CLOSE], "reset"),
    "closed in the headers": ([READ, b"HTTP/1.1 200 OK\r\nContent-Type: text/event-st", CLOSE], "reset"),
    "reset in the stream": ([READ, STREAM_HEAD + chunk(token("a")), 0.05, RESET], "reset"),
    "closed in the stream": ([READ, STREAM_HEAD + chunk(token("a")), CLOSE], "truncated_stream"),
    "closed in a chunk": ([READ, STREAM_HEAD + chunk(token("a"))[:-9], CLOSE], "truncated_stream"),
    "no terminal event": (stream(token("a"), STOP), "truncated_stream"),
    "a stream of nothing": (stream(), "truncated_stream"),
    "garbage for HTTP": ([READ, b"SSH-2.0-OpenSSH_9.6\r\n", CLOSE], "protocol"),
    "bare line feeds": ([READ, b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", CLOSE], "protocol"),
    "switching protocols": (
        [READ, b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", CLOSE],
        "protocol",
    ),
    "two lengths": ([READ, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"], "protocol"),
    "length and chunks": (
        [READ, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"],
        "protocol",
    ),
    "a chunk of 2^70 bytes": ([READ, STREAM_HEAD + b"f" * 18 + b"\r\n"], "protocol"),
    "HTML": ([READ, reply(HTML, content_type="text/html")], "protocol"),
    "HTML in a failed stream": ([READ, reply(HTML, content_type="text/event-stream")], "truncated_stream"),
    "broken gzip": ([READ, reply(b"\x1f\x8bnot gzip at all", more="Content-Encoding: gzip\r\n")], "protocol"),
    "brotli": ([READ, reply(more="Content-Encoding: br\r\n")], "protocol"),
    "headers without end": ([READ, b"HTTP/1.1 200 OK\r\n", repeat(b"X-More: " + b"x" * 900 + b"\r\n")], "too_large"),
    "a header line without end": ([READ, b"HTTP/1.1 200 OK\r\nX: ", repeat(b"x" * 900)], "too_large"),
    "a status line without end": ([READ, b"HTTP/1.1 200 ", repeat(b"x" * 900)], "too_large"),
    "a line without end": ([READ, STREAM_HEAD, repeat(chunk(b"data: " + b"x" * 60_000))], "too_large"),
    "an event without end": ([READ, STREAM_HEAD, repeat(chunk(b"data: " + b"x" * 60_000 + b"\n"))], "too_large"),
    "a line of 1.1 MB": (stream(b"data: " + b"x" * 1_100_000 + b"\n\n", DONE), "too_large"),
    "an error event": (stream(token("a"), b'data: {"error":{"message":"overheated","type":"x"}}\n\n'), "stream_error"),
    "an error event, then a reset": (
        [READ, STREAM_HEAD + chunk(b'event: error\ndata: {"message":"bye"}\n\n'), 0.05, RESET],
        "stream_error",
    ),
    "an event that is not JSON": (stream(token("a"), b"data: {oops\n\n", DONE), "malformed_stream"),
    "deep JSON": (stream(b"data: " + b'{"a":' * 50_000 + b"\n\n", DONE), "malformed_stream"),
    "nothing generated": (stream(STOP, DONE), "empty"),
    "a filtered reply": (
        stream(token("a"), b'data: {"choices":[{"delta":{},"finish_reason":"content_filter"}]}\n\n', DONE),
        "content_filter",
    ),
    "a JSON error for a stream": ([READ, reply(b'{"error":{"message":"no"}}')], "stream_error"),
    "half a JSON reply": ([READ, reply(JSON_BODY)[:-20], CLOSE], "reset"),
    "a redirect": ([READ, reply(b"", "307 Temporary Redirect", more="Location: http://127.0.0.1:9/\r\n")], "redirect"),
}


@pytest.mark.parametrize(("script", "kind"), FAULTS.values(), ids=FAULTS.keys())
def test_each_fault_has_its_kind(script, kind):
    """One fault, one kind; the socket is given up or kept, never left hanging."""
    with ScriptedServer(script) as server:
        outcome, exchange = ask(server.url, timeouts=Timeouts(2, 3, 3, 6))
    assert outcome.failure is not None
    assert outcome.failure.kind == kind, outcome.failure
    assert len(outcome.failure.message) < 500
    assert exchange.connection is None


GOOD = {
    "done, then a reset": [READ, STREAM_HEAD + b"".join(map(chunk, (token("a"), STOP, USAGE, DONE))), 0.05, RESET],
    "done, then no end": [READ, STREAM_HEAD + b"".join(map(chunk, (token("a"), STOP, USAGE, DONE))), CLOSE],
    "usage twice": stream(token("a"), STOP, USAGE, USAGE, DONE),
    "usage after the end": stream(token("a"), STOP, DONE, USAGE),
    "CR and CRLF": stream(
        *(e.replace(b"\n", n) for e, n in zip((token("a"), STOP, USAGE, DONE), (b"\r", b"\r\n") * 2, strict=True))
    ),
    "comments and pings": stream(b": hello\n\n", token("a"), b"event: ping\ndata: {}\n\n", b":\n\n", STOP, USAGE, DONE),
    "many data lines": stream(token("a").replace(b'":', b'":\ndata: '), STOP, USAGE, DONE),
    "an endless trailer": [*stream(token("a"), STOP, USAGE, DONE, end=b"0\r\nX: "), b"x" * 5_000_000, CLOSE],
    "bytewise": [READ, *(bytes([b]) for b in STREAM_HEAD + b"".join(map(chunk, (token("a"), USAGE, DONE))) + END)],
    "text/plain": [READ, reply(token("a") + STOP + USAGE + DONE, content_type="text/plain")],
    "no last blank line": stream(token("a"), STOP, USAGE, DONE.rstrip()),
    "gzip": [
        READ,
        reply(gzip.compress(token("a") + USAGE + DONE), "200 OK", "text/event-stream", "Content-Encoding: gzip\r\n"),
    ],
}


@pytest.mark.parametrize("script", GOOD.values(), ids=GOOD.keys())
def test_what_is_odd_but_whole_is_a_success(script):
    """A reply whose terminal event came is a success, with its usage counted once."""
    with ScriptedServer(script) as server:
        outcome, _ = ask(server.url)
    assert outcome.failure is None
    assert outcome.decoded.text == "a"
    assert len(outcome.decoded.token_ns) == 1
    usage = outcome.decoded.usage
    assert usage is not None
    assert (usage.input, usage.output) == (5, 2)


def test_characters_split_across_packets_and_broken_ones():
    """A character may come in pieces; bytes that are no UTF-8 do not end the call in a traceback."""
    event = token("räksmörgås 🦐")
    pieces = [chunk(event[n : n + 1]) for n in range(len(event))]
    with ScriptedServer([READ, STREAM_HEAD, *pieces, chunk(STOP + DONE) + END]) as server:
        outcome, _ = ask(server.url)
    assert outcome.decoded.text == "räksmörgås 🦐"
    bad = b'data: {"choices":[{"delta":{"content":"\xff\xfe"}}]}\n\n'
    for script in (
        stream(bad, STOP, DONE),
        [READ, reply(b"\xff\xfe\x00", content_type="text/html")],
        [READ, reply(b"\xff")],
    ):
        with ScriptedServer(script) as server:
            outcome, _ = ask(server.url)
        if outcome.failure is not None:
            assert outcome.failure.kind in {FailureKind.MALFORMED_STREAM, FailureKind.PROTOCOL}
        else:
            assert "\ufffd" in outcome.decoded.text


def openai_error(code, message="no"):
    return json.dumps({"error": {"message": message, "type": code, "code": code}}).encode()


def anthropic_error(code, message="no"):
    return json.dumps({"type": "error", "error": {"type": code, "message": message}}).encode()


STATUSES = [
    (400, openai_error("invalid_request_error"), "openai-chat", "bad_request"),
    (400, openai_error("context_length_exceeded"), "openai-chat", "context_length"),
    (400, openai_error("content_filter"), "openai-chat", "content_filter"),
    (401, openai_error("invalid_api_key"), "openai-chat", "auth"),
    (403, b"", "openai-chat", "auth"),
    (404, openai_error("model_not_found"), "openai-chat", "not_found"),
    (429, openai_error("rate_limit_exceeded"), "openai-chat", "rate_limited"),
    (429, openai_error("insufficient_quota"), "openai-chat", "quota"),
    (500, openai_error("server_error"), "openai-chat", "server_error"),
    (502, HTML, "openai-chat", "server_error"),
    (503, b"no healthy upstream", "openai-chat", "overloaded"),
    (400, anthropic_error("invalid_request_error", "prompt is too long: 9 tokens"), "anthropic", "context_length"),
    (401, anthropic_error("authentication_error"), "anthropic", "auth"),
    (404, anthropic_error("not_found_error"), "anthropic", "not_found"),
    (413, anthropic_error("request_too_large"), "anthropic", "context_length"),
    (429, anthropic_error("rate_limit_error"), "anthropic", "rate_limited"),
    (500, anthropic_error("api_error"), "anthropic", "server_error"),
    (529, anthropic_error("overloaded_error"), "anthropic", "overloaded"),
]


@pytest.mark.parametrize(("status", "body", "dialect", "kind"), STATUSES)
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "cut"])
def test_an_error_status_has_its_kind(status, body, dialect, kind, whole):
    """The kind of an HTTP error comes from its status and body, also when the connection dies in it."""
    sent = reply(body, f"{status} Whatever", more="" if whole else "X: y\r\n")
    script = [READ, sent] if whole else [READ, sent.replace(b"Content-Length: ", b"Content-Length: 1"), CLOSE]
    with ScriptedServer(script) as server:
        outcome, _ = ask(server.url, dialect=dialect)
    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.failure.status) == (kind, status)


def test_a_redirect_is_not_followed():
    """Nothing is ever sent to the origin that a redirect names."""
    with ScriptedServer([READ, reply()]) as elsewhere:
        away = reply(b"", "302 Found", more=f"Location: {elsewhere.url}/v1/chat/completions\r\n")
        with ScriptedServer([READ, away]) as server:
            outcome, _ = ask(server.url)
        assert elsewhere.connections == 0
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.REDIRECT


# -- memory -----------------------------------------------------------------------------------------


class Growth:
    """How far the process's memory rose over where it began, as the kernel's own high-water mark tells."""

    def __enter__(self):
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
        self._before = psutil.Process().memory_info().rss
        return self

    def __exit__(self, *_):
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        self.bytes = int(status["VmHWM"].split()[0]) * 1024 - self._before


def bomb(gigabytes_of_zeros: float, wbits: int) -> bytes:
    packer = zlib.compressobj(9, wbits=wbits)
    zeros = bytes(1024 * 1024)
    return b"".join(packer.compress(zeros) for _ in range(int(gigabytes_of_zeros * 1024))) + packer.flush()


HUGE = {
    "a reply without end": ([READ, STREAM_HEAD, repeat(chunk(token("word")) * 50)], "too_large"),
    "blanks without end": ([READ, STREAM_HEAD, repeat(chunk(b"\n" * 30_000))], "too_large"),
    "a line of 1 GB": ([READ, STREAM_HEAD, repeat(chunk(b"x" * 60_000))], "too_large"),
    "a body of 1 GB": (
        [
            READ,
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1073741824\r\n\r\n",
            repeat(b" " * 60_000),
        ],
        "too_large",
    ),
    "tiny chunks without end": ([READ, STREAM_HEAD, repeat(chunk(b"\n") * 10_000)], "timeout"),
    "trailers without end": (
        [READ, STREAM_HEAD + chunk(token("a")) + b"0\r\n", repeat(b"X: y\r\n" * 9_000)],
        "timeout",
    ),
    "a chunk extension without end": ([READ, STREAM_HEAD + b"5;a=", repeat(b"b" * 60_000)], "timeout"),
    "a gzip bomb": (
        [READ, reply(bomb(0.25, 31), "200 OK", "text/event-stream", "Content-Encoding: gzip\r\n")],
        "too_large",
    ),
    "a deflate bomb of an error": (
        [READ, reply(bomb(0.25, 15), "500 No", more="Content-Encoding: deflate\r\n")],
        "server_error",
    ),
}


@pytest.mark.skipif(not psutil.LINUX, reason="the high-water mark is the Linux kernel's")
@pytest.mark.parametrize(("script", "kind"), HUGE.values(), ids=HUGE.keys())
def test_what_has_no_end_is_bounded(script, kind):
    """Endless and exploding replies end by their limit or the total timeout, in less than 32 MB."""
    with ScriptedServer(script) as server, Growth() as growth:
        outcome, exchange = ask(server.url, timeouts=Timeouts(2, 2, 2, 2))
    assert outcome.failure is not None
    assert outcome.failure.kind == kind, outcome.failure
    assert exchange.response.body_bytes <= MAX_REPLY_BYTES + 256 * 1024
    assert len(exchange.response.chunks) <= MAX_CHUNKS
    print(f"grew by {growth.bytes / 2**20:.1f} MB")
    assert growth.bytes < LIMIT
