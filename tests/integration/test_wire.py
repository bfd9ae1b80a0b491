"""The wire over real sockets: bodies, connections that are kept or not, TLS, timeouts, cancellation."""

from __future__ import annotations

import gzip
import ssl
import zlib

import gevent
import pytest
import trustme

from agentlocust.dialects import by_name
from agentlocust.failures import FailureKind
from agentlocust.wire import connection as wire_connection
from agentlocust.wire import dial as wire_dial
from agentlocust.wire.exchange import Exchange, HttpRequest, Timeouts
from agentlocust.wire.pool import Pool
from agentlocust.wire.tap import Tap, cut_by
from agentlocust.wire.target import Target
from scripted_server import (
    AWAIT_CLOSE,
    CLOSE,
    DONE,
    END,
    JSON_BODY,
    READ,
    RESET,
    STOP,
    STREAM,
    STREAM_HEAD,
    ScriptedServer,
    ask,
    chunk,
    repeat,
    reply,
    token,
)

RAW_DEFLATE = zlib.compressobj(wbits=-zlib.MAX_WBITS)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.fixture
def pool():
    pool = Pool()
    yield pool
    pool.close()


@pytest.mark.parametrize(
    "sent",
    [
        [reply()],
        [HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(JSON_BODY[:9]) + chunk(JSON_BODY[9:]) + END],
        [HEAD + b"\r\n" + JSON_BODY, CLOSE],
        [HEAD + b"Connection: close\r\n\r\n" + JSON_BODY],
        [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", 0.02, reply()],
        [b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + JSON_BODY],
        [reply(gzip.compress(JSON_BODY), more="Content-Encoding: gzip\r\n")],
        [reply(zlib.compress(JSON_BODY), more="Content-Encoding: deflate\r\n")],
        [reply(RAW_DEFLATE.compress(JSON_BODY) + RAW_DEFLATE.flush(), more="content-encoding: deflate\r\n")],
        [
            HEAD
            + b"Transfer-Encoding: chunked\r\n\r\n"
            + chunk(JSON_BODY)
            + b"0\r\nX-Trailer: "
            + b"x" * 99
            + b"\r\n\r\n"
        ],
        [bytes([byte]) for byte in reply()],
        [reply(content_type="Application/JSON; charset=utf-8")],
    ],
    ids="length chunked close connection-close 1xx http/1.0 gzip deflate raw-deflate trailer bytewise case".split(),
)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream-asked"])
def test_a_body_is_read_however_it_is_delimited(sent, streamed):
    """Every framing and encoding of one JSON reply gives the same reply, also to a streamed request."""
    with ScriptedServer([READ, *sent]) as server:
        outcome, _ = ask(server.url, streamed=streamed)
    assert outcome.failure is None
    assert outcome.decoded.text == "Hello"
    assert outcome.status == 200
    assert not outcome.streamed
    assert outcome.decoded.token_ns == []


@pytest.mark.parametrize("status", ["200 OK", "204 No Content"])
@pytest.mark.parametrize("streamed", [False, True])
def test_an_empty_body_is_a_failure(status, streamed):
    """A 2xx reply without a body is no reply of the API."""
    with ScriptedServer([READ, reply(b"", status, "")]) as server:
        outcome, _ = ask(server.url, streamed=streamed)
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.PROTOCOL


def test_a_stream_is_stamped_and_read():
    """Tokens, usage and the terminal event of a stream arrive in one piece with their stamps."""
    parts = [STREAM_HEAD, chunk(token("Hel")), 0.03, chunk(token("lo")), chunk(STOP + DONE), END]
    with ScriptedServer([READ, *parts]) as server:
        outcome, exchange = ask(server.url)
    assert outcome.failure is None
    assert outcome.decoded.text == "Hello"
    assert len(outcome.decoded.token_ns) == 2
    assert exchange.sent_ns <= outcome.decoded.token_ns[0]
    assert outcome.ended_ns - outcome.decoded.token_ns[0] >= 25_000_000


def test_a_connection_is_used_again(pool):
    """Whole replies leave their connection open for the next call."""
    with ScriptedServer([READ, reply(), READ, STREAM, READ, reply(status="429 Too Many"), READ, reply()]) as server:
        outcomes = [ask(server.url, pool=pool, streamed=n == 1) for n in range(4)]
        assert server.connections == 1
    assert [outcome.status for outcome, _ in outcomes] == [200, 200, 429, 200]
    assert [exchange.reused for _, exchange in outcomes] == [False, True, True, True]


@pytest.mark.parametrize(
    "after",
    [
        [CLOSE],
        [RESET],
        [reply(more="Connection: close\r\n"), READ],
        [b"HTTP/1.1 500 Never asked\r\nContent-Length: 0\r\n\r\n", READ],
        [b"x", READ],
    ],
    ids=["closed", "reset", "connection-close", "second-reply", "noise"],
)
@pytest.mark.parametrize("together", [True, False], ids=["at-once", "later"])
def test_a_connection_that_is_spoilt_is_not_used_again(pool, after, together):
    """After a close, or bytes that nobody asked for, the next call opens a new connection and succeeds."""
    first = [reply() + after[0], *after[1:]] if together and isinstance(after[0], bytes) else [reply(), 0.02, *after]
    with ScriptedServer([READ, *first], [READ, reply()]) as server:
        one, _ = ask(server.url, pool=pool, streamed=False)
        gevent.sleep(0.1)
        two, exchange = ask(server.url, pool=pool, streamed=False)
        assert server.connections == 2
    assert one.failure is None
    assert one.decoded.text == "Hello"
    assert two.failure is None
    assert not exchange.reused


def test_a_reused_connection_that_dies_is_a_reset(pool):
    """No hidden retry: a connection that dies under its second request is that call's failure."""
    with ScriptedServer([READ, reply(), READ, RESET], [READ, reply()]) as server:
        ask(server.url, pool=pool, streamed=False)
        outcome, _ = ask(server.url, pool=pool)
        assert server.connections == 1
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.RESET
    assert "reused" in outcome.failure.message


def test_an_answer_before_the_request_is_read_is_heard(pool):
    """A server that answers 413 and reads no further is heard at once, and its connection dropped."""
    refused = reply(b'{"error":{"message":"too big"}}', "413 Payload Too Large")
    with ScriptedServer([lambda c: c.recv(1000), refused, 300], [READ, reply()]) as server:
        outcome, _ = ask(server.url, pool=pool, body=b" " * 30_000_000, timeouts=Timeouts(2, 600, 600, 600))
        assert outcome.status == 413
        again, exchange = ask(server.url, pool=pool, streamed=False)
    assert again.failure is None
    assert not exchange.reused


# -- timeouts and failures to connect ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "timeouts", "words"),
    [
        ([READ, AWAIT_CLOSE], Timeouts(1, 0.15, 9, 9), "no first byte"),
        ([READ, b"HTTP/1.1 200 OK\r\n", repeat(b"X: y\r\n", 0.02)], Timeouts(1, 0.3, 0.2, 9), "headers"),
        ([READ, repeat(b"HTTP/1.1 102 Processing\r\n\r\n", 0.02)], Timeouts(1, 0.3, 0.2, 9), "headers"),
        ([READ, STREAM_HEAD + chunk(token("a")), AWAIT_CLOSE], Timeouts(1, 9, 0.15, 9), "nothing more"),
        ([READ, STREAM_HEAD, repeat(chunk(token("a")), 0.02)], Timeouts(1, 9, 9, 0.3), "no whole reply"),
        ([READ, STREAM_HEAD, repeat(chunk(b": ping\n\n"), 0.02)], Timeouts(1, 9, 9, 0.3), "no whole reply"),
        ([AWAIT_CLOSE], Timeouts(9, 9, 9, 0.2), "no whole reply"),
    ],
    ids="silent drip 1xx-drip stall endless pings total".split(),
)
def test_a_slow_server_runs_into_a_timeout(script, timeouts, words):
    """Each wait has its bound, and a server that drips bytes gains nothing by it."""
    with ScriptedServer(script) as server:
        outcome, exchange = ask(server.url, timeouts=timeouts)
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.TIMEOUT
    assert words in outcome.failure.message
    assert exchange.connection is None


