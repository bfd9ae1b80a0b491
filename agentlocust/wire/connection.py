"""One TCP or TLS connection, read by the hub: its callback stamps the clock and feeds the reply."""

from __future__ import annotations

import errno
import functools
import os
import socket as stdlib_socket
import ssl
import time
from typing import Any, Protocol

import gevent

from agentlocust.errors import WireError
from agentlocust.failures import FailureKind
from agentlocust.wire.clock import ANCILLARY_BYTES, arrivals, ask_for_stamps
from agentlocust.wire.dial import dial
from agentlocust.wire.proxies import Proxy
from agentlocust.wire.target import Origin

_READ = 1  # libev's EV_READ
_BUFFER = 65536
_AGAIN = (errno.EAGAIN, errno.EWOULDBLOCK)


class Receiver(Protocol):
    """Who is told, in the hub, of what arrives."""

    def on_data(self, now_ns: int, data: bytes) -> None:
        """Bytes arrived; b"" when the other side closed."""

    def on_error(self, error: WireError) -> None:
        """The connection broke."""


_open: set[Connection] = set()


@functools.cache
def tls_context() -> ssl.SSLContext:
    """The process's one TLS context: making one costs 16 ms of CPU and 0.8 MB."""
    context = ssl.create_default_context()
    for variable, load in (("SSL_CERT_FILE", "cafile"), ("SSL_CERT_DIR", "capath")):
        if path := os.environ.get(variable):
            try:
                context.load_verify_locations(**{load: path})
            except OSError as error:
                raise WireError(FailureKind.TLS, f"{variable} names no certificates: {error}") from None
    return context


