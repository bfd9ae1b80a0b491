"""A tool has no data: the model is told so."""

from __future__ import annotations

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Draft, Fault, Group, Hit, generates
from agentlocust.faults.tools import has_results, with_results


def _changed(result: str) -> str:
    return {"[": "[]", "{": "{}"}.get(result.lstrip()[:1], "")


def _strike(hit: Hit, draft: Draft) -> bool:
    if draft.answered or not has_results(hit.request()):
        return False
    draft.requests.append(with_results(_changed))
    return True


FAULT = Fault(
    "missing_data",
    "the results of tools since the last reply are empty: [], {} or nothing (where there are any)",
    Group.CONTENT,
    (),
    _strike,
    applies=generates,
    fails_as=frozenset({FailureKind.CHECK, FailureKind.BAD_REQUEST}),
)
