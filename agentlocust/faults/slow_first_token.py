"""The model thinks long: the reply begins, and its first token is late."""

from __future__ import annotations

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Draft, Fault, Group, Hit, begins, flows
from agentlocust.faults.frames import FrameRewriter
from agentlocust.faults.injection import Piece
from agentlocust.faults.keys import Key, seconds


class _Late(FrameRewriter):
    def __init__(self, dialect: str, delay_s: float) -> None:
        super().__init__(dialect)
        self._delay_s = delay_s

    def frame(self, raw: bytes, tokens: int) -> list[Piece]:
        """The first frame with a token waits."""
        if self.struck or not tokens:
            return [Piece(raw)]
        self.struck = True
        return [Piece(raw, self._delay_s)]


def _strike(hit: Hit, draft: Draft) -> bool:
    if draft.answered:
        return False
    dialect, delay_s = hit.asked.dialect, hit.values["delay"]
    if flows(hit.asked):
        draft.links.append(("slow_first_token", lambda: _Late(dialect, delay_s)))
    else:
        draft.first_byte_s += delay_s
    return True


FAULT = Fault(
    "slow_first_token",
    "the first token comes later than it would (of a reply that is not streamed: the first byte)",
    Group.STREAM,
    (Key("delay", seconds, "5s", "how much later"),),
    _strike,
    applies=begins,
    fails_as=frozenset({FailureKind.TIMEOUT}),
)
