"""Opens a TCP connection: names resolved without blocking the hub, every address tried, proxies honoured."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

from gevent import socket

from agentlocust.errors import WireError
from agentlocust.failures import FailureKind
from agentlocust.wire.proxies import Proxy, proxy_for
from agentlocust.wire.target import Origin

_MAX_TUNNEL_REPLY = 64 * 1024
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})[ \r]")


@dataclass(frozen=True, slots=True)
class Dialled:
    """An open socket, how long it took, and the proxy that plain-http requests on it are for, if any."""

    socket: Any
    dns_s: float
    connect_s: float
    proxy: Proxy | None


def dial(origin: Origin) -> Dialled:
    """A socket whose other end is the origin, perhaps through a tunnel, or a proxy for plain http.

    Raises WireError: dns, connect.
    """
    proxy = proxy_for(origin)
    host, port = (origin.host, origin.port) if proxy is None else (proxy.host, proxy.port)
    begun = time.monotonic()
    addresses = _resolve(host, port)
    resolved = time.monotonic()
    connected = _connect(addresses, f"proxy {host}:{port}" if proxy is not None else str(origin))
    if proxy is not None and origin.scheme == "https":
        try:
            _open_tunnel(connected, proxy, origin)
        except BaseException:
            connected.close()
            raise
        proxy = None  # from here on the other end is the origin
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Dialled(connected, resolved - begun, time.monotonic() - resolved, proxy)


def _resolve(host: str, port: int) -> list[Any]:
    try:
        return list(socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM))
    except socket.gaierror as error:
        raise WireError(FailureKind.DNS, f"cannot resolve {host}: {error.strerror}") from None
    except UnicodeError:
        raise WireError(FailureKind.DNS, f"{host[:80]} is not a host name") from None


def _connect(addresses: list[Any], where: str) -> Any:
    problem: OSError | None = None
    for family, kind, protocol, _, address in addresses:
        try:
            candidate = socket.socket(family, kind, protocol)
        except OSError as error:  # no more file descriptors, or no such family here
            problem = error
            continue
        try:
            candidate.connect(address)
        except OSError as error:
            candidate.close()
            problem = error
            continue
        except BaseException:
            candidate.close()
            raise
        return candidate
    reason = problem.strerror if problem is not None and problem.strerror else str(problem)
    raise WireError(FailureKind.CONNECT, f"cannot connect to {where}: {reason}") from None


def _open_tunnel(connected: Any, proxy: Proxy, origin: Origin) -> None:
    reply = b""
    try:
        connected.sendall(proxy.connect_request(origin))
        while b"\r\n\r\n" not in reply and len(reply) < _MAX_TUNNEL_REPLY:
            data = connected.recv(4096)
            if not data:
                break
            reply += data
    except OSError as error:
        raise WireError(FailureKind.CONNECT, f"the proxy broke off: {error}") from None
    answered = _STATUS.match(reply)
    if answered is None or b"\r\n\r\n" not in reply:
        raise WireError(FailureKind.CONNECT, f"the proxy would not tunnel to {origin}: its answer is not HTTP")
    if not answered[1].startswith(b"2"):  # any 2xx opens the tunnel
        raise WireError(
            FailureKind.CONNECT, f"the proxy would not tunnel to {origin}: it answered {answered[1].decode()}"
        )
