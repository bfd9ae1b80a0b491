"""Characters are split over packets."""

from __future__ import annotations

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Fault, Group, framed
from agentlocust.faults.frames import FrameRewriter, rewritten_by
from agentlocust.faults.injection import Piece

_APART_S = 0.002  # else they would share a packet


class _Rewriter(FrameRewriter):
    def frame(self, raw: bytes, tokens: int) -> list[Piece]:
        """Two pieces of a frame with a token."""
        if not tokens or len(raw) < 2:
            return [Piece(raw)]
        self.struck = True
        inside = next((at for at in range(1, len(raw)) if raw[at] & 0xC0 == 0x80), len(raw) // 2)
        return [Piece(raw[:inside]), Piece(raw[inside:], _APART_S)]


FAULT = Fault(
    "split_utf8",
    "each event of a token comes in two packets, split within a character of several bytes if it has one",
    Group.STREAM,
    (),
    rewritten_by("split_utf8", _Rewriter),
    applies=framed,
    fails_as=frozenset({FailureKind.MALFORMED_STREAM}),
)
