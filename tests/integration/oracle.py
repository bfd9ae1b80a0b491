"""What a Summary has to say, reckoned another way: from the mock's truth and in Decimal."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

BUCKETS = ("input", "cache_read", "cache_write", "output", "reasoning")

# Dollars per 1M tokens, as the providers publish them: uncached input, cache read, cache write, output.
PRICES = {
    "gpt-4o-mini": (Decimal("0.15"), Decimal("0.075"), Decimal("0.15"), Decimal("0.60")),  # a write is plain input
    "claude-3-haiku-20240307": (Decimal("0.25"), Decimal("0.03"), Decimal("0.30"), Decimal("1.25")),
}


def llm_rows(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of LLM calls."""
    return [row for row in summary["rows"] if row["kind"] == "LLM"]


def differences(summary: dict[str, Any], truth: dict[str, Any]) -> list[str]:
    """Every count that is not exactly what the mock says, in words; for a test in which no call was cut."""
    totals = summary["totals"]
    claims = {
        "calls": (totals["calls"], truth["requests"]),
        "completed": (totals["calls"] - totals["failed"], truth["completed"]),
        "failed": (totals["failed"], truth["failed"]),
        "cancelled": (totals["cancelled"], truth["aborted"]),
        "tool calls": (totals["tool_calls"], truth["tool_calls"]),
        "calls in rows": (sum(row["count"] for row in llm_rows(summary)), truth["requests"]),
        "estimated tokens": (totals["tokens"]["estimated"], 0),
        "unpriced calls": (totals["unpriced_calls"], 0),
        "cost": (Decimal(totals["cost_usd"]), cost(summary)),
    }
    for bucket in BUCKETS:
        claims[f"{bucket} tokens"] = (totals["tokens"][bucket], truth["tokens"][bucket])
        claims[f"{bucket} tokens in rows"] = (
            sum(row["tokens"][bucket] for row in llm_rows(summary)),
            truth["tokens"][bucket],
        )
    return [f"{name}: {ours} against {true}" for name, (ours, true) in claims.items() if ours != true]


def cost(summary: dict[str, Any]) -> Decimal:
    """The dollars that the tokens of each row cost, exactly."""
    total = Decimal(0)
    for row in llm_rows(summary):
        uncached, read, write, output = PRICES[row["model"]]
        tokens = row["tokens"]
        total += (tokens["input"] - tokens["cache_read"] - tokens["cache_write"]) * uncached
        total += tokens["cache_read"] * read + tokens["cache_write"] * write + tokens["output"] * output
    return total / 1_000_000


def unaccounted(summary: dict[str, Any], truth: dict[str, Any]) -> list[str]:
    """What cancelled calls do not explain, for a test whose end cut calls."""
    totals, tokens = summary["totals"], summary["totals"]["tokens"]
    whole = totals["calls"] - totals["failed"]
    found = []
    if not 0 <= truth["requests"] - totals["calls"] <= totals["cancelled"]:
        found.append(f"{truth['requests']} requests, {totals['calls']} calls, {totals['cancelled']} cancelled")
    if not 0 <= truth["completed"] - whole <= totals["cancelled"]:
        found.append(f"{truth['completed']} whole answers, {whole} whole calls, {totals['cancelled']} cancelled")
    told = tokens["input"] + tokens["output"] - tokens["estimated"]  # what a cut call used is only estimated
    true = truth["tokens"]["input"] + truth["tokens"]["output"]
    if told > true or (told < true and whole == truth["completed"]):
        found.append(f"{told} tokens against {true}")
    if Decimal(totals["cost_usd"]) != cost(summary):
        found.append(f"cost: {totals['cost_usd']} against {cost(summary)}")
    return found
