"""A tool gives a wrong result: the model is told something else than the tool said."""

from __future__ import annotations

from functools import partial

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Draft, Fault, Group, Hit, generates
from agentlocust.faults.keys import Key, name
from agentlocust.faults.tools import has_results, with_results


def _changed(to: str, result: str) -> str:
    return to


def _strike(hit: Hit, draft: Draft) -> bool:
    if draft.answered or not has_results(hit.request()):
        return False
    draft.requests.append(with_results(partial(_changed, hit.values["to"])))
    return True


FAULT = Fault(
    "wrong_tool_result",
    "the results of tools since the last reply are something else (where there are any)",
    Group.CONTENT,
    (Key("to", name, "0", "what the model is told"),),
    _strike,
    applies=generates,
    fails_as=frozenset({FailureKind.CHECK, FailureKind.BAD_REQUEST}),
)
