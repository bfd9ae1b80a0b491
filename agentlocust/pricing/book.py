"""The price book: which price a model has."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Self

from agentlocust.config import Document
from agentlocust.datafiles import data_dir
from agentlocust.pricing.fallback import fallback_price, forget_lookups
from agentlocust.pricing.names import MAX_NAME, Spelling, spellings, undated
from agentlocust.pricing.price import Price
from agentlocust.pricing.tables import STANDARD, Listing, read_price_file

_STANDARD_NAMES = frozenset({"", "auto", "default", "on_demand", STANDARD})
_MAX_CACHED = 4096  # a server could answer with a new model name each time
_Key = tuple[str, str | None, str | None, date | None]


@dataclass(slots=True)
class _Shelf:
    """The listings of some files, found by name; a later listing of the same name and provider wins."""

    by_name: dict[str, dict[str, Listing]] = field(default_factory=dict)
    listings: list[Listing] = field(default_factory=list)

    def add(self, listings: Iterable[Listing]) -> None:
        for listing in listings:
            self.listings.append(listing)
            for name in (listing.name, *listing.aliases):
                self.by_name.setdefault(name.lower(), {})[listing.provider] = listing

    def find(self, name: str, provider: str | None) -> Listing | None:
        """By name or alias, else by pattern, else as a dated snapshot of a listed model."""
        return self._named(name, provider) or self._matched(name, provider) or self._named(undated(name), provider)

    def _named(self, name: str | None, provider: str | None) -> Listing | None:
        found = self.by_name.get(name, {}) if name else {}
        return found.get(provider) if provider else next(iter(found.values()), None)

    def _matched(self, name: str, provider: str | None) -> Listing | None:
        for listing in self.listings:
            if provider in (None, listing.provider) and any(pattern.fullmatch(name) for pattern in listing.patterns):
                return listing
        return None


class PriceBook:
    """Prices of models: a user's files first, then the package's tables, then genai-prices.

    One book belongs to one test: its "today" is the day (UTC) it was loaded, so no price changes halfway.
    """

    def __init__(self, shelves: Sequence[_Shelf], today: date) -> None:
        self._shelves = list(shelves)
        self._today = today
        self._cache: dict[_Key, Price | None] = {}
        self._providers = {listing.provider for shelf in shelves for listing in shelf.listings}

    @classmethod
    def load(cls, overrides: Sequence[Path | Document] = (), *, today: date | None = None) -> Self:
        """The package's tables under the user's own files (or their parsed contents), of which the last wins.

        Raises ConfigError with `file:line:key` for a file that is missing or wrong.
        """
        own = _Shelf()
        for path in sorted(data_dir("pricing").glob("*.yaml")):
            own.add(read_price_file(path))
        shelves = [own]
        for override in overrides:
            shelf = _Shelf()
            shelf.add(read_price_file(override))
            shelves.insert(0, shelf)
        return cls(shelves, today or datetime.now(UTC).date())

    def price(
        self, model: str, *, provider: str | None = None, service_tier: str | None = None, on: date | None = None
    ) -> Price | None:
        """The model's price in a service tier on a day, or None when it is not known (never $0).

        `provider` is a hint: a listing under it wins, but another provider's is better than none.
        A tier without a price of its own is unknown, not standard. Cached, about 0.2 µs; the first look-up of
        a model outside the tables takes some 0.2 s, so ask once before the load starts.
        """
        key = (model, provider, service_tier, on)
        try:
            return self._cache[key]
        except KeyError:
            found = self._find(key)
            if len(model) <= MAX_NAME:
                if len(self._cache) >= _MAX_CACHED:
                    self._cache.clear()
                    forget_lookups()
                self._cache[key] = found
            return found

    def near(self, model: str, count: int = 3) -> list[str]:
        """Listed names close to `model`, for a did-you-mean."""
        tried = [spelling.name for spelling in spellings(model)]
        known = {name for shelf in self._shelves for name in shelf.by_name}
        return difflib.get_close_matches(tried[-1], known, n=count, cutoff=0.6) if tried else []

    def tiers(self, model: str, *, provider: str | None = None) -> list[str]:
        """The service tiers that have a price for `model` today."""
        names = (STANDARD, "batch", "flex", "priority", "fast")
        return [tier for tier in names if self.price(model, provider=provider, service_tier=tier)]

    def models(self) -> list[Listing]:
        """Every listing of the tables and the user's files (not of genai-prices)."""
        return [listing for shelf in self._shelves for listing in shelf.listings]

    def _find(self, key: _Key) -> Price | None:
        model, provider, service_tier, on = key
        tier = (service_tier or "").strip().lower()
        tier = STANDARD if tier in _STANDARD_NAMES else tier
        day = on or self._today
        tried = spellings(model, provider)
        anyone = [Spelling(spelling.name) for spelling in tried]
        for shelf in self._shelves[:-1]:  # the user's files know best, whatever provider they name
            for spelling in (*tried, *anyone):
                if listing := shelf.find(spelling.name, spelling.provider):
                    return listing.price(tier, day)
        for spelling in (*tried, *anyone):
            if listing := self._shelves[-1].find(spelling.name, spelling.provider):
                return listing.price(tier, day)
            resold = spelling.provider is not None and spelling.provider not in self._providers
            if resold and (price := fallback_price(spelling, tier, day)):
                return price
        for spelling in (*tried, *anyone):
            if price := fallback_price(spelling, tier, day):
                return price
        return None
