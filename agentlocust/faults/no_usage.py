"""The reply does not tell what it cost."""

from __future__ import annotations

from typing import Any

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Draft, Fault, Group, Hit, generates
from agentlocust.faults.frames import Editor, WholeRewriter, edited_body


def _edit(event: dict[str, Any]) -> bool | None:
    """Without usage, wherever the dialects tell it; a chunk that held nothing else is dropped."""
    found = False
    for holder in (event, event.get("message"), event.get("response")):
        if isinstance(holder, dict) and isinstance(holder.get("usage"), dict):
            del holder["usage"]
            found = True
    if not found:
        return None
    return event.get("choices") != []


def _strike(hit: Hit, draft: Draft) -> bool:
    if draft.answered:
        return False
    dialect = hit.asked.dialect
    if hit.asked.streamed:
        draft.links.append(("no_usage", lambda: Editor(dialect, _edit)))
    else:
        draft.links.append(("no_usage", lambda: WholeRewriter(edited_body(_edit))))
    return True


FAULT = Fault(
    "no_usage",
    "the reply tells no usage",
    Group.STREAM,
    (),
    _strike,
    applies=generates,
    fails_as=frozenset({FailureKind.CHECK}),
)