class Connection:
    """An open connection to one origin. Only one request is on it at a time.

    `connect` raises WireError (dns, connect, tls, timeout); so does `send` (reset, timeout).
    """

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.used = 0
        self.idle_since = 0.0
        self.dns_s = self.connect_s = self.tls_s = 0.0
        self.proxy: Proxy | None = None  # that requests on it are written for
        self._since_ns = 0
        self._stamped = False
        self._socket: Any = None
        self._raw: Any = None
        self._watcher: Any = None
        self._receiver: Receiver | None = None
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()

    # -- opening -----------------------------------------------------------------------------

    def connect(self, timeout: float) -> None:
        """Resolve, connect and, for https, shake hands, within `timeout` seconds."""
        with gevent.Timeout(timeout, WireError(FailureKind.TIMEOUT, f"no connection within {timeout:g} s")):
            try:
                self._open()
                if self.origin.scheme == "https":
                    self._shake_hands()
            except BaseException:
                self.close()
                raise

    def _open(self) -> None:
        dialled = dial(self.origin)
        self.proxy = dialled.proxy
        self.dns_s, self.connect_s = dialled.dns_s, dialled.connect_s
        self._socket = dialled.socket
        self._raw = self._socket._sock  # the plain socket below gevent's: the hub's callback reads it
        self._stamped = ask_for_stamps(self._raw)
        self._watcher = gevent.get_hub().loop.io(self._socket.fileno(), _READ)
        _open.add(self)

    def _shake_hands(self) -> None:
        begun = time.monotonic()
        try:
            tls = tls_context().wrap_bio(self._incoming, self._outgoing, server_hostname=self.origin.host)
            while not self._handshake_step(tls):
                data = self._socket.recv(_BUFFER)
                if not data:
                    raise WireError(FailureKind.TLS, "the server closed during the TLS handshake")
                self._incoming.write(data)
        except (OSError, ValueError) as error:  # ssl's own errors are both; so is a reset in mid-handshake
            raise WireError(FailureKind.TLS, f"TLS with {self.origin} failed: {error}") from None
        self._tls = tls
        self.tls_s = time.monotonic() - begun

    def _handshake_step(self, tls: ssl.SSLObject) -> bool:
        """Go as far as the bytes at hand allow, and send what that made; True when it is done."""
        try:
            tls.do_handshake()
            return True
        except ssl.SSLWantReadError:
            return False
        finally:
            self._flush()  # after a failure, the alert that says why

    # -- using -------------------------------------------------------------------------------

    def send(self, data: bytes, timeout: float) -> None:
        """Send a request; the greenlet waits, at most `timeout` seconds, while the kernel's buffer is full."""
        self._socket.settimeout(timeout)
        try:
            if self._tls is not None:
                self._tls.write(data)
                self._flush()
            else:
                self._socket.sendall(data)
        except TimeoutError:
            raise WireError(FailureKind.TIMEOUT, f"the server took no bytes for {timeout:g} s") from None
        except (OSError, ssl.SSLError) as error:
            raise WireError(FailureKind.RESET, f"the connection broke while sending: {error}") from None

    def receive_into(self, receiver: Receiver) -> None:
        """Hand all that arrives to `receiver`, from the hub, until `rest`."""
        self._receiver = receiver
        self._since_ns = time.monotonic_ns()
        self._watcher.start(self._on_readable)

    def rest(self) -> None:
        """Stop reading; the connection may be used again."""
        self._receiver = None
        if self._watcher is not None:
            self._watcher.stop()

    def looks_alive(self) -> bool:
        """False when the server closed, or spoke unasked, while the connection was idle or after its reply."""
        if self._tls is not None:
            return self._tls_looks_alive(self._tls)
        try:
            self._raw.recv(1, stdlib_socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def _tls_looks_alive(self, tls: ssl.SSLObject) -> bool:
        # Bytes are no speech here: session tickets and key updates come unasked.
        try:
            data = self._raw.recv(_BUFFER)
            if not data:
                return False
            self._incoming.write(data)
        except BlockingIOError:
            pass
        except OSError:
            return False
        try:
            tls.read(1)
        except ssl.SSLWantReadError:
            return True
        except ssl.SSLError:
            return False
        return False

    def close(self) -> None:
        """Free the socket at once, whatever is under way."""
        self._receiver = None
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None
        if self._socket is not None:
            _open.discard(self)
            self._socket.close()
            self._socket = self._raw = None

    @property
    def closed(self) -> bool:
        """True once the socket is gone."""
        return self._socket is None

    # -- in the hub --------------------------------------------------------------------------

    def _on_readable(self) -> None:
        now_ns = time.monotonic_ns()
        receiver = self._receiver
        if receiver is None:
            return
        try:
            if self._stamped:
                data, ancillary, _, _ = self._raw.recvmsg(_BUFFER, ANCILLARY_BYTES)
                # From here on no earlier stamp is believed: gaps are never negative.
                now_ns = self._since_ns = arrivals.arrival_ns(ancillary, self._since_ns, now_ns)
            else:
                data = self._raw.recv(_BUFFER)
        except OSError as error:
            if error.errno not in _AGAIN:
                receiver.on_error(WireError(FailureKind.RESET, f"the connection broke: {error.strerror}"))
            return
        if self._tls is None:
            receiver.on_data(now_ns, data)
        else:
            self._decrypt(now_ns, data, receiver)

    def _decrypt(self, now_ns: int, data: bytes, receiver: Receiver) -> None:
        tls = self._tls
        assert tls is not None
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        while self._receiver is receiver:
            try:
                plain = tls.read(_BUFFER)
            except ssl.SSLWantReadError:
                return
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                plain = b""  # many servers close without close_notify; what HTTP promised is still checked
            except ssl.SSLError as error:
                receiver.on_error(WireError(FailureKind.TLS, f"TLS broke: {error.reason}"))
                return
            receiver.on_data(now_ns, plain)
            if not plain:
                return

    def _flush(self) -> None:
        if pending := self._outgoing.read():
            self._socket.sendall(pending)


def open_connection(origin: Origin, timeout: float) -> Connection:
    """A new connection. Raises WireError."""
    connection = Connection(origin)
    connection.connect(timeout)
    return connection


def open_sockets() -> int:
    """How many connections this process has open."""
    return len(_open)
