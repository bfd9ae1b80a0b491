"""The reply ends at its token limit."""

from __future__ import annotations

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Draft, Fault, Group, Hit, generates
from agentlocust.faults.keys import Key, tokens
from agentlocust.faults.made import answered


def _strike(hit: Hit, draft: Draft) -> bool:
    if draft.answered:
        return False
    words = ["The", *(" answer" for _ in range(hit.values["tokens"] - 1))]
    draft.reply = answered(hit, "length", tuple(words[: hit.values["tokens"]]))
    return True


FAULT = Fault(
    "length",
    "the reply ends after so many tokens with the finish reason length",
    Group.CONTENT,
    (Key("tokens", tokens, "8", "how many"),),
    _strike,
    applies=generates,
    fails_as=frozenset({FailureKind.EMPTY, FailureKind.CHECK}),
)
