"""Tokens come slowly, one by one."""

from __future__ import annotations

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Fault, Group, flows
from agentlocust.faults.frames import FrameRewriter, rewritten_by
from agentlocust.faults.injection import Piece
from agentlocust.faults.keys import Key, seconds


class _Rewriter(FrameRewriter):
    def __init__(self, dialect: str, gap_s: float) -> None:
        super().__init__(dialect)
        self._gap_s = gap_s

    def frame(self, raw: bytes, tokens: int) -> list[Piece]:
        """A frame with a token waits."""
        if not tokens:
            return [Piece(raw)]
        self.struck = True
        return [Piece(raw, self._gap_s)]


FAULT = Fault(
    "drip",
    "each token comes so much later than the one before it could have",
    Group.STREAM,
    (Key("gap", seconds, "200ms", "before each token"),),
    rewritten_by("drip", _Rewriter, "gap"),
    applies=flows,
    fails_as=frozenset({FailureKind.TIMEOUT}),
)
