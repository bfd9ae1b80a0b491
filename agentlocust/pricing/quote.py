"""What one call would cost, line by line, and where the price comes from: `agentlocust price`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from agentlocust.errors import ConfigError
from agentlocust.pricing.book import PriceBook
from agentlocust.pricing.price import Price
from agentlocust.units import usd_text
from agentlocust.usage import Usage


def quote(
    model: str,
    *,
    input_tokens: int = 0,
    output_tokens: int = 0,
    cached: int = 0,
    cache_write: int = 0,
    tier: str = "standard",
    pricing: Sequence[Path] = (),
    as_json: bool = False,
) -> str:
    """The bill of one call, as a table or as JSON. `cached` and `cache_write` are parts of `input_tokens`.

    Raises ConfigError for a model or tier without a price (with close names), and for a wrong price file.
    """
    if cached + cache_write > input_tokens:
        raise ConfigError(
            f"{cached + cache_write:,} tokens of cache in {input_tokens:,} of input",
            where="--input",
            hint="--input counts all input: cached, written to the cache and neither",
        )
    usage = Usage(
        uncached_input=input_tokens - cached - cache_write,
        cache_read=cached,
        cache_write_5m=cache_write,
        output=output_tokens,
    )
    price = _priced(PriceBook.load(pricing), model, tier)
    return json.dumps(as_document(price, usage), indent=2) if as_json else as_text(price, usage)


def as_document(price: Price, usage: Usage) -> dict[str, object]:
    """The bill as JSON: dollars as decimal strings, tokens as ints."""
    return {
        "model": price.model,
        "provider": price.provider,
        "host": price.host,
        "service_tier": price.service_tier,
        "cost_usd": usd_text(price.cost(usage)),
        "lines": [
            {
                "bucket": line.bucket,
                "tokens": line.tokens,
                "usd_per_mtok": f"{line.usd_per_mtok:f}",
                "cost_usd": usd_text(line.cost_picousd),
            }
            for line in price.lines(usage)
        ],
        "max_output": price.max_output,
        "source": price.source,
        "checked": price.checked,
    }


def as_text(price: Price, usage: Usage) -> str:
    """The bill as a table below the price and its source."""
    rows = [
        (
            line.bucket.replace("_", " "),
            f"{line.tokens:,}",
            f"x ${line.usd_per_mtok:f}/M",
            f"${usd_text(line.cost_picousd)}",
        )
        for line in price.lines(usage)
    ]
    rows.append(("total", f"{usage.total:,}", "", f"${usd_text(price.cost(usage))}"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    table = [f"  {a:<{widths[0]}}  {b:>{widths[1]}}  {c:<{widths[2]}}  {d}" for a, b, c, d in rows]
    return "\n".join([price.describe(), *table])


def _priced(book: PriceBook, model: str, tier: str) -> Price:
    if found := book.price(model, service_tier=tier):
        return found
    if tiers := book.tiers(model):
        raise ConfigError(f"no {tier} price for {model}", where="--tier", hint=f"it has: {', '.join(tiers)}")
    near = book.near(model)
    hint = f"did you mean {' or '.join(near)}?" if near else "list it in a file of your own: --pricing FILE"
    raise ConfigError(f"no price for {model[:80]!r}", hint=hint)
