"""The provider breaks the stream off with an error event."""

from __future__ import annotations

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Fault, Group, streams
from agentlocust.faults.frames import FrameRewriter, rewritten_by
from agentlocust.faults.injection import End, Piece
from agentlocust.faults.keys import Key, tokens
from agentlocust.faults.made import error_frame


class _Rewriter(FrameRewriter):
    def __init__(self, dialect: str, after: int) -> None:
        super().__init__(dialect)
        self._after = after
        self._error = error_frame(dialect)

    def frame(self, raw: bytes, tokens: int) -> list[Piece]:
        """The frame that makes the number full is the last before the error."""
        if self.tokens + tokens < max(self._after, 1):
            return [Piece(raw)]
        self.struck = True
        self.end = End.CLEAN
        return [*([Piece(raw)] if self._after else ()), Piece(self._error)]


FAULT = Fault(
    "error_event",
    "an error event in the stream, and its end",
    Group.STREAM,
    (Key("after", tokens, "5", "tokens before it"),),
    rewritten_by("error_event", _Rewriter, "after"),
    applies=streams,
    fails_as=frozenset({FailureKind.STREAM_ERROR, FailureKind.TRUNCATED_STREAM}),
)
