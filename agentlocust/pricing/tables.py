"""Price files: what may stand in one, and the listings read from it.

`pricing/schema.json` is the JSON Schema of `PriceFile`, for editors and for people.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from agentlocust.config import Document, load_yaml, validate
from agentlocust.errors import ConfigError
from agentlocust.pricing.price import BUCKETS, Price, rates_in_units

STANDARD = "standard"
_MAX_USD = 1_000_000


def _rate(value: object) -> Decimal:
    try:
        rate = Decimal(str(value).strip())
    except InvalidOperation:  # also what True, None or a list say of themselves
        rate = Decimal("NaN")
    if not rate.is_finite():
        raise ValueError(f"should be a price in USD per 1M tokens, such as 2.5, not {value!r:.50}")
    if not 0 <= rate <= _MAX_USD:
        raise ValueError(f"should be from 0 to {_MAX_USD:,} USD per 1M tokens")
    if rate != rate.quantize(Decimal("0.000001")):
        raise ValueError("has more than six decimals, which is finer than a pico-dollar a token")
    return rate


def _day(value: object) -> date:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise ValueError("should be a date such as 2026-01-31")


def _pattern(value: object) -> str:
    try:
        return re.compile(str(value)).pattern
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from error


_RATE_SCHEMA = {
    "description": "USD per 1M tokens, at most six decimals",
    "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^[0-9]+(\.[0-9]{1,6})?$"}],
}
Rate = Annotated[Decimal, BeforeValidator(_rate), WithJsonSchema(_RATE_SCHEMA)]
Day = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]
Pattern = Annotated[str, BeforeValidator(_pattern), WithJsonSchema({"type": "string", "format": "regex"})]
Name = Annotated[str, Field(strict=True, min_length=1, max_length=200)]
Tokens = Annotated[int, Field(strict=True, ge=1, le=10**9)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Buckets(_Part):
    input: Rate | None = None
    output: Rate | None = None
    cache_read: Rate | None = Field(None, description="absent: billed as input")
    cache_write_5m: Rate | None = Field(None, description="short-lived cache writes; absent: billed as input")
    cache_write_1h: Rate | None = Field(None, description="long-lived cache writes; absent: as cache_write_5m")

    def given(self) -> dict[str, Decimal]:
        """The prices that are there, by bucket."""
        return {name: rate for name in BUCKETS if (rate := getattr(self, name)) is not None}


class LongContext(_Buckets):
    """A call whose whole input is above `above` tokens pays these prices for all its tokens."""

    above: Tokens


class TierPrices(_Buckets):
    """The prices of one service tier. Nothing is inherited from the standard tier."""

    tiers: list[LongContext] = []

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.given() and not {"input", "output"} <= self.given().keys():
            raise ValueError("needs both input and output (an embeddings model has output: 0)")
        if not all(tier.given() for tier in self.tiers):
            raise ValueError("each of the tiers needs a price besides `above`")
        steps = [tier.above for tier in self.tiers]
        if steps != sorted(set(steps)):
            raise ValueError("tiers should ascend, each `above` larger than the one before")
        return self


class ServiceTiers(_Part):
    """Prices of the service tiers. A tier that is not listed has no price; it never falls back to standard."""

    batch: TierPrices | None = None
    flex: TierPrices | None = None
    priority: TierPrices | None = None
    fast: TierPrices | None = None


class DatedPrices(TierPrices):
    """The prices that hold from a date on; without one, since ever."""

    since: Day | None = Field(None, alias="from")
    service_tiers: ServiceTiers = ServiceTiers()


class ModelEntry(DatedPrices):
    """One model: its prices here, or their history under `prices`."""

    provider: Name | None = Field(None, description="when it is not the file's")
    host: str | None = Field(None, description="who sells it, for open models")
    aliases: list[Name] = []
    patterns: list[Pattern] = Field([], description="regular expressions that match a whole name, any case")
    max_output: Tokens | None = Field(None, description="the most output tokens of one reply")
    source: str | None = None
    checked: Day | None = None
    prices: list[DatedPrices] = []

    @model_validator(mode="after")
    def _priced_once(self) -> Self:
        if bool(self.prices) == bool(self.given()):
            raise ValueError("needs either input and output, or a list of them under prices")
        if self.prices and (self.tiers or self.since or self.service_tiers != ServiceTiers()):
            raise ValueError("has a prices list: from, tiers and service_tiers belong inside it")
        if any(not part.given() for part in (*self.prices, *_tiers_of(self).values())):
            raise ValueError("a price needs input and output")
        starts = [part.since for part in self.prices]
        if len(set(starts)) != len(starts):
            raise ValueError("two prices hold from the same date")
        return self


class PriceFile(_Part):
    """Token prices of one provider, in USD per 1M tokens."""

    provider: Name
    source: str = ""
    checked: Day | None = None
    models: dict[Name, ModelEntry] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Listing:
    """A model as one price file lists it; `history` is (from, prices by service tier), oldest first."""

    name: str
    provider: str
    aliases: tuple[str, ...]
    patterns: tuple[re.Pattern[str], ...]
    history: tuple[tuple[date, Mapping[str, Price]], ...]

    def price(self, service_tier: str, on: date) -> Price | None:
        """The price that holds on a day, or None when there is none for that tier or none yet."""
        current: Mapping[str, Price] = {}
        for since, prices in self.history:
            if since <= on:
                current = prices
        return current.get(service_tier)


def read_price_file(path: Path | Document) -> list[Listing]:
    """The listings of a price file, or of one that was read elsewhere (on the master, for its workers).

    Raises ConfigError with file, line and key for whatever is wrong with it.
    """
    document = path if isinstance(path, Document) else load_yaml(path)
    file = validate(document, PriceFile)
    title = Path(document.source).name
    listings = [_listing(file, name, entry, title) for name, entry in file.models.items()]
    _refuse_twins(document, listings)
    return listings


def schema() -> dict[str, Any]:
    """The JSON Schema of a price file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **PriceFile.model_json_schema()}


