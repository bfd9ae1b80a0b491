"""What a process is told of a test's load before it begins: ints, floats, strings and bytes only."""

from __future__ import annotations

import time
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentlocust.lifecycle.load_test import LoadTest


def order_of_load(test: LoadTest, index: int = 0, count: int = 1) -> dict[str, Any]:
    """The load order for process `index` of `count`."""
    plan = test.settings.load
    return {
        "think_s": plan.shape.think_s if plan.shape is not None else None,
        "shares": dict(plan.shares),
        "laws": {name: str(law) for name, law in plan.laws.items()},
        "traces": {name: trace.part(index, count) for name, trace in plan.traces.items()},
        "dataset": plan.dataset.part(index, count) if plan.dataset is not None else None,
        "sizes": list(plan.sizes),
        "quota": test.quota.kind,
        "quota_total": test.quota.total,
        "budget": test.spending.order if test.spending is not None else None,
        "seed": test.settings.seed,
        "faults": _faults(test),
        "windows": [list(astuple(window)) for window in test.windows.all],
        "phased": [list(pair) for pair in test.windows.phased],
        "age_s": _age_s(test),
    }


def _faults(test: LoadTest) -> dict[str, Any] | None:
    settings = test.settings
    if not settings.faults:
        return None
    return {
        "text": settings.faults.text,
        "seed": settings.seed,
        "at": settings.faults_at,
        "proxy_url": test.proxying.url if test.proxying is not None else "",
        "age_s": _age_s(test),
    }


def _age_s(test: LoadTest) -> float:
    """How long the test has been on, for those who join later."""
    return time.monotonic() - test.started if test.begun else 0.0
