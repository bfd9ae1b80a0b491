"""The provider breaks the stream off with an error event."""

from __future__ import annotations

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Draft, Fault, Group, Hit, streams
from agentlocust.faults.frames import FrameRewriter
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


def _strike(hit: Hit, draft: Draft) -> bool:
    if draft.answered:
        return False
    dialect, values = hit.asked.dialect, hit.values
    draft.links.append(("error_event", lambda: _Rewriter(dialect, values["after"])))
    return True


FAULT = Fault(
    "error_event",
    "an error event in the stream, and its end",
    Group.STREAM,
    (Key("after", tokens, "5", "tokens before it"),),
    _strike,
    applies=streams,
    fails_as=frozenset({FailureKind.STREAM_ERROR, FailureKind.TRUNCATED_STREAM}),
)
