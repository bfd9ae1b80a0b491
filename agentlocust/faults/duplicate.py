"""A chunk comes twice."""

from __future__ import annotations

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Draft, Fault, Group, Hit, flows
from agentlocust.faults.frames import FrameRewriter
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


def _strike(hit: Hit, draft: Draft) -> bool:
    if draft.answered:
        return False
    dialect, values = hit.asked.dialect, hit.values
    draft.links.append(("duplicate", lambda: _Rewriter(dialect, values["after"])))
    return True


FAULT = Fault(
    "duplicate",
    "the event of the next token comes twice",
    Group.STREAM,
    (Key("after", tokens, "5", "tokens before it"),),
    _strike,
    applies=flows,
    fails_as=frozenset({FailureKind.CHECK, FailureKind.MALFORMED_STREAM}),
)
