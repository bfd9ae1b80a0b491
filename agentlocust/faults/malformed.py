"""A chunk of the stream is not JSON."""

from __future__ import annotations

import json

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Draft, Fault, Group, Hit, flows
from agentlocust.faults.frames import FrameRewriter, data_of, with_data
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


def _strike(hit: Hit, draft: Draft) -> bool:
    if draft.answered:
        return False
    dialect, values = hit.asked.dialect, hit.values
    draft.links.append(("malformed", lambda: _Rewriter(dialect, values["after"])))
    return True


FAULT = Fault(
    "malformed",
    "the event of the next token is cut in half: no JSON",
    Group.STREAM,
    (Key("after", tokens, "5", "tokens before it"),),
    _strike,
    applies=flows,
    fails_as=frozenset({FailureKind.MALFORMED_STREAM, FailureKind.TRUNCATED_STREAM}),
)
