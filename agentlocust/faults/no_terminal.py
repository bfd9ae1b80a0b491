"""The stream ends as if it were whole, without its last events."""

from __future__ import annotations

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Fault, Group, streams
from agentlocust.faults.frames import FrameRewriter, rewritten_by
from agentlocust.faults.injection import End, Piece


class _Rewriter(FrameRewriter):
    def frame(self, raw: bytes, tokens: int) -> list[Piece]:
        """Nothing goes on from the finish reason."""
        if not (self.so_far.finish_reason or self.so_far.terminal):
            return [Piece(raw)]
        self.struck = True
        self.end = End.CLEAN
        return []


FAULT = Fault(
    "no_terminal",
    "a clean end without the finish reason and the terminal event",
    Group.STREAM,
    (),
    rewritten_by("no_terminal", _Rewriter),
    applies=streams,
    fails_as=frozenset({FailureKind.TRUNCATED_STREAM}),
)
