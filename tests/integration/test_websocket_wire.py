"""A WebSocket on our connections: handshakes, frames in pieces, pings, closes, limits; real sockets."""

from __future__ import annotations

import base64
import hashlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable

import gevent
import pytest
import trustme
from wsproto.frame_protocol import FrameProtocol, Opcode

from agentlocust.dialects.agents.base import AgentRequest, Framing, Message
from agentlocust.errors import WireError
from agentlocust.failures import FailureKind
from agentlocust.users.http_agent_transport import Carrier, Fetched
from agentlocust.wire import connection, websocket
from agentlocust.wire.connection import open_sockets
from agentlocust.wire.exchange import Timeouts
from agentlocust.wire.pool import Pool
from agentlocust.wire.target import Target
from agentlocust.wire.websocket import Refused, WebSocket, close_failure
from scripted_server import AWAIT_CLOSE, CLOSE, RESET, ScriptedServer

TIMEOUTS = Timeouts(2.0, 0.5, 0.3, 5.0)
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept(connection: socket.socket) -> None:
    """Answer the handshake."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(4096)
    key = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")).split()[1]
    answer = base64.b64encode(hashlib.sha1(key + GUID).digest())
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + answer + b"\r\n\r\n"
    )


def frame(payload: bytes, opcode: int = 1, *, last: bool = True) -> bytes:
    """One unmasked frame, as a server sends it."""
    size = len(payload)
    length = bytes([size]) if size < 126 else b"\x7e" + struct.pack("!H", size) if size < 65536 else b""
    return bytes([(0x80 if last else 0) | opcode]) + (length or b"\x7f" + struct.pack("!Q", size)) + payload


def close_frame(code: int, reason: str = "") -> bytes:
    return frame(struct.pack("!H", code) + reason.encode(), 8)


def heard(into: list[tuple[Opcode, bytes]], n: int) -> Callable[[socket.socket], None]:
    """A step that reads `n` frames of the client's."""

    def read(connection: socket.socket) -> None:
        protocol = FrameProtocol(client=False, extensions=[])
        while len(into) < n:
            protocol.receive_bytes(connection.recv(4096))
            for got in protocol.received_frames():
                payload = got.payload
                into.append((got.opcode, payload.encode() if isinstance(payload, str) else payload))

    return read


def open_to(server: ScriptedServer, timeouts: Timeouts = TIMEOUTS) -> WebSocket:
    return WebSocket(Target.parse(server.url).origin, "/ws", [("X-Own", "1")], timeouts)


def test_messages_go_both_ways_in_whatever_frames():
    """Fragments are one message, control frames between them are none; pings are answered, a close too."""
    frames: list[tuple[Opcode, bytes]] = []
    script = (
        accept,
        frame(b"hel", last=False) + frame(b"are you there?", 9) + frame("lö".encode(), 0),
        frame(b"\x00\x01", 2),
        heard(frames, 2),
        close_frame(1000, "bye"),
        AWAIT_CLOSE,
    )
    with ScriptedServer(script) as server:
        ws = open_to(server)
        ws.send("grüezi")
        (stamp, first), (later, second) = ws.receive(1), ws.receive(1)
        assert (first, second) == ("hellö".encode(), b"\x00\x01")
        assert 0 < stamp <= later
        assert ws.receive(1) is None
        assert (ws.close_code, ws.close_reason, ws.open) == (1000, "bye", False)
        ws.close()
        assert sorted(frames) == [(Opcode.TEXT, "grüezi".encode()), (Opcode.PONG, b"are you there?")]
    assert open_sockets() == 0


def test_pings_are_answered_while_nobody_reads():
    """A session that thinks is not taken for dead."""
    frames: list[tuple[Opcode, bytes]] = []
    done = threading.Event()

    def answered(connection: socket.socket) -> None:
        heard(frames, 1)(connection)
        done.set()

    with ScriptedServer((accept, 0.05, frame(b"there?", 9), answered, 0.5)) as server:
        ws = open_to(server)
        ws.rest()
        with gevent.Timeout(2):
            while not done.is_set():
                gevent.sleep(0.01)
        ws.abort()
    assert frames == [(Opcode.PONG, b"there?")]


