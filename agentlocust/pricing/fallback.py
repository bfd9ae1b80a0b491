"""Prices of models that our tables do not list, from the genai-prices package (MIT).

Only the list that comes with the package is read: it is never updated over the network. Its decimals, long-context
tiers (the same cliff as ours) and start dates are converted exactly. Prices by the hour of the day become the
dearest hour's, so that a budget is never overrun. A model without a price per input token has no price here.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

from agentlocust.pricing.names import Spelling
from agentlocust.pricing.price import Price, rates_in_units
from agentlocust.pricing.tables import STANDARD

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo, ModelPrice

_BUCKETS = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write_5m",
    "cache_write_1h_mtok": "cache_write_1h",
    "output_reasoning_mtok": "reasoning",
}
# What a tier is called in that package's price variants, by request context.
_CONTEXTS: dict[str, dict[str, str]] = {
    "batch": {"processing": "batch"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
    "fast": {"service_tier": "fast", "speed": "fast"},
}


def fallback_price(spelling: Spelling, service_tier: str, on: date) -> Price | None:
    """The price of a model as genai-prices lists it, or None. The first call takes some 0.2 s (a large import)."""
    try:
        provider, model = _snapshot().find_provider_model(spelling.name, None, spelling.provider, None)
    except LookupError:
        return None
    return price_of(model, provider.id, service_tier, on)


def forget_lookups() -> None:
    """Drop what genai-prices remembers of names looked up; it keeps every miss for ever."""
    _snapshot.cache_clear()


def price_of(model: ModelInfo, provider: str, service_tier: str, on: date) -> Price | None:
    """One of genai-prices' models as our Price, or None without token prices for that tier on that day."""
    if service_tier != STANDARD and not _has_tier(model, service_tier, on):
        return None
    context = _CONTEXTS.get(service_tier, {})
    hours = [datetime.combine(on, time(hour, 45), UTC) for hour in (range(24) if _by_the_hour(model) else (12,))]
    found = [_given(model.get_prices(hour, context)) for hour in hours]
    base, tiers = max(found, key=lambda price: (price[0].get("input", Decimal(-1)), price[0].get("output", Decimal(0))))
    if "input" not in base:
        return None
    rates, steps, divisor = rates_in_units(base, tiers)
    return Price(
        model=model.id,
        provider=provider,
        source=f"genai-prices {_version()}",
        rates=rates,
        tiers=steps,
        divisor=divisor,
        service_tier=service_tier,
    )


def _given(price: ModelPrice) -> tuple[dict[str, Decimal], list[tuple[int, dict[str, Decimal]]]]:
    """Base rates and long-context tiers by bucket. There, each bucket has tiers of its own."""
    base: dict[str, Decimal] = {}
    tiers: dict[int, dict[str, Decimal]] = {}
    for key, bucket in _BUCKETS.items():
        value: Any = price.__dict__.get(key)
        if value is None:
            continue
        base[bucket] = value if isinstance(value, Decimal) else value.base
        for tier in () if isinstance(value, Decimal) else value.tiers:
            tiers.setdefault(tier.start, {})[bucket] = tier.price
    return base, sorted(tiers.items())


def _has_tier(model: ModelInfo, service_tier: str, on: date) -> bool:
    """Whether a variant of that tier prices tokens on that day; without one the standard price would come back."""
    context = _CONTEXTS.get(service_tier)
    noon = datetime.combine(on, time(12), UTC)
    return context is not None and any(
        all(context.get(key) == value for key, value in variant.when.items())
        and (variant.constraint is None or variant.constraint.active(noon))
        and "input_mtok" in variant.prices.__dict__
        for variant in model.price_variants or ()
    )


def _by_the_hour(model: ModelInfo) -> bool:
    prices: Any = model.prices
    return isinstance(prices, list) and any(hasattr(price.constraint, "start_time") for price in prices)


@cache
def _snapshot() -> DataSnapshot:
    from genai_prices.data import providers
    from genai_prices.data_snapshot import DataSnapshot

    # A snapshot of our own: another part of the process may have replaced the package's by an updated one.
    return DataSnapshot(providers=providers, from_auto_update=False)


@cache
def _version() -> str:
    from importlib.metadata import version

    return version("genai-prices")
