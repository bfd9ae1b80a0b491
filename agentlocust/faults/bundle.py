"""A proxy holds the stream back and sends it in one piece."""

from __future__ import annotations

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Fault, Group, framed
from agentlocust.faults.frames import FrameRewriter, rewritten_by
from agentlocust.faults.injection import Piece


class _Rewriter(FrameRewriter):
    def __init__(self, dialect: str) -> None:
        super().__init__(dialect)
        self._held: list[bytes] = []

    def frame(self, raw: bytes, tokens: int) -> list[Piece]:
        """It is held back."""
        self._held.append(raw)
        self.struck |= tokens > 0
        return []

    def last(self) -> list[Piece]:
        """All of it."""
        return [Piece(b"".join(self._held))] if self._held else []


FAULT = Fault(
    "bundle",
    "the whole stream comes in one piece, at its end",
    Group.STREAM,
    (),
    rewritten_by("bundle", _Rewriter),
    applies=framed,
    fails_as=frozenset({FailureKind.TIMEOUT}),
)
