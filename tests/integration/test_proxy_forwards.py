"""The proxy between real sockets: bytes pass as they are, whatever the upstream does, and ends are told honestly."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import time

import pytest
import trustme

from proxy_server import ProxyServer, body_of, connect, exchange, read_all, request
from scripted_server import AWAIT_CLOSE, END, READ, RESET, STREAM, STREAM_HEAD, ScriptedServer, chunk, reply, token

CHAT = "/v1/chat/completions"
ASK = b'{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"hi"}]}'
SNOWMAN = "snow ☃ man".encode()

AWKWARD = {
    "one byte at a time": [STREAM[n : n + 1] for n in range(len(STREAM))],
    "everything at once": [STREAM],
    "odd chunk sizes with extensions": [STREAM_HEAD, b"0005;x=y\r\nhello\r\n", b"A\r\n0123456789\r\n", END],
    "a character split over chunks": [STREAM_HEAD, chunk(SNOWMAN[:6]), 0.01, chunk(SNOWMAN[6:]), END],
    "a chunk's size split over packets": [STREAM_HEAD, b"1", 0.01, b"0\r", 0.01, b"\n0123456789abcdef\r\n", END],
    "trailers": [STREAM_HEAD, chunk(b"x"), b"0\r\nX-Checksum: 1\r\nX-Other: 2\r\n\r\n"],
    "a known length": [reply(b"y" * 5000)],
    "no body": [b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n"],
    "not modified": [b'HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\nETag: "a"\r\n\r\n'],
    "an empty body": [reply(b"")],
    "until it closes": [b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n", b"abc", 0.01, b"def"],
    "old HTTP": [b"HTTP/1.0 200 OK\r\n\r\nold"],
    "compressed": [reply(b"\x1f\x8b not really gzip", more="Content-Encoding: gzip\r\n")],
    "an error": [reply(b'{"error":{"message":"no"}}', "429 Too Many Requests", more="Retry-After: 7\r\n")],
    "cut in a chunk": [STREAM_HEAD, chunk(b"whole"), b"10\r\nhalf"],
    "cut in a known length": [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"],
    "no terminal event": [STREAM_HEAD, chunk(token("Hel")), END],
}


@pytest.mark.parametrize("name", AWKWARD)
def test_what_the_upstream_sends_arrives_byte_for_byte(tmp_path, name):
    """The body with its framing is the same straight and through, also of a reply that is cut."""
    data = request("POST", CHAT, ASK)
    with ScriptedServer([READ, *AWKWARD[name]]) as server, ProxyServer(tmp_path, server.url) as proxy:
        straight = exchange(server.url.replace("localhost", "127.0.0.1"), data)
        through = exchange(proxy.url, data)
        [record] = proxy.records(1)
    assert body_of(through) == body_of(straight)
    assert through.partition(b"\r\n")[0] == straight.partition(b"\r\n")[0]
    assert record["status"] == int(straight.split()[1])


def test_the_request_arrives_as_it_was_but_for_its_host_and_hop_by_hop_headers(tmp_path):
    """Order, case and unknown headers stay; what was for this connection only goes."""
    data = request(
        "POST", "/v1/x?a=b%20c", ASK, "X-CuStom: Value", "Connection: keep-alive, X-Mine", "X-Mine: 1", "TE: trailers",
        "Keep-Alive: timeout=5", "Authorization: Bearer sk-secret-key-123", "x-agentlocust-run: r1",
    )  # fmt: skip
    with ScriptedServer([READ, reply()]) as server, ProxyServer(tmp_path, server.url + "/base") as proxy:
        exchange(proxy.url, data)
        [seen] = server.requests
    head, _, body = seen.partition(b"\r\n\r\n")
    assert body == ASK
    assert head.split(b"\r\n") == [
        b"POST /base/v1/x?a=b%20c HTTP/1.1",
        f"Host: localhost:{server.port}".encode(),
        b"X-CuStom: Value",
        b"Authorization: Bearer sk-secret-key-123",
        b"Content-Length: %d" % len(ASK),
        b"Connection: keep-alive",
    ]


def test_connections_are_kept_on_both_sides(tmp_path):
    """Three requests on one connection, pipelined or not, use one connection upstream."""
    with ScriptedServer([READ, reply(b"1"), READ, reply(b"2"), READ, reply(b"3")]) as server:
        with ProxyServer(tmp_path, server.url) as proxy, connect(proxy.url) as connection:
            connection.sendall(request("POST", "/a", b"x"))
            assert body_of(connection.recv(65536)) == b"1"
            connection.sendall(request("POST", "/b", b"y") + request("POST", "/c", b"z"))
            rest = read_all(connection)
            assert (body_of(rest)[:1], rest[-1:]) == (b"2", b"3")
        assert server.connections == 1
        assert [seen.split()[1] for seen in server.requests] == [b"/a", b"/b", b"/c"]


def test_a_head_has_no_body_and_the_connection_goes_on(tmp_path):
    """A HEAD's Content-Length is that of a GET: nothing follows it."""
    script = [READ, b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", READ, reply(b"ok")]
    with ScriptedServer(script) as server, ProxyServer(tmp_path, server.url) as proxy, connect(proxy.url) as connection:
        connection.sendall(request("HEAD", "/x", b"", "Content-Length: 0"))
        first = connection.recv(65536)
        connection.sendall(request("GET", "/y", b"", "Content-Length: 0"))
        second = read_all(connection)
    assert first.endswith(b"\r\n\r\n")
    assert second.endswith(b"ok")


def test_who_expects_to_be_told_to_go_on_is_told_by_the_upstream(tmp_path):
    """Expect passes, the interim reply comes back, the body follows."""
    script = [lambda c: c.recv(65536), b"HTTP/1.1 100 Continue\r\n\r\n", lambda c: c.recv(65536), reply(b"got it")]
    with ScriptedServer(script) as server, ProxyServer(tmp_path, server.url) as proxy, connect(proxy.url) as connection:
        connection.sendall(request("POST", "/x", b"", "Content-Length: 5", "Expect: 100-continue"))
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"12345")
        assert read_all(connection).endswith(b"got it")


