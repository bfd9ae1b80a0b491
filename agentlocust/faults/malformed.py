"""A chunk of the stream is not JSON."""

from __future__ import annotations

import json

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Fault, Group, flows
from agentlocust.faults.frames import FrameRewriter, data_of, rewritten_by, with_data
from agentlocust.faults.injection import Piece
from agentlocust.faults.keys import Key, tokens


class _Rewriter(FrameRewriter):
    def __init__(self, dialect: str, after: int) -> None:
        super().__init__(dialect)
        self._after = after

    def frame(self, raw: bytes, tokens: int) -> list[Piece]:
        """The frame with the next token is broken."""
        if self.struck or not self.tokens <= self._after < self.tokens + tokens:
            return [Piece(raw)]
        self.struck = True
        if self.terminator:
            body = raw.removesuffix(self.terminator)
            return [Piece(body[: max(len(body) // 2, 1)] + self.terminator)]
        data = json.dumps(data_of(raw) or {}, separators=(",", ":")).encode()
        return [Piece(with_data(raw, data[: max(len(data) // 2, 1)]))]


FAULT = Fault(
    "malformed",
    "the event of the next token is cut in half: no JSON",
    Group.STREAM,
    (Key("after", tokens, "5", "tokens before it"),),
    rewritten_by("malformed", _Rewriter, "after"),
    applies=flows,
    fails_as=frozenset({FailureKind.MALFORMED_STREAM, FailureKind.TRUNCATED_STREAM}),
)
