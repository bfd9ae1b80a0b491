"""When bytes arrived: the kernel's stamp where it can be trusted, else the hub's clock.

Linux stamps each TCP segment as it arrives (SO_TIMESTAMPNS, socket(7)), so the stamp stays true
while the hub is busy with something else. Of bytes read together it tells the last segment's
arrival: an upper bound, never later than the hub's own clock.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import struct
import sys
import time
from collections.abc import Sequence
from socket import SOL_SOCKET
from typing import Any

SO_TIMESTAMPNS = 35  # Linux; the socket module does not name it
ANCILLARY_BYTES = 64
_TIMESPEC = struct.Struct("@qq")
_OFFSET_AGE_NS = 1_000_000_000  # the wall clock may be slewed: its offset is read again each second
_OFFSET_READINGS = 3  # the quickest counts: a process that loses its CPU between two clocks is milliseconds off


@functools.cache
def keep_stamping() -> None:
    """Have the kernel stamp packets from now on, for as long as this process lives.

    It does so only while some socket asks for it, and begins some milliseconds after the first one
    did: without one that stays open, the first bytes of a test's first connections bear no stamp.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as keeper:
        keeper.setsockopt(SOL_SOCKET, SO_TIMESTAMPNS, 1)
        keeper.detach()  # the descriptor stays open


def ask_for_stamps(raw: Any) -> bool:
    """Have the kernel stamp what a socket receives; False where it cannot."""
    if sys.platform != "linux":
        return False
    keep_stamping()
    try:
        raw.setsockopt(SOL_SOCKET, SO_TIMESTAMPNS, 1)
    except OSError:
        return False
    return True


def _offset() -> tuple[int, int]:
    """How long the two clocks took to read, which bounds the error, and how far apart they are."""
    before = time.monotonic_ns()
    wall = time.time_ns()
    after = time.monotonic_ns()
    return after - before, wall - (before + after) // 2


class ArrivalClock:
    """Turns the kernel's wall-clock stamps into monotonic ones, and counts which clock was used."""

    __slots__ = ("_offset_ns", "_offset_read_ns", "hub", "kernel")

    def __init__(self) -> None:
        self.kernel = 0
        self.hub = 0
        self._offset_ns = 0
        self._offset_read_ns = -_OFFSET_AGE_NS

    def arrival_ns(self, ancillary: Sequence[tuple[int, int, bytes]], since_ns: int, now_ns: int) -> int:
        """When the bytes arrived, in monotonic nanoseconds.

        The kernel's stamp counts only between `since_ns`, when the request was sent, and `now_ns`,
        the hub's clock: one outside is from before a step of the wall clock.
        """
        if ancillary:
            _, kind, data = ancillary[0]
            if kind == SO_TIMESTAMPNS and len(data) >= _TIMESPEC.size:
                if now_ns - self._offset_read_ns >= _OFFSET_AGE_NS:
                    self._read_offset(now_ns)
                seconds, nanoseconds = _TIMESPEC.unpack(data[:16])
                stamp_ns: int = seconds * 1_000_000_000 + nanoseconds - self._offset_ns
                if since_ns <= stamp_ns <= now_ns:
                    self.kernel += 1
                    return stamp_ns
        self.hub += 1
        return now_ns

    def take(self) -> dict[str, int]:
        """How many reads each clock stamped since the last take."""
        counts = {"kernel": self.kernel, "hub": self.hub}
        self.kernel = self.hub = 0
        return {clock: n for clock, n in counts.items() if n}

    def _read_offset(self, now_ns: int) -> None:
        self._offset_ns = min(_offset() for _ in range(_OFFSET_READINGS))[1]
        self._offset_read_ns = now_ns


arrivals = ArrivalClock()  # one a process: the offset is the machine's
