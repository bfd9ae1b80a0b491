"""Proxies named by the environment: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY."""

from __future__ import annotations

import base64
import functools
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]  # not in stubs

from agentlocust.errors import WireError
from agentlocust.failures import FailureKind
from agentlocust.wire.target import Origin


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where a connection goes first; `authorization` is the value of Proxy-Authorization, or ""."""

    host: str
    port: int
    authorization: str = ""

    def __repr__(self) -> str:
        return f"Proxy({self.host}:{self.port})"

    def connect_request(self, origin: Origin) -> bytes:
        """The request that opens a tunnel to `origin` (RFC 9110, section 9.3.6)."""
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        lines = [f"CONNECT {host}:{origin.port} HTTP/1.1", f"Host: {host}:{origin.port}"]
        if self.authorization:
            lines.append(f"Proxy-Authorization: {self.authorization}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@functools.lru_cache(maxsize=256)
def proxy_for(origin: Origin) -> Proxy | None:
    """The proxy for an origin; never one for this machine's own addresses. Raises WireError for a bad URL."""
    if origin.is_loopback:
        return None
    proxies = getproxies_environment()
    scheme = origin.scheme if proxies.get(origin.scheme) else "all"
    url = proxies.get(scheme)
    host, port = origin.host, origin.port
    # NO_PROXY may name a host with its port.
    if not url or any(proxy_bypass_environment(name, proxies) for name in (host, f"{host}:{port}")):
        return None
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port or 80
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme != "http" or not parts.hostname:
        raise WireError(FailureKind.CONNECT, f"{scheme.upper()}_PROXY is not an http:// URL")
    authorization = ""
    if parts.username or parts.password:
        pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode()
    return Proxy(parts.hostname, port, authorization)
