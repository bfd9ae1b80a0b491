"""Calls through proxies: plain requests in absolute form, tunnels for TLS, refusals, and no proxy for this machine."""

from __future__ import annotations

import base64
import select
import socket
import ssl

import pytest
import trustme

from agentlocust.failures import FailureKind
from agentlocust.wire import connection as wire_connection
from agentlocust.wire.pool import Pool
from agentlocust.wire.proxies import proxy_for
from scripted_server import CLOSE, READ, RESET, STREAM, ScriptedServer, ask, reply

SECRET = "canary-proxy-secret-42"
BASIC = "Basic " + base64.b64encode(f"user:{SECRET}".encode()).decode()
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    proxy_for.cache_clear()
    yield
    proxy_for.cache_clear()


@pytest.fixture
def authority(tmp_path, monkeypatch):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    wire_connection.tls_context.cache_clear()
    yield authority
    wire_connection.tls_context.cache_clear()


def serving(authority, host):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    return context


class Asked:
    """A step that reads a CONNECT request and keeps it."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []

    def __call__(self, connection: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(1)
        self.heads.append(head)


def tunnel_to(port):
    """A step that carries bytes both ways until one side closes."""

    def carry(connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port)) as other:
            ways = {connection: other, other: connection}
            while True:
                for end in select.select(list(ways), [], [], 10)[0]:
                    data = end.recv(65536)
                    if not data:
                        return
                    ways[end].sendall(data)

    return carry


def through(server, userinfo=""):
    return f"http://{userinfo}127.0.0.1:{server.port}"


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "all_proxy"])
def test_plain_http_goes_to_the_proxy_in_absolute_form(monkeypatch, variable):
    """The proxy gets the whole URL, the host's name unresolved, and its own password; the connection is kept."""
    with ScriptedServer([READ, reply(), READ, STREAM]) as proxy:
        monkeypatch.setenv(variable, through(proxy, f"user:{SECRET}@"))
        pool = Pool()
        outcomes = [ask("http://llm.test:8000", pool=pool, streamed=n == 1)[0] for n in range(2)]
        pool.close()
        assert proxy.connections == 1
    assert [(outcome.failure, outcome.decoded.text) for outcome in outcomes] == [(None, "Hello")] * 2
    for request in proxy.requests:
        lines = request.decode().split("\r\n")
        assert lines[0] == "POST http://llm.test:8000/v1/chat/completions HTTP/1.1"
        assert lines[1] == "Host: llm.test:8000"
        assert lines[2] == f"Proxy-Authorization: {BASIC}"


def test_https_goes_through_a_tunnel(monkeypatch, authority):
    """CONNECT names host and port; TLS is with the origin, which hears nothing of the proxy's password."""
    asked = Asked()
    with (
        ScriptedServer([READ, STREAM, READ, reply()], tls=serving(authority, "llm.test")) as origin,
        ScriptedServer([asked, ESTABLISHED, tunnel_to(origin.port)]) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", through(proxy, f"user:{SECRET}@"))
        pool = Pool()
        outcome, exchange = ask("https://llm.test", pool=pool)
        again, reused = ask("https://llm.test", pool=pool, streamed=False)
        pool.close()
        assert (proxy.connections, origin.connections) == (1, 1)
    assert (outcome.failure, outcome.decoded.text) == (None, "Hello")
    assert (again.failure, reused.reused) == (None, True)
    assert asked.heads == [
        f"CONNECT llm.test:443 HTTP/1.1\r\nHost: llm.test:443\r\nProxy-Authorization: {BASIC}\r\n\r\n".encode()
    ]
    assert origin.requests[0].startswith(b"POST /v1/chat/completions HTTP/1.1\r\nHost: llm.test\r\n")
    assert b"Proxy-Authorization" not in b"".join(origin.requests)
    assert exchange.times is not None
    assert exchange.times.tls_s > 0


def test_the_tunnels_far_end_must_be_the_origin(monkeypatch, authority):
    """A proxy that leads elsewhere is found out by the certificate."""
    with (
        ScriptedServer([READ], tls=serving(authority, "elsewhere.test")) as origin,
        ScriptedServer([Asked(), ESTABLISHED, tunnel_to(origin.port)]) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", through(proxy))
        failure = ask("https://llm.test")[0].failure
    assert failure is not None
    assert failure.kind is FailureKind.TLS


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"], "it answered 407"),
        ([b"HTTP/1.1 502 Bad Gateway\r\n\r\n"], "it answered 502"),
        ([b"HTTP/1.0 403 \x1b[31m\r\n\r\n"], "it answered 403"),
        ([b"SSH-2.0-OpenSSH\r\n\r\n"], "its answer is not HTTP"),
        ([b"HTTP/1.1 20\r\n\r\n"], "its answer is not HTTP"),
        ([b"HTTP/1.1 200 OK\r\n", CLOSE], "its answer is not HTTP"),
        ([b"x" * 70_000], "its answer is not HTTP"),
        ([CLOSE], "its answer is not HTTP"),
        ([RESET], "the proxy broke off"),
    ],
    ids="407 502 403 garbage short cut endless close reset".split(),
)
def test_a_proxy_that_refuses_is_a_failure_to_connect(monkeypatch, authority, answer, said):
    """Its answer is told, its password is not."""
    with ScriptedServer([Asked(), *answer]) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", through(proxy, f"user:{SECRET}@"))
        outcome, _ = ask("https://llm.test")
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.CONNECT
    assert said in outcome.failure.message
    assert SECRET not in repr(outcome)
    assert BASIC not in repr(outcome)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.0 200\r\n\r\n"])
