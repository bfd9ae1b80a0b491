"""Which proxy the environment names for an origin, and what is said to it."""

from __future__ import annotations

import base64

import pytest

from agentlocust.errors import WireError
from agentlocust.failures import FailureKind
from agentlocust.wire.exchange import HttpRequest
from agentlocust.wire.proxies import Proxy, proxy_for
from agentlocust.wire.target import Origin

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "FTP_PROXY", "REQUEST_METHOD")
HTTP, HTTPS = Origin("http", "llm.test", 80), Origin("https", "llm.test", 443)
SECRET = "pa:ss w@rd/1"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    proxy_for.cache_clear()
    yield
    proxy_for.cache_clear()


def chosen(monkeypatch, origin: Origin, **environment: str) -> Proxy | None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    proxy_for.cache_clear()
    return proxy_for(origin)


@pytest.mark.parametrize(
    ("environment", "origin", "expected"),
    [
        ({}, HTTP, None),
        ({"HTTP_PROXY": "http://p.test:3128"}, HTTP, ("p.test", 3128)),
        ({"http_proxy": "http://p.test:3128"}, HTTP, ("p.test", 3128)),
        ({"HTTP_PROXY": "http://p.test:3128"}, HTTPS, None),
        ({"HTTPS_PROXY": "http://p.test:3128"}, HTTPS, ("p.test", 3128)),
        ({"HTTPS_PROXY": "http://p.test:3128"}, HTTP, None),
        ({"ALL_PROXY": "http://all.test:1"}, HTTP, ("all.test", 1)),
        ({"ALL_PROXY": "http://all.test:1"}, HTTPS, ("all.test", 1)),
        ({"ALL_PROXY": "http://all.test:1", "HTTPS_PROXY": "http://p.test:2"}, HTTPS, ("p.test", 2)),
        ({"HTTP_PROXY": "p.test:3128"}, HTTP, ("p.test", 3128)),
        ({"HTTP_PROXY": "http://p.test"}, HTTP, ("p.test", 80)),
        ({"HTTP_PROXY": "http://[2001:db8::1]:3128/"}, HTTP, ("2001:db8::1", 3128)),
        ({"HTTP_PROXY": ""}, HTTP, None),
    ],
)
def test_the_environment_names_the_proxy(monkeypatch, environment, origin, expected):
    """The scheme's own variable first, ALL_PROXY for the rest; a bare host and port will do."""
    proxy = chosen(monkeypatch, origin, **environment)
    assert (proxy and (proxy.host, proxy.port)) == expected


@pytest.mark.parametrize(
    ("no_proxy", "host", "bypassed"),
    [
        ("llm.test", "llm.test", True),
        ("other.test, .llm.test", "api.llm.test", True),
        ("llm.test", "api.llm.test", True),
        ("llm.test", "notllm.test", False),
        ("llm.test:8000", "llm.test", True),
        ("llm.test:8001", "llm.test", False),
        ("*", "llm.test", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("2001:db8::1", "2001:db8::1", True),
        ("", "llm.test", False),
    ],
)
def test_no_proxy_names_what_is_reached_without(monkeypatch, no_proxy, host, bypassed):
    """A host, what lies below a domain, a host with its port, an address, or everything."""
    origin = Origin("http", host, 8000)
    proxy = chosen(monkeypatch, origin, HTTP_PROXY="http://p.test:3128", NO_PROXY=no_proxy)
    assert (proxy is None) == bypassed


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_this_machine_is_never_reached_through_a_proxy(monkeypatch, host):
    """The embedded mock and local servers are here, whatever the environment says."""
    assert (
        chosen(monkeypatch, Origin("http", host, 80), HTTP_PROXY="http://p.test:1", ALL_PROXY="http://p.test:1") is None
    )


@pytest.mark.parametrize(
    ("variable", "url", "origin"),
    [
        ("HTTP_PROXY", "socks5://user:{}@p.test:1080", HTTP),
        ("HTTPS_PROXY", "https://user:{}@p.test:443", HTTPS),
        ("ALL_PROXY", "socks5h://user:{}@p.test:1080", HTTPS),
        ("HTTP_PROXY", "http://user:{}@p.test:port", HTTP),
        ("HTTP_PROXY", "http://user:{}@p.test:99999", HTTP),
        ("HTTP_PROXY", "http://user:{}@", HTTP),
        ("HTTP_PROXY", "http://user:{}@[::1", HTTP),
        ("HTTP_PROXY", "http://", HTTP),
    ],
)
def test_a_proxy_that_cannot_be_used_is_said_without_its_password(monkeypatch, variable, url, origin):
    """The variable is named, its value is not."""
    with pytest.raises(WireError) as caught:
        chosen(monkeypatch, origin, **{variable: url.format("hunter2secret")})
    assert caught.value.kind == FailureKind.CONNECT
    assert str(caught.value) == f"{variable} is not an http:// URL"


@pytest.mark.parametrize(
    ("userinfo", "pair"),
    [
        ("user:pa%3Ass%20w%40rd%2F1@", f"user:{SECRET}"),
        ("user@", "user:"),
        (":word@", ":word"),
        ("us%C3%A9r:x@", "usér:x"),
        ("user:a%0D%0AX: y@", "user:a\r\nX: y"),
        ("", None),
    ],
)
def test_a_proxys_user_and_password_go_into_one_header(monkeypatch, userinfo, pair):
    """As RFC 7617 says, so that no byte of them can break out of its line."""
    proxy = chosen(monkeypatch, HTTPS, HTTPS_PROXY=f"http://{userinfo}p.test:3128")
    assert proxy is not None
    assert (proxy.host, proxy.port) == ("p.test", 3128)
    expected = "" if pair is None else "Basic " + base64.b64encode(pair.encode()).decode()
    assert proxy.authorization == expected
    assert repr(proxy) == "Proxy(p.test:3128)"


def test_what_opens_a_tunnel():
    """CONNECT with host and port, an IPv6 address in brackets, and the proxy's own header."""
    assert Proxy("p.test", 1).connect_request(HTTPS) == (b"CONNECT llm.test:443 HTTP/1.1\r\nHost: llm.test:443\r\n\r\n")
    assert Proxy("p.test", 1, "Basic eA==").connect_request(Origin("https", "2001:db8::1", 8443)) == (
        b"CONNECT [2001:db8::1]:8443 HTTP/1.1\r\nHost: [2001:db8::1]:8443\r\nProxy-Authorization: Basic eA==\r\n\r\n"
    )


def test_a_request_to_a_proxy_is_in_absolute_form():
    """RFC 9112, 3.2.2; the origin stays in Host, and only a proxy hears the proxy's password."""
    request = HttpRequest("POST", Origin("http", "llm.test", 8000), "/v1/x", [("A", "b")], b"{}")
    head, _, body = request.encode(Proxy("p.test", 1, "Basic eA==")).partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"POST http://llm.test:8000/v1/x HTTP/1.1",
        b"Host: llm.test:8000",
        b"Proxy-Authorization: Basic eA==",
        b"A: b",
        b"Content-Length: 2",
    ]
    assert body == b"{}"
    direct = request.encode()
    assert direct.startswith(b"POST /v1/x HTTP/1.1\r\nHost: llm.test:8000\r\n")
    assert b"Proxy-Authorization" not in direct
