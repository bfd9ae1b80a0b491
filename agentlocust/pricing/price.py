"""One model's price, and what a usage costs by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from agentlocust.usage import Usage

BUCKETS = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")

Given = Mapping[str, Decimal]
"""USD per 1M tokens by bucket, as a table gives them: only the buckets it names."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Prices per token of each bucket, in the unit of the price that holds them (see `Price.divisor`).

    `reasoning` is what a reasoning token costs more (or less) than other output; 0 nearly everywhere.
    """

    input: int
    output: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a bill: `tokens` at `usd_per_mtok` dollars a million."""

    bucket: str
    tokens: int
    usd_per_mtok: Decimal
    cost_picousd: int


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one model in one service tier on one day.

    `rates` are pico-dollars a token times `divisor`, which is 1 for every price of at most six decimals
    (USD per 1M tokens, that is a whole number of pico-dollars a token). A finer price, which only the
    fallback list has, is summed in the finer unit and rounded half-even once a call.
    `tiers` are (N, rates), ascending: a call whose whole input is above N pays those rates for ALL its tokens.
    """

    model: str
    provider: str
    source: str
    rates: Rates
    tiers: tuple[tuple[int, Rates], ...] = ()
    divisor: int = 1
    service_tier: str = "standard"
    checked: str = ""
    host: str = ""
    max_output: int | None = None

    def cost(self, usage: Usage) -> int:
        """What `usage` costs, in pico-dollars: exact for prices of six decimals, else rounded half-even."""
        rates = self.rates_for(usage.input) if self.tiers else self.rates
        pico = (
            usage.uncached_input * rates.input
            + usage.output * rates.output
            + usage.cache_read * rates.cache_read
            + usage.cache_write_5m * rates.cache_write_5m
            + usage.cache_write_1h * rates.cache_write_1h
            + usage.reasoning * rates.reasoning
        )
        return pico if self.divisor == 1 else _half_even(pico, self.divisor)

    def rates_for(self, input_tokens: int) -> Rates:
        """The rates of a call with that much input in all (the long-context tier, if it reaches one)."""
        rates = self.rates
        for above, dearer in self.tiers:
            if input_tokens <= above:
                break
            rates = dearer
        return rates

    def lines(self, usage: Usage) -> list[Line]:
        """The bill: a line for each bucket with tokens in it. Their sum is `cost(usage)` for exact prices."""
        rates = self.rates_for(usage.input)
        charged = [
            ("input", usage.uncached_input, rates.input),
            ("cache_read", usage.cache_read, rates.cache_read),
            ("cache_write_5m", usage.cache_write_5m, rates.cache_write_5m),
            ("cache_write_1h", usage.cache_write_1h, rates.cache_write_1h),
        ]
        if rates.reasoning:
            charged.append(("output", usage.output - usage.reasoning, rates.output))
            charged.append(("reasoning", usage.reasoning, rates.output + rates.reasoning))
        else:
            charged.append(("output", usage.output, rates.output))
        return [
            Line(bucket, tokens, self._usd(rate), _half_even(tokens * rate, self.divisor))
            for bucket, tokens, rate in charged
            if tokens
        ]

    def describe(self) -> str:
        """One line for people: the model, its main prices, and where they come from."""
        at = f" at {self.host}" if self.host else ""
        tier = f", {self.service_tier} tier" if self.service_tier != "standard" else ""
        steps = "".join(f", dearer above {above:,} tokens of input" for above, _ in self.tiers)
        checked = f", checked {self.checked}" if self.checked else ""
        return (
            f"{self.model}{at}{tier}: ${self._usd(self.rates.input)} in, ${self._usd(self.rates.output)} out"
            f" per 1M tokens{steps} ({self.source}{checked})"
        )

    def _usd(self, rate: int) -> Decimal:
        plain = (Decimal(rate) / (1_000_000 * self.divisor)).normalize()
        return plain.quantize(Decimal(1)) if plain == plain.to_integral_value() else plain


def rates_in_units(base: Given, tiers: Sequence[tuple[int, Given]]) -> tuple[Rates, tuple[tuple[int, Rates], ...], int]:
    """Rates, tiers and divisor for `Price`. A bucket that a tier does not name keeps the price of the step below."""
    steps: list[tuple[int, Given]] = []
    below = base
    for above, given in sorted(tiers, key=lambda tier: tier[0]):
        below = {**below, **given}
        steps.append((above, below))
    finest = max(_decimals(rate) for given in (base, *(given for _, given in steps)) for rate in given.values())
    scale = max(finest, 6)
    return (
        _rates(base, scale),
        tuple((above, _rates(given, scale)) for above, given in steps),
        10 ** (scale - 6),
    )


def _rates(given: Given, scale: int) -> Rates:
    """A cache bucket without a price is billed as input; a long-lived write as a short-lived one, if priced."""
    units = {bucket: int(rate.scaleb(scale)) for bucket, rate in given.items()}
    output = units.get("output", 0)
    short = units.get("cache_write_5m", units["input"])
    return Rates(
        input=units["input"],
        output=output,
        cache_read=units.get("cache_read", units["input"]),
        cache_write_5m=short,
        cache_write_1h=units.get("cache_write_1h", short),
        reasoning=units["reasoning"] - output if "reasoning" in units else 0,
    )


def _decimals(rate: Decimal) -> int:
    exponent = rate.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _half_even(amount: int, divisor: int) -> int:
    whole, rest = divmod(amount, divisor)
    return whole + (2 * rest > divisor or (2 * rest == divisor and whole % 2 == 1))