def test_a_client_that_leaves_ends_the_request_upstream(tmp_path):
    """The upstream's connection closes within moments, and the record says who left."""
    script = [READ, STREAM_HEAD, chunk(token("Hel")), AWAIT_CLOSE]
    with ScriptedServer(script) as server, ProxyServer(tmp_path, server.url) as proxy:
        with connect(proxy.url) as connection:
            connection.sendall(request("POST", CHAT, ASK))
            connection.recv(65536)
        assert server.gone.wait(2)
        [record] = proxy.records(1)
    assert (record["left"], record["failure"]) == (True, "client")


def test_an_upstream_that_is_not_there_is_a_502_of_the_proxys_own(tmp_path):
    """Refused and unresolvable: marked, said, and no failure of a server's."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    for url, kind in ((f"http://127.0.0.1:{port}", "connect"), ("http://nowhere.invalid", "dns")):
        with ProxyServer(tmp_path, url) as proxy:
            answer = exchange(proxy.url, request("POST", CHAT, ASK))
            [record] = proxy.records(1)
        assert answer.startswith(b"HTTP/1.1 502 ")
        assert f"x-agentlocust-proxy: {kind}\r\n".encode() in answer
        assert (record["failure"], record["own"]) == (kind, 502)


def test_an_upstream_that_is_silent_is_a_504(tmp_path):
    """After the time it was given."""
    with ScriptedServer([READ, 5.0]) as server, ProxyServer(tmp_path, server.url, "--timeout", "300ms") as proxy:
        answer = exchange(proxy.url, request("POST", CHAT, ASK))
        [record] = proxy.records(1)
    assert answer.startswith(b"HTTP/1.1 504 ")
    assert record["failure"] == "timeout"


@pytest.mark.parametrize(
    ("sent", "kind"),
    [([RESET], "reset"), ([b"SSH-2.0-x\r\n"], "protocol"), ([b"HTTP/1.1 200 OK\r\nContent-Le"], "reset")],
)
def test_an_upstream_that_breaks_before_it_answers_is_a_502(tmp_path, sent, kind):
    """Nothing half-made reaches the client."""
    with ScriptedServer([READ, *sent]) as server, ProxyServer(tmp_path, server.url) as proxy:
        answer = exchange(proxy.url, request("POST", CHAT, ASK))
        [record] = proxy.records(1)
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert record["failure"] == kind


def test_a_reset_in_mid_stream_is_a_reset_for_the_client_too(tmp_path):
    """What came before it arrives, and the stream is not ended as if it were whole."""
    script = [READ, STREAM_HEAD, chunk(token("Hel")), 0.2, RESET]
    with ScriptedServer(script) as server, ProxyServer(tmp_path, server.url) as proxy:
        got = b""
        with connect(proxy.url) as connection:
            connection.sendall(request("POST", CHAT, ASK))
            with pytest.raises(ConnectionResetError):
                while True:
                    part = connection.recv(65536)
                    assert part, "a FIN"
                    got += part
        [record] = proxy.records(1)
    assert body_of(got) == chunk(token("Hel"))
    assert record["failure"] == "reset"


@pytest.mark.parametrize(
    "bad",
    [
        b"nonsense\r\n\r\n",
        request("POST", "/x", b"", "Content-Length: 3", "Transfer-Encoding: chunked"),
        request("POST", "/x", b"", "Content-Length: 3", "Content-Length: 4"),
        request("POST", "/x", b"", "Transfer-Encoding: gzip, chunked"),
        request("GET", "/x", b"", "Bad Name: 1"),
        b"GET /x HTTP/1.1\r\nX: " + b"y" * 70_000,
    ],
)
def test_a_request_that_could_be_read_in_two_ways_goes_nowhere(tmp_path, bad):
    """400 from the proxy itself, and the upstream never hears of it."""
    with ScriptedServer([READ, reply()]) as server, ProxyServer(tmp_path, server.url) as proxy:
        answer = exchange(proxy.url, bad)
        assert server.connections == 0
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_large_bodies_stream_through_a_slow_reader_without_being_gathered(tmp_path):
    """Back-pressure reaches the upstream: it cannot write a hundred megabytes to a client that does not read."""
    sent = 0

    def pour(connection: socket.socket) -> None:
        nonlocal sent
        connection.settimeout(1.5)
        block = b"z" * 65536
        with contextlib.suppress(TimeoutError):
            for _ in range(1600):
                connection.sendall(block)
                sent += len(block)

    head = b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n"
    with ScriptedServer([READ, head, pour, AWAIT_CLOSE]) as server, ProxyServer(tmp_path, server.url) as proxy:
        with connect(proxy.url) as connection:
            connection.sendall(request("GET", "/file", b"", "Content-Length: 0"))
            time.sleep(2.5)  # it does not read
        assert sent < 30_000_000


def test_a_large_upload_arrives_whole(tmp_path):
    """Its hash is the one that was sent."""
    body = bytes(range(256)) * 40_000
    with ScriptedServer([READ, reply(b"thanks")]) as server, ProxyServer(tmp_path, server.url) as proxy:
        with connect(proxy.url) as connection:
            connection.sendall(request("POST", "/upload", body, "Connection: close"))
            answer = read_all(connection, 20.0)
        [seen] = server.requests
    assert answer.endswith(b"thanks")
    assert hashlib.sha256(seen.partition(b"\r\n\r\n")[2]).digest() == hashlib.sha256(body).digest()


def test_certificates_are_checked(tmp_path):
    """One of an authority that is trusted passes, any other is a 502 that says so."""
    import ssl

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    trusted = {"SSL_CERT_FILE": str(tmp_path / "ca.pem")}
    with ScriptedServer([READ, reply(b"safe")], tls=context) as server:
        with ProxyServer(tmp_path, server.url, env=trusted) as proxy:
            assert exchange(proxy.url, request("POST", "/x", b"1")).endswith(b"safe")
        with ProxyServer(tmp_path, server.url) as proxy:
            answer = exchange(proxy.url, request("POST", CHAT, ASK))
            [record] = proxy.records(1)
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert record["failure"] == "tls"
    assert "certificate" in record["message"]


def test_a_websocket_is_refused_in_so_many_words(tmp_path):
    """With 501 at once, and the upstream is not asked."""
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: eA==")
    with ScriptedServer([READ, reply()]) as server, ProxyServer(tmp_path, server.url) as proxy:
        answer = exchange(proxy.url, request("GET", "/v1/realtime", b"", *upgrade))
        [record] = proxy.records(1)
        assert server.connections == 0
    assert answer.startswith(b"HTTP/1.1 501 ")
    assert b"x-agentlocust-proxy: websocket\r\n" in answer
    assert b"no WebSocket passes here" in answer
    assert record["own"] == 501


def test_tools_are_mounted_below_their_names(tmp_path):
    """A tool's API is asked by its own path, and recorded by its name."""
    with ScriptedServer([READ, reply(b"found")]) as tool, ScriptedServer([READ, reply(b"model")]) as model:
        with ProxyServer(tmp_path, model.url, "--tool", f"search={tool.url}/api") as proxy:
            answer = exchange(proxy.url, request("POST", "/search/v2/find?q=1", b"q"))
            [record] = proxy.records(1)
        assert tool.requests[0].startswith(b"POST /api/v2/find?q=1 HTTP/1.1\r\n")
        assert model.connections == 0
    assert answer.endswith(b"found")
    assert (record["tool"], record["status"]) == ("search", 200)
