"""The stream ends as if it were whole, without its last events."""

from __future__ import annotations

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Draft, Fault, Group, Hit, streams
from agentlocust.faults.frames import FrameRewriter
from agentlocust.faults.injection import End, Piece


class _Rewriter(FrameRewriter):
    def frame(self, raw: bytes, tokens: int) -> list[Piece]:
        """Nothing goes on from the finish reason."""
        if not (self.so_far.finish_reason or self.so_far.terminal):
            return [Piece(raw)]
        self.struck = True
        self.end = End.CLEAN
        return []


def _strike(hit: Hit, draft: Draft) -> bool:
    if draft.answered:
        return False
    dialect = hit.asked.dialect
    draft.links.append(("no_terminal", lambda: _Rewriter(dialect)))
    return True


FAULT = Fault(
    "no_terminal",
    "a clean end without the finish reason and the terminal event",
    Group.STREAM,
    (),
    _strike,
    applies=streams,
    fails_as=frozenset({FailureKind.TRUNCATED_STREAM}),
)
