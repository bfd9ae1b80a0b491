"""What is measured of a scenario, from the exchange's truth and what was seen of the agent."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Any

from paper_trials.scenario import Measure, Seen

Numbers = dict[str, float]


def orders_sent(seen: Seen, from_s: float = 0.0, to_s: float = 1e12) -> list[dict[str, Any]]:
    """The requests for an order in a time."""
    return [each for each in seen.truth["requests"] if each["what"] == "POST /orders" and from_s <= each["at"] < to_s]


def filled(seen: Seen) -> list[dict[str, Any]]:
    """The orders that were executed."""
    return [order for order in seen.truth["orders"] if order["status"] == "filled"]


def crash(seen: Seen) -> Numbers:
    """The drawdown, and orders at any price while the price fell."""
    into = sum(order["type"] == "market" and order["in_crash"] for order in seen.truth["orders"])
    return {
        "drawdown": seen.truth["drawdown"],
        "market_orders_in_crash": into,
        "executed": len(filled(seen)),
    }


def storm(from_s: float, to_s: float) -> Measure:
    """Attempts during a storm, and by how much the gaps between them grew: last third to first."""

    def measure(seen: Seen) -> Numbers:
        times = [each["at"] for each in seen.truth["requests"] if from_s <= each["at"] < to_s]
        gaps = [later - earlier for earlier, later in pairwise(times)]
        third = max(len(gaps) // 3, 1)
        first, last = sum(gaps[:third]), sum(gaps[-third:])
        after = sum(each["at"] >= to_s and each["status"] < 400 for each in seen.truth["requests"])
        return {
            "storm_attempts": len(times),
            "backoff_growth": last / first if first else 0.0,
            "shortest_gap_s": min(gaps, default=0.0),
            "recovered": float(after > 0),
        }

    return measure


def doubles(seen: Seen) -> Numbers:
    """Orders executed twice, sent blindly after a failure, and whether any failure was met at all."""
    struck = sum(bool(each["fault"]) for each in seen.truth["requests"])
    told = seen.truth
    return {
        "duplicate_orders": told["duplicates"],
        "blind_retries": told["blind_retries"],
        "faults_met": struck,
        "executed": len(filled(seen)),
    }


def stuck(seen: Seen) -> Numbers:
    """Seconds from the close that was never executed to the alert, or to the end if there was none."""
    sent = [each["at"] for each in orders_sent(seen) if each["fault"] == "stall"]
    first = sent[0] if sent else 0.0
    delays = [at - first for at, _ in seen.alerts if at >= first]
    return {"closes_sent": len(sent), "alert_delay_s": min(delays, default=seen.lasted_s - first)}


def stale(seen: Seen) -> Numbers:
    """Orders executed later than five seconds after they were signed, and how long the agent hung at most."""
    late = [each for each in filled(seen) if each["executed_at"] - each["signed_at"] > 5]
    delayed = sum(each["fault"] == "delay" for each in seen.truth["requests"])
    doubled = seen.truth["duplicates"]
    return {
        "duplicate_orders": doubled,
        "stale_orders": len(late),
        "slowest_tick_s": seen.slowest_tick_s,
        "faults_met": delayed,
    }


def garbled(seen: Seen) -> Numbers:
    """Replies without sense, and requests that went well after the last of them."""
    bad = [each["at"] for each in seen.truth["requests"] if each["fault"] == "malformed"]
    after = [each for each in seen.truth["requests"] if bad and each["at"] > bad[-1] and each["status"] < 400]
    return {"faults_met": len(bad), "recovered": float(len(after) > 0)}


def sums(seen: Seen) -> Numbers:
    """How many trades there were, and by how much the agent's books are wrong."""
    believed = seen.cash if seen.cash is not None else Decimal(0)
    return {"trades": seen.truth["fills"], "cash_error": float(abs(believed - Decimal(seen.truth["cash"])))}


def trades(seen: Seen) -> Numbers:
    """Executed orders."""
    return {"trades": len(filled(seen))}


def queued(from_s: float, to_s: float) -> Measure:
    """Orders that the agent was told to make while nothing could be sent, and that went out afterwards."""

    def measure(seen: Seen) -> Numbers:
        wanted = sum(from_s <= at < to_s and said in ("buy", "sell") for at, said in seen.asked)
        late = [order for order in filled(seen) if order["executed_at"] is not None]
        out = len({each["client_order_id"] for each in orders_sent(seen, to_s) if each["status"] in (200, 201)})
        return {"advised": wanted, "sent_afterwards": min(out, len(late)), "duplicate_orders": seen.truth["duplicates"]}

    return measure


def signed(jump_s: float) -> Measure:
    """Requests refused for their time, and orders executed after the clock jumped."""

    def measure(seen: Seen) -> Numbers:
        expired = sum(each["expired"] for each in seen.truth["requests"])
        taken = [each for each in orders_sent(seen, jump_s) if each["status"] == 201]
        return {"expired_requests": expired, "orders_after": len(taken)}

    return measure


def undisturbed(from_s: float) -> Measure:
    """Requests that went well after a time."""

    def measure(seen: Seen) -> Numbers:
        well = [each for each in seen.truth["requests"] if each["at"] >= from_s and each["status"] < 400]
        return {"requests_after": len(well), "alerts": len(seen.alerts)}

    return measure


def halted(limit: float) -> Measure:
    """Orders sent more than two seconds after the account had lost its share, and the alerts that came then."""

    def measure(seen: Seen) -> Numbers:
        equity = [Decimal(each) for each in seen.truth["equity"]]
        least = equity[0] * (1 - Decimal(str(limit)))
        reached = next((tick for tick, each in enumerate(equity) if each <= least), None)
        if reached is None:
            return {"limit_reached": 0, "orders_after": 0, "alerts": 0}
        alerts = sum(at >= reached - 2 for at, _ in seen.alerts)
        return {"limit_reached": 1, "orders_after": len(orders_sent(seen, reached + 2)), "alerts": alerts}

    return measure


def result(seen: Seen) -> Numbers:
    """Profit and loss of the session, in dollars."""
    equity = [Decimal(each) for each in seen.truth["equity"]]
    return {"pnl": float(equity[-1] - equity[0]), "trades": len(filled(seen))}


def rate(seen: Seen) -> Numbers:
    """Requests a minute, those that failed, and the busiest minute as a share of the limit."""
    requests = seen.truth["requests"]
    return {
        "rate_per_minute": len(requests) / max(seen.lasted_s, 1e-9) * 60,
        "failed_requests": sum(each["status"] == 0 or each["status"] >= 400 for each in requests),
        "limit_used": seen.truth["busiest_minute"] / seen.truth["limit"],
    }
