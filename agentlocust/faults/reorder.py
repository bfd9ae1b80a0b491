"""Two chunks come in the wrong order."""

from __future__ import annotations

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Fault, Group, framed
from agentlocust.faults.frames import FrameRewriter, rewritten_by
from agentlocust.faults.injection import Piece
from agentlocust.faults.keys import Key, tokens


class _Rewriter(FrameRewriter):
    def __init__(self, dialect: str, after: int) -> None:
        super().__init__(dialect)
        self._after = after
        self._held = b""

    def frame(self, raw: bytes, tokens: int) -> list[Piece]:
        """The frame with the next token is held back until the one after it has gone."""
        if self._held:
            held, self._held = self._held, b""
            self.struck = True
            return [Piece(raw), Piece(held)]
        if self.struck or not self.tokens <= self._after < self.tokens + tokens:
            return [Piece(raw)]
        self._held = raw
        return []

    def last(self) -> list[Piece]:
        """A frame that nothing followed."""
        return [Piece(self._held)] if self._held else []


FAULT = Fault(
    "reorder",
    "the events of the next two tokens change places",
    Group.STREAM,
    (Key("after", tokens, "5", "tokens before them"),),
    rewritten_by("reorder", _Rewriter, "after"),
    applies=framed,
    fails_as=frozenset({FailureKind.CHECK, FailureKind.MALFORMED_STREAM}),
)
