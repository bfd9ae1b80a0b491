"""Whether a connection is read from: not while anybody has a reason against it."""

from __future__ import annotations

import asyncio


class Intake:
    """The reading side of a connection; each reason is given, and taken back, by its name."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held: set[str] = set()

    def hold(self, why: str) -> None:
        """Read no more for now."""
        if not self._held and not self._transport.is_closing():
            self._transport.pause_reading()
        self._held.add(why)

    def release(self, why: str) -> None:
        """That reason is gone."""
        if why in self._held:
            self._held.discard(why)
            if not self._held and not self._transport.is_closing():
                self._transport.resume_reading()
