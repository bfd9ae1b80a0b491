"""Runs that are no part of another: a run inside one is counted there too."""

from __future__ import annotations

from agentlocust.summary.model import Row
from agentlocust.units import picousd_of, usd_text

_COUNTERS = {"calls": "count"} | {
    name: name for name in ("failed", "cancelled", "abandoned", "injected", "injected_failed")
}


def outermost(row: Row) -> Row:
    """The row without its runs inside others, as to its counters and cost; its times are of all."""
    inside = row.inside
    if not inside:
        return row
    changes = {name: getattr(row, name) - inside.get(counted, 0) for counted, name in _COUNTERS.items()}
    changes["abandoned_tokens"] = row.abandoned_tokens - inside.get("abandoned_tokens", 0)
    changes["cost_usd"] = usd_text(picousd_of(row.cost_usd) - inside.get("cost_picousd", 0))
    changes["ends"] = _less(row.ends, inside, "end:")
    changes["hand_offs"] = _less(row.hand_offs, inside, "hand_off:")
    return row.model_copy(update=changes)


def has_outermost(row: Row) -> bool:
    """True when some of the row's runs are no part of another: its distributions are then taken for theirs."""
    return row.count > row.inside.get("calls", 0)


def _less(counted: dict[str, int], inside: dict[str, int], prefix: str) -> dict[str, int]:
    left = {name: n - inside.get(prefix + name, 0) for name, n in counted.items()}
    return {name: n for name, n in left.items() if n}
