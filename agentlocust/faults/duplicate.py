"""A chunk comes twice."""

from __future__ import annotations

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Fault, Group, flows
from agentlocust.faults.frames import FrameRewriter, rewritten_by
from agentlocust.faults.injection import Piece
from agentlocust.faults.keys import Key, tokens


class _Rewriter(FrameRewriter):
    def __init__(self, dialect: str, after: int) -> None:
        super().__init__(dialect)
        self._after = after

    def frame(self, raw: bytes, tokens: int) -> list[Piece]:
        """The frame with the next token, twice."""
        if self.struck or not self.tokens <= self._after < self.tokens + tokens:
            return [Piece(raw)]
        self.struck = True
        return [Piece(raw), Piece(raw)]


FAULT = Fault(
    "duplicate",
    "the event of the next token comes twice",
    Group.STREAM,
    (Key("after", tokens, "5", "tokens before it"),),
    rewritten_by("duplicate", _Rewriter, "after"),
    applies=flows,
    fails_as=frozenset({FailureKind.CHECK, FailureKind.MALFORMED_STREAM}),
)