def test_any_2xx_opens_the_tunnel(monkeypatch, authority, answer):
    """RFC 9110, 9.3.6; and a reason phrase may be missing."""
    with (
        ScriptedServer([READ, reply()], tls=serving(authority, "llm.test")) as origin,
        ScriptedServer([Asked(), answer, tunnel_to(origin.port)]) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", through(proxy))
        assert ask("https://llm.test", streamed=False)[0].failure is None


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there_is_a_failure_to_connect(monkeypatch, scheme):
    """Its address is told, so that one knows whom to ask; its password is not."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("ALL_PROXY", f"http://user:{SECRET}@127.0.0.1:{port}")
    outcome, _ = ask(f"{scheme}://llm.test")
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.CONNECT
    assert f"proxy 127.0.0.1:{port}" in outcome.failure.message
    assert SECRET not in repr(outcome)


@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "502 Bad Gateway"])
def test_a_plain_request_that_the_proxy_refuses_fails_with_its_status(monkeypatch, status):
    """Nobody can tell a proxy's 502 from the origin's: the call fails either way, and says the status."""
    with ScriptedServer([READ, reply(b"<html>no</html>", status, "text/html")]) as proxy:
        monkeypatch.setenv("HTTP_PROXY", through(proxy, f"user:{SECRET}@"))
        outcome, _ = ask("http://llm.test")
    assert outcome.failure is not None
    assert outcome.status == int(status[:3])
    assert SECRET not in repr(outcome)


def test_this_machine_and_no_proxy_are_reached_directly(monkeypatch):
    """Loopback never goes through a proxy, nor does what NO_PROXY names."""
    with ScriptedServer([READ]) as proxy, ScriptedServer([READ, reply()]) as server:
        monkeypatch.setenv("HTTP_PROXY", through(proxy))
        monkeypatch.setenv("ALL_PROXY", through(proxy))
        assert ask(server.url, streamed=False)[0].failure is None
        monkeypatch.setenv("NO_PROXY", "llm.invalid")
        failure = ask("http://llm.invalid", streamed=False)[0].failure
        assert proxy.connections == 0
    assert failure is not None
    assert failure.kind is FailureKind.DNS


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_a_server_on_ipv6(monkeypatch):
    """An address in brackets is dialled as IPv6, written so in Host, and reached without a proxy."""
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    monkeypatch.setattr(socket, "create_server", lambda _: listener)
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    with ScriptedServer([READ, STREAM]) as server:
        outcome, _ = ask(f"http://[::1]:{server.port}")
    assert (outcome.failure, outcome.decoded.text) == (None, "Hello")
    assert f"Host: [::1]:{server.port}\r\n".encode() in server.requests[0]
