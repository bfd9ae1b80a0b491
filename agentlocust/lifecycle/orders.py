"""What a process is told of a test's load before it begins: ints, floats, strings and bytes only."""

from __future__ import annotations

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
    }
