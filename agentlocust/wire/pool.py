"""The connections of one user: kept alive between calls, never shared with another user."""

from __future__ import annotations

import time

from agentlocust.wire.connection import Connection, open_connection
from agentlocust.wire.target import Origin

MAX_IDLE_S = 60.0


class Pool:
    """Idle connections by origin, newest first.

    A user has as many connections as it has calls under way at once, as a browser or SDK would.
    """

    def __init__(self) -> None:
        self._idle: dict[Origin, list[Connection]] = {}
        self._closed = False

    def acquire(self, origin: Origin, timeout: float) -> Connection:
        """An idle connection that still lives, else a new one. Raises WireError."""
        idle = self._idle.get(origin, [])
        now = time.monotonic()
        while idle:
            connection = idle.pop()
            if now - connection.idle_since < MAX_IDLE_S and connection.looks_alive():
                return connection
            connection.close()
        return open_connection(origin, timeout)

    def release(self, connection: Connection, *, reusable: bool) -> None:
        """Give a connection back after its reply; one that cannot be used again is closed."""
        if not reusable or self._closed or connection.closed:
            connection.close()
            return
        connection.rest()
        connection.used += 1
        connection.idle_since = time.monotonic()
        self._idle.setdefault(connection.origin, []).append(connection)

    def close(self) -> None:
        """Close every idle connection; those in use close when they come back."""
        self._closed = True
        for idle in self._idle.values():
            for connection in idle:
                connection.close()
        self._idle.clear()
