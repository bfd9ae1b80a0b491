"""Starts `agentlocust proxy` as people do, speaks to it byte by byte, and reads what it says of what passed."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from harness import clean_environment, get, spawn, wait_until

CLI = (sys.executable, "-c", "from agentlocust.cli import main; main()")


class ProxyServer:
    """A proxy in a process of its own. `records` are those of all requests that have ended."""

    def __init__(self, directory: Path, upstream: str, *args: str, env: dict[str, str] | None = None) -> None:
        name = f"proxy-{uuid.uuid4().hex[:8]}"
        self._stdout, self._stderr = directory / f"{name}.stdout", directory / f"{name}.stderr"
        self._calls = directory / f"{name}.jsonl"
        command = [*CLI, "proxy", "--upstream", upstream, "--calls", str(self._calls), *args]
        self.process: subprocess.Popen[bytes] = spawn(command, directory, clean_environment(name, env), name)
        try:
            wait_until(self._address, "the proxy to listen")
        except BaseException:
            self.close()
            raise
        self.url = self._address()

    def _address(self) -> str:
        assert self.process.poll() is None, self.output()
        found = re.search(r"agentlocust proxy listening on (http://\S+)\n", self._stdout.read_text())
        return found[1] if found else ""

    def output(self) -> str:
        """All it has printed."""
        return self._stdout.read_text() + self._stderr.read_text()

    def written(self) -> str:
        """All it has printed or written of the requests."""
        return self.output() + self._calls.read_text()

    def records(self, count: int = 0) -> list[dict[str, Any]]:
        """The requests' records, once there are so many."""
        wait_until(lambda: len(self._calls.read_text().splitlines()) >= count, f"{count} records", 10)
        return [json.loads(line) for line in self._calls.read_text().splitlines()]

    def totals(self) -> dict[str, Any]:
        """What it has counted."""
        counted: dict[str, Any] = get(f"{self.url}/_proxy")
        return counted

    def close(self) -> None:
        """Stop it."""
        self.process.terminate()
        try:
            self.process.wait(10)
        finally:
            self.process.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def connect(url: str, timeout_s: float = 10.0) -> socket.socket:
    """A bare connection to a loopback URL."""
    address = urlsplit(url)
    return socket.create_connection((address.hostname or "", address.port or 80), timeout_s)


def request(method: str, path: str, body: bytes = b"", *headers: str) -> bytes:
    """The bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: someone.example", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def exchange(url: str, data: bytes) -> bytes:
    """All that comes back until the server closes or has been silent for a second."""
    with connect(url) as connection:
        connection.sendall(data)
        return read_all(connection)


def read_all(connection: socket.socket, quiet_s: float = 1.0) -> bytes:
    """What comes until the other side closes, resets, or says nothing for a while."""
    connection.settimeout(quiet_s)
    got = b""
    try:
        while part := connection.recv(65536):
            got += part
    except (TimeoutError, ConnectionResetError):
        pass
    return got


def body_of(reply: bytes) -> bytes:
    """A reply's body with its framing."""
    return reply.partition(b"\r\n\r\n")[2]