def test_a_server_that_takes_no_bytes_runs_into_a_timeout():
    """The total bounds the sending too."""
    with ScriptedServer([5.0]) as server:
        outcome, _ = ask(server.url, body=b" " * 30_000_000, timeouts=Timeouts(1, 60, 60, 0.3))
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.TIMEOUT


def test_failures_to_connect_have_their_kinds():
    """Nobody listening is `connect`, a name that does not exist is `dns`."""
    with ScriptedServer([READ]) as server:
        url = server.url
    for target, kind in (
        (url, FailureKind.CONNECT),
        ("http://no-such-host.invalid", FailureKind.DNS),
        (f"http://{'a' * 70}.com", FailureKind.DNS),
    ):
        outcome, _ = ask(target)
        assert outcome.failure is not None
        assert outcome.failure.kind is kind
        assert outcome.status == 0


def test_no_more_sockets_is_a_failed_call(monkeypatch):
    """A process out of file descriptors gets failed calls, not tracebacks."""

    def refuse(*args):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(wire_dial.socket, "socket", refuse)
    outcome, _ = ask("http://127.0.0.1:9")
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.CONNECT
    assert "Too many open files" in outcome.failure.message


# -- TLS --------------------------------------------------------------------------------------------


@pytest.fixture
def authority(monkeypatch, tmp_path):
    """A certificate authority that this process trusts for one test."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    wire_connection.tls_context.cache_clear()
    yield authority
    wire_connection.tls_context.cache_clear()


def serving(authority, host="localhost", version=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if version is not None:
        context.maximum_version = version
    authority.issue_cert(host).configure_cert(context)
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_carries_streams_and_is_kept_alive(authority, pool, version):
    """Handshake, stream and a second call on the same connection, session tickets notwithstanding."""
    parts = [STREAM_HEAD, chunk(token("Hel")), 0.02, chunk(token("lo")), chunk(STOP + DONE), END]
    with ScriptedServer([READ, *parts, READ, reply()], tls=serving(authority, version=version)) as server:
        one, first = ask(server.url, pool=pool)
        two, second = ask(server.url, pool=pool, streamed=False)
        assert server.connections == 1
    assert one.failure is two.failure is None
    assert len(one.decoded.token_ns) == 2
    assert second.reused
    assert not first.reused


def test_tls_tickets_alone_leave_a_connection_alive(authority):
    """What TLS 1.3 sends after the handshake is no speech of the server's."""
    with ScriptedServer([0.05, READ, reply()], tls=serving(authority)) as server:
        connection = wire_connection.open_connection(Target.parse(server.url).origin, 5.0)
        gevent.sleep(0.1)
        assert connection.looks_alive()
        connection.close()


