"""The stream stops for a while."""

from __future__ import annotations

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Draft, Fault, Group, Hit, flows
from agentlocust.faults.frames import FrameRewriter
from agentlocust.faults.injection import Piece
from agentlocust.faults.keys import Key, seconds, tokens


class _Rewriter(FrameRewriter):
    def __init__(self, dialect: str, after: int, for_s: float) -> None:
        super().__init__(dialect)
        self._after = after
        self._for_s = for_s

    def frame(self, raw: bytes, tokens: int) -> list[Piece]:
        """The frame with the next token waits."""
        if self.struck or not self.tokens <= self._after < self.tokens + tokens:
            return [Piece(raw)]
        self.struck = True
        return [Piece(raw, self._for_s)]


def _strike(hit: Hit, draft: Draft) -> bool:
    if draft.answered:
        return False
    dialect, values = hit.asked.dialect, hit.values
    draft.links.append(("stall", lambda: _Rewriter(dialect, values["after"], values["for"])))
    return True


FAULT = Fault(
    "stall",
    "the stream stops after so many tokens, for so long",
    Group.STREAM,
    (Key("after", tokens, "5", "tokens"), Key("for", seconds, "5s", "how long")),
    _strike,
    applies=flows,
    fails_as=frozenset({FailureKind.TIMEOUT}),
)
