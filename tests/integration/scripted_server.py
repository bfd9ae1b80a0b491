"""A raw socket server in real threads that does, connection by connection, what a test's script says."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Sequence
from enum import Enum
from types import TracebackType
from typing import Self

from agentlocust.dialects import by_name
from agentlocust.wire.exchange import Exchange, HttpRequest, Timeouts
from agentlocust.wire.pool import Pool
from agentlocust.wire.tap import Outcome, Tap
from agentlocust.wire.target import Target


class Do(Enum):
    """What a script does beside sending bytes and sleeping."""

    READ = "read one whole request"
    RESET = "close with an RST"
    CLOSE = "close with a FIN, for TLS without close_notify"
    AWAIT_CLOSE = "read until the client closes"


READ, RESET, CLOSE, AWAIT_CLOSE = Do

Step = bytes | float | int | Do | Callable[[socket.socket], object]
Script = Sequence[Step]

JSON_BODY = (
    b'{"id":"r1","model":"gpt-4o-mini","choices":[{"message":{"content":"Hello"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":5,"completion_tokens":1}}'
)


def reply(
    body: bytes = JSON_BODY, status: str = "200 OK", content_type: str = "application/json", more: str = ""
) -> bytes:
    """A reply of a known length; `more` holds further header lines, each ended by CRLF."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


END = b"0\r\n\r\n"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
DONE = b"data: [DONE]\n\n"
STOP = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2}}\n\n'


def token(text: str) -> bytes:
    """One token event of a streamed chat completion."""
    return b'data: {"model":"gpt-4o-mini","choices":[{"delta":{"content":"%s"}}]}\n\n' % text.encode()


STREAM = STREAM_HEAD + b"".join(map(chunk, (token("Hel"), token("lo"), STOP, USAGE, DONE))) + END


class ScriptedServer:
    """Listens on a free loopback port; the n-th connection follows the n-th script, later ones the last.

    `requests` holds the raw requests that were read, `connections` counts those accepted, `gone` is
    set when a script's AWAIT_CLOSE saw the client close.
    """

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.gone = threading.Event()
        self.problems: list[BaseException] = []
        self._scripts = scripts
        self._tls = tls
        self._stopping = threading.Event()
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'https' if self._tls else 'http'}://localhost:{self.port}"

    def _start(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            script = self._scripts[min(self.connections, len(self._scripts) - 1)]
            self.connections += 1
            self._open.append(connection)
            self._start(self._serve, connection, script)

    def _serve(self, connection: socket.socket, script: Script) -> None:
        # A client that goes away in the middle of a script is what many tests are about.
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True, suppress_ragged_eofs=True)
                self._open.append(connection)
            for step in script:
                if self._stopping.is_set():
                    return
                self._do(connection, step)
        connection.close()

    def _do(self, connection: socket.socket, step: Step) -> None:
        if isinstance(step, bytes):
            connection.sendall(step)
        elif step is READ:
            self.requests.append(read_request(connection))
        elif step is RESET:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        elif step is CLOSE:
            connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        elif step is AWAIT_CLOSE:
            with contextlib.suppress(OSError):
                while connection.recv(65536):
                    pass
            self.gone.set()
        elif callable(step):
            step(connection)
        else:
            self._stopping.wait(float(step))  # type: ignore[arg-type]

    def close(self) -> None:
        """End every connection and thread."""
        self._stopping.set()
        for open_ in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                open_.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        for open_ in (self._listener, *self._open):
            open_.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def read_request(connection: socket.socket) -> bytes:
    """One request with its body; ConnectionError when the client closed before it was whole."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += _more(connection)
    return head + b"\r\n\r\n" + body


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("the client closed")
    return data


def repeat(data: bytes, pause_s: float = 0.0) -> Callable[[socket.socket], None]:
    """A step that sends the same bytes until the client goes away."""

    def send(connection: socket.socket) -> None:
        while True:
            connection.sendall(data)
            if pause_s:
                time.sleep(pause_s)

    return send


def ask(
    url: str,
    *,
    streamed: bool = True,
    dialect: str = "openai-chat",
    pool: Pool | None = None,
    timeouts: Timeouts | None = None,
    body: bytes = b"{}",
    path: str = "/v1/chat/completions",
) -> tuple[Outcome, Exchange]:
    """One call over the wire as a user makes it."""
    tap = Tap(by_name(dialect), streamed=streamed)
    request = HttpRequest("POST", Target.parse(url).origin, path, [("Content-Type", "application/json")], body)
    connections = pool or Pool()
    exchange = Exchange(connections, request, timeouts or Timeouts(2.0, 5.0, 5.0, 10.0))
    tap.watch(exchange)
    try:
        exchange.send()
        exchange.wait_end()
    finally:
        exchange.close()
        if pool is None:
            connections.close()
    return tap.settle(), exchange
