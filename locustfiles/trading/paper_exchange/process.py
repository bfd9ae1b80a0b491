"""The exchange as a child process: started, set up and asked for the truth by whoever runs a scenario."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

FOLDER = Path(__file__).resolve().parents[1]
PATIENCE_S = 10.0


class ExchangeProcess:
    """A running exchange: its `pid`, its `port` on the loopback, and the `key` and `secret` of its one account.

    It ends with `stop`, and when this process does, however that ends: it holds the child's stdin.
    """

    def __init__(self) -> None:
        """Raises RuntimeError, with what the exchange wrote, when it does not start."""
        self.key, self.secret = secrets.token_hex(8), secrets.token_hex(16)
        path = os.pathsep.join(filter(None, (str(FOLDER), os.environ.get("PYTHONPATH"))))
        mine = {"PYTHONPATH": path, "PAPER_KEY": self.key, "PAPER_SECRET": self.secret}
        kept = {name: value for name, value in os.environ.items() if "KEY" not in name and "SECRET" not in name}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "paper_exchange"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**kept, **mine},
            start_new_session=True,  # a terminal's Ctrl-C is not for it
        )
        line = self._first_line()
        if "listening on" not in line:
            self.stop()
            raise RuntimeError(f"the paper exchange did not start: {line.strip() or 'it was silent'}")
        self.pid = self._process.pid
        self.port = int(line.rsplit(":", 1)[1])

    def _first_line(self) -> str:
        """What it says when it listens; waits in `select`, so that under gevent others go on meanwhile."""
        assert self._process.stdout is not None
        until, line = time.monotonic() + PATIENCE_S, b""
        while not line.endswith(b"\n") and (left := until - time.monotonic()) > 0:
            if select.select([self._process.stdout], [], [], left)[0]:
                part = os.read(self._process.stdout.fileno(), 4096)
                line += part
                if not part:
                    break
        return line.decode("utf-8", "replace")

    def setup(self, **setup: Any) -> None:
        """Start a scenario; see `Venue`. Raises ValueError for what makes no sense."""
        self.ask("POST", "/_venue/setup", setup)

    def step(self, seconds: float) -> None:
        """Let stepped time pass."""
        self.ask("POST", f"/_venue/step?seconds={seconds!r}")

    def truth(self) -> dict[str, Any]:
        """What really happened since `setup`."""
        return self.ask("GET", "/_venue/truth")

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """One request of whoever judges. Raises ValueError when it is refused."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            connection.request(method, path, json.dumps(body) if body is not None else None)
            reply = connection.getresponse()
            told: dict[str, Any] = json.loads(reply.read())
        if reply.status != 200:
            raise ValueError(f"{method} {path}: {told.get('error', reply.status)}")
        return told

    def stop(self) -> None:
        """End the exchange and wait for its end; more calls do nothing."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()
