"""The connection breaks in mid-reply."""

from __future__ import annotations

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Draft, Fault, Group, Hit, flows
from agentlocust.faults.frames import FrameRewriter, WholeRewriter
from agentlocust.faults.injection import End, Piece
from agentlocust.faults.keys import Key, tokens


class _Rewriter(FrameRewriter):
    def __init__(self, dialect: str, after: int) -> None:
        super().__init__(dialect)
        self._after = after

    def frame(self, raw: bytes, tokens: int) -> list[Piece]:
        """The frame that makes the number full is the last; of 0, none with a token goes out."""
        if self.tokens + tokens < max(self._after, 1):
            return [Piece(raw)]
        self.struck = True
        self.end = End.CUT
        return [Piece(raw)] if self._after else []


def _half(rewriter: WholeRewriter, body: bytes) -> bytes:
    rewriter.struck = True
    rewriter.end = End.CUT
    return body[: len(body) // 2]


def _strike(hit: Hit, draft: Draft) -> bool:
    if draft.answered:
        return False
    dialect, after = hit.asked.dialect, hit.values["after"]
    if flows(hit.asked):
        draft.links.append(("cut", lambda: _Rewriter(dialect, after)))
    else:
        draft.links.append(("cut", lambda: WholeRewriter(_half)))
    return True


FAULT = Fault(
    "cut",
    "the connection breaks after so many tokens (a reply that is not streamed: half way)",
    Group.STREAM,
    (Key("after", tokens, "10", "token events"),),
    _strike,
    fails_as=frozenset({FailureKind.TRUNCATED_STREAM, FailureKind.RESET, FailureKind.PROTOCOL}),
)
