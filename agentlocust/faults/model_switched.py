"""Another model answers than was asked."""

from __future__ import annotations

from functools import partial
from typing import Any

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Draft, Fault, Group, Hit, generates
from agentlocust.faults.frames import Editor, WholeRewriter, edited_body
from agentlocust.faults.keys import Key, name


def _edit(to: str, event: dict[str, Any]) -> bool | None:
    found = None
    for holder in (event, event.get("message"), event.get("response")):
        if isinstance(holder, dict) and isinstance(holder.get("model"), str):
            holder["model"] = to
            found = True
    return found


def _strike(hit: Hit, draft: Draft) -> bool:
    if draft.answered:
        return False
    dialect, edit = hit.asked.dialect, partial(_edit, hit.values["to"])
    if hit.asked.streamed:
        draft.links.append(("model_switched", lambda: Editor(dialect, edit)))
    else:
        draft.links.append(("model_switched", lambda: WholeRewriter(edited_body(edit))))
    return True


FAULT = Fault(
    "model_switched",
    "the reply names another model than was asked for",
    Group.CONTENT,
    (Key("to", name, "fallback-model", "its name"),),
    _strike,
    applies=generates,
    fails_as=frozenset({FailureKind.CHECK}),
)
