"""The prompt is too long: 400."""

from __future__ import annotations

from agentlocust.dialects.answers import Problem
from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Draft, Fault, Group, Hit
from agentlocust.faults.keys import Key, tokens
from agentlocust.faults.made import refused


def _strike(hit: Hit, draft: Draft) -> bool:
    if draft.answered:
        return False
    limit = hit.values["limit"]
    if limit and len(hit.body) // 4 <= limit:
        return False
    draft.reply = refused(hit, Problem(400, "context_length", _message(hit), "messages"))
    return True


def _message(hit: Hit) -> str:
    window = hit.values["limit"] or 8192
    asked = max(len(hit.body) // 4, window + 1)
    if hit.asked.dialect == "anthropic":
        return f"prompt is too long: {asked} tokens > {window} maximum"
    return (
        f"This model's maximum context length is {window} tokens. However, your messages resulted in {asked} tokens. "
        "Please reduce the length of the messages."
    )


FAULT = Fault(
    "context_length",
    "400: the prompt is longer than the context window",
    Group.PROVIDER,
    (Key("limit", tokens, "0", "only prompts of more than so many tokens (4 bytes each); 0: every one"),),
    _strike,
    fails_as=frozenset({FailureKind.CONTEXT_LENGTH}),
)