def test_bytes_may_arrive_one_by_one():
    """Handshake and frames are read from any pieces."""
    data = frame(b"a" * 300) + frame(b"b") + close_frame(1000)

    def drip(connection: socket.socket) -> None:
        for byte in data:
            connection.sendall(bytes([byte]))

    with ScriptedServer((accept, drip, AWAIT_CLOSE)) as server:
        ws = open_to(server)
        assert [ws.receive(1)[1], ws.receive(1)[1], ws.receive(1)] == [b"a" * 300, b"b", None]
        ws.close()


def test_a_server_that_answers_with_an_error_refuses():
    """Its status and its words make the failure."""
    body = b'{"error": {"message": "slow down"}}'
    head = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: %d\r\n\r\n" % len(body)
    with ScriptedServer((_head, head, body)) as server, pytest.raises(Refused) as caught:
        open_to(server)
    assert (caught.value.failure.kind, caught.value.failure.status) == (FailureKind.RATE_LIMITED, 429)
    assert caught.value.failure.message == "slow down"
    assert open_sockets() == 0


def _head(connection: socket.socket) -> None:
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(4096)


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ((_head, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"), "protocol"),
        ((_head, b"220 smtp.example.org ESMTP\r\n\r\n"), "protocol"),
        ((_head, b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n"), "protocol"),
        ((_head, CLOSE), "reset"),
        ((_head, RESET), "reset"),
        ((_head, 2.0), "timeout"),
    ],
)
def test_a_handshake_that_is_none_fails_by_kind(script, kind):
    """Another protocol, a wrong accept key, a closed connection, silence."""
    with ScriptedServer(script) as server, pytest.raises(WireError) as caught:
        open_to(server)
    assert caught.value.kind == kind
    assert open_sockets() == 0


def ask(server: ScriptedServer) -> Fetched:
    """The failure of one message over a WebSocket."""
    carrier = Carrier(Pool(), Target.parse(server.url), [], TIMEOUTS)
    request = AgentRequest("/ws", {"q": 1}, framing=Framing.WEBSOCKET)
    ws = carrier.connect(request, TIMEOUTS)
    try:
        return carrier.talk(
            ws, request, lambda message: isinstance(message, Message) and message.data == b"end", TIMEOUTS
        )
    finally:
        ws.abort()


@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        ((frame(b"end"), 1.0), None),
        ((frame(b"x"), 2.0), "timeout"),
        ((2.0,), "timeout"),
        ((frame(b"x"), CLOSE), "reset"),
        ((frame(b"x"), RESET), "reset"),
        ((frame(b"x")[:-1], CLOSE), "reset"),
        ((close_frame(1000),), "truncated_stream"),
        ((close_frame(1008, "policy"),), "bad_request"),
        ((close_frame(1011),), "server_error"),
        ((close_frame(1013),), "overloaded"),
        ((close_frame(4401),), "auth"),
        ((close_frame(4429, "slow down"),), "rate_limited"),
        ((close_frame(4000),), "stream_error"),
        ((frame(b"\xff\xfe"),), "protocol"),
        ((frame(b"x", 3),), "protocol"),
        ((b"\xc1\x00",), "protocol"),
    ],
)
def test_an_answer_that_never_ends_fails_by_kind(steps, kind):
    """Closes by their codes, broken connections, silence, frames that are none."""
    with ScriptedServer((accept, *steps)) as server:
        fetched = ask(server)
    assert (fetched.failure and fetched.failure.kind) == kind
    assert open_sockets() == 0


def test_an_endless_message_is_cut_off(monkeypatch):
    """A hostile service fills no memory."""
    monkeypatch.setattr(websocket, "MAX_MESSAGE", 50_000)

    def flood(connection: socket.socket) -> None:
        connection.sendall(frame(b"x" * 1000, last=False))
        while True:
            connection.sendall(frame(b"x" * 1000, 0, last=False))

    with ScriptedServer((accept, flood)) as server:
        fetched = ask(server)
    assert fetched.failure.kind is FailureKind.TOO_LARGE


def test_it_goes_over_tls(monkeypatch, tmp_path):
    """The same certificates are asked for as of any other request."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    connection.tls_context.cache_clear()
    try:
        with ScriptedServer((accept, frame(b"end"), 1.0), tls=context) as server:
            assert ask(server).failure is None
    finally:
        connection.tls_context.cache_clear()


@pytest.mark.parametrize(
    ("code", "kind"), [(1006, "reset"), (1009, "too_large"), (4503, "overloaded"), (3000, "stream_error")]
)
def test_a_close_code_is_a_kind(code, kind):
    """Applications' own 44xx and 45xx are HTTP's 4xx and 5xx."""
    assert close_failure(code, "").kind == kind