def test_tls_bytes_nobody_asked_for_spoil_a_connection(authority, pool):
    """Bytes decrypted after the reply's end, or come while idle, never become the next reply."""
    evil = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"
    for script in ([READ, reply() + evil, READ], [READ, reply(), evil, READ], [READ, reply(), 0.02, evil, READ]):
        with ScriptedServer(script, [READ, reply()], tls=serving(authority)) as server:
            ask(server.url, pool=pool, streamed=False)
            gevent.sleep(0.1)
            outcome, _ = ask(server.url, pool=pool, streamed=False)
            assert server.connections == 2
        assert outcome.decoded.text == "Hello"


def test_tls_without_close_notify_ends_a_body(authority):
    """A body delimited by close is whole without close_notify; a chunked one cut short is not."""
    with ScriptedServer(
        [READ, HEAD + b"\r\n" + JSON_BODY, CLOSE],
        [READ, STREAM_HEAD + chunk(token("a")), CLOSE],
        tls=serving(authority),
    ) as server:
        whole, _ = ask(server.url, streamed=False)
        cut, _ = ask(server.url)
    assert whole.failure is None
    assert cut.failure is not None
    assert cut.failure.kind is FailureKind.TRUNCATED_STREAM


def test_tls_failures_have_their_kind(authority, monkeypatch, tmp_path):
    """A wrong name, an unknown authority, a server that speaks no TLS or hangs up: each is `tls`."""
    found = []
    with ScriptedServer([READ], tls=serving(authority, "elsewhere.test")) as server:
        found.append(ask(server.url)[0].failure)
    with ScriptedServer([READ], tls=serving(trustme.CA())) as server:
        found.append(ask(server.url)[0].failure)
    for script in ([b"HTTP/1.1 400 Bad Request\r\n\r\n", 0.1], [0.1, RESET], [0.1, CLOSE]):
        with ScriptedServer(script) as server:
            found.append(ask(server.url.replace("http:", "https:"))[0].failure)
    wire_connection.tls_context.cache_clear()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    with ScriptedServer([READ], tls=serving(authority)) as server:
        found.append(ask(server.url)[0].failure)
    assert [failure.kind for failure in found] == [FailureKind.TLS] * 6
    assert "elsewhere.test" in found[0].message or "localhost" in found[0].message