def _listing(file: PriceFile, name: str, entry: ModelEntry, title: str) -> Listing:
    provider = entry.provider or file.provider
    checked = entry.checked or file.checked
    source = entry.source or file.source

    def price(prices: TierPrices, service_tier: str) -> Price:
        tiers = [(tier.above, tier.given()) for tier in prices.tiers]
        rates, steps, divisor = rates_in_units(prices.given(), tiers)
        return Price(
            model=name,
            provider=provider,
            source=f"{title}: {source}" if source else title,
            rates=rates,
            tiers=steps,
            divisor=divisor,
            service_tier=service_tier,
            checked=checked.isoformat() if checked else "",
            host=entry.host or "",
            max_output=entry.max_output,
        )

    history: list[tuple[date, Mapping[str, Price]]] = []
    for part in entry.prices or [entry]:
        prices = {STANDARD: price(part, STANDARD)}
        prices.update({tier: price(given, tier) for tier, given in _tiers_of(part).items()})
        history.append((part.since or date.min, prices))
    return Listing(
        name=name,
        provider=provider.lower(),
        aliases=tuple(entry.aliases),
        patterns=tuple(re.compile(pattern, re.IGNORECASE) for pattern in entry.patterns),
        history=tuple(sorted(history, key=lambda step: step[0])),
    )


def _tiers_of(part: DatedPrices) -> dict[str, TierPrices]:
    names = ServiceTiers.model_fields
    return {name: prices for name in names if (prices := getattr(part.service_tiers, name)) is not None}


def _refuse_twins(document: Document, listings: list[Listing]) -> None:
    """A name, in any case, may stand for one model of a provider only."""
    owner: dict[tuple[str, str], str] = {}
    for listing in listings:
        for name in (listing.name, *listing.aliases):
            other = owner.setdefault((listing.provider, name.lower()), listing.name)
            if other != listing.name:
                where = document.where("models", listing.name)
                raise ConfigError(f"{name!r} is already a name of {other!r}", where=where, hint="keep one of them")