def test_a_tls_handshake_has_a_timeout():
    """A server that accepts and says nothing is given the connect timeout."""
    with ScriptedServer([AWAIT_CLOSE]) as server:
        outcome, _ = ask(server.url.replace("http:", "https:"), timeouts=Timeouts(0.2, 9, 9, 9))
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.TIMEOUT


# -- cancellation -----------------------------------------------------------------------------------


class Caller:
    """One call in a greenlet of its own, to be killed."""

    def __init__(self, url):
        self.tap = Tap(by_name("openai-chat"), streamed=True)
        request = HttpRequest("POST", Target.parse(url).origin, "/v1/chat/completions", [], b"{}")
        self.exchange = Exchange(Pool(), request, Timeouts())
        self.tap.watch(self.exchange)
        self.outcome = None
        self.greenlet = gevent.spawn(self._run)

    def _run(self):
        try:
            self.exchange.send()
            self.exchange.wait_end()
        except BaseException as error:
            self.exchange.close()
            self.outcome = self.tap.settle(cut=cut_by(error))
            raise


@pytest.mark.parametrize(
    "script",
    [[READ, AWAIT_CLOSE], [READ, b"HTTP/1.1 200", AWAIT_CLOSE], [READ, STREAM_HEAD + chunk(token("a")), AWAIT_CLOSE]],
    ids=["before-headers", "in-headers", "mid-stream"],
)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_kill_frees_the_socket_at_once(authority, script, tls):
    """The server sees the close although the hub runs no further; what came is still read."""
    with ScriptedServer(script, tls=serving(authority) if tls else None) as server:
        caller = Caller(server.url)
        gevent.sleep(0.2)
        caller.greenlet.kill()
        assert server.gone.wait(5)  # blocks this thread, and the hub with it
    assert caller.outcome.failure.kind is FailureKind.CANCELLED
    assert len(caller.outcome.decoded.token_ns) == (STREAM_HEAD + chunk(token("a")) in script)
    assert caller.exchange.connection is None


def test_a_kill_while_connecting_leaves_nothing_open():
    """A TLS handshake that hangs is given up at once."""
    with ScriptedServer([AWAIT_CLOSE]) as server:
        caller = Caller(server.url.replace("http:", "https:"))
        gevent.sleep(0.1)
        caller.greenlet.kill()
        assert server.gone.wait(5)
    assert caller.outcome.failure.kind is FailureKind.CANCELLED


def test_a_kill_after_the_end_keeps_the_reply():
    """All that was promised had come: the call succeeded, whatever happened to its caller."""
    with ScriptedServer([READ, STREAM_HEAD + chunk(token("a") + STOP + DONE), AWAIT_CLOSE]) as server:
        caller = Caller(server.url)
        gevent.sleep(0.2)
        caller.greenlet.kill()
    assert caller.outcome.failure is None


def test_the_callers_own_timeout_is_a_timeout():
    """gevent.Timeout around a call fails it as `timeout`; it does not pass for the end of the test."""
    with ScriptedServer([READ, AWAIT_CLOSE]) as server:
        caller = Caller(server.url)
        gevent.sleep(0.05)
        caller.greenlet.kill(gevent.Timeout(5))
        assert server.gone.wait(5)
    assert caller.outcome.failure.kind is FailureKind.TIMEOUT
