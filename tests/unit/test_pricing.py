"""A call costs what its price table says, to the pico-dollar; a model without a price costs nothing known."""

from __future__ import annotations

import json
import random
import re
import socket
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from functools import cache

import jsonschema
import pytest
import yaml
from genai_prices import types as genai
from genai_prices.data import providers
from hypothesis import given, settings
from hypothesis import strategies as st

from agentlocust.config import parse_yaml
from agentlocust.datafiles import data_dir
from agentlocust.errors import ConfigError
from agentlocust.pricing import PriceBook
from agentlocust.pricing.fallback import price_of
from agentlocust.pricing.tables import read_price_file, schema
from agentlocust.usage import Usage

TODAY = date(2026, 11, 20)
FILES = sorted(data_dir("pricing").glob("*.yaml"))
PICO = Decimal("1e-12")
TIERS = ("standard", "batch", "flex", "priority", "fast")
tokens = st.integers(0, 10**9) | st.sampled_from([100_000, 128_000, 200_000, 200_001, 272_000, 272_001])


@st.composite
def usages(draw):
    output = draw(tokens)
    return Usage(
        draw(tokens), draw(tokens), draw(tokens), draw(tokens), output=output, reasoning=draw(st.integers(0, output))
    )


@pytest.fixture(scope="module")
def book():
    return PriceBook.load(today=TODAY)


@pytest.fixture
def write(tmp_path):
    def price_file(text, name="mine.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return price_file


@cache
def raw_prices():
    """Every (model, tier, from, until, prices) of the tables, read without our reader."""
    found = []
    for path in FILES:
        file = yaml.load(path.read_text(), yaml.BaseLoader)  # numbers stay the text they are
        for name, entry in file["models"].items():
            history = entry.get("prices", [entry])
            starts = [date.fromisoformat(part.get("from", "0001-01-01")) for part in history]
            for part, start, until in zip(history, starts, [*starts[1:], date.max], strict=True):
                provider = entry.get("provider", file["provider"])
                found.append((name, provider, "standard", start, until, part))
                found += [(name, provider, *tier, start, until, prices) for tier, prices in
                          [((key,), value) for key, value in part.get("service_tiers", {}).items()]]  # fmt: skip
    return found


def oracle(usage, prices):
    """What a usage costs by the words of the README: Decimal dollars, the cliff, cache without price as input."""
    rates = {key: Decimal(value) for key, value in prices.items() if key not in ("from", "tiers", "service_tiers")
             and not isinstance(value, (list, dict)) and re.fullmatch(r"[0-9.]+", value)}  # fmt: skip
    for tier in prices.get("tiers", []):
        if usage.input > int(tier["above"]):
            rates |= {key: Decimal(value) for key, value in tier.items() if key != "above"}
    with localcontext(Context(prec=60)):
        short = rates.get("cache_write_5m", rates["input"])
        dollars = (
            usage.uncached_input * rates["input"]
            + usage.output * rates["output"]
            + usage.cache_read * rates.get("cache_read", rates["input"])
            + usage.cache_write_5m * short
            + usage.cache_write_1h * rates.get("cache_write_1h", short)
        ) / 1_000_000
        return int((dollars / PICO).to_integral_exact())


@settings(max_examples=600, deadline=None)
@given(usage=usages(), pick=st.integers(0, 10**6), days=st.integers(0, 4000))
def test_cost_equals_a_decimal_oracle(book, usage, pick, days):
    """For every price in the tables, on any day and in any tier, the cost is exact."""
    name, provider, tier, start, until, prices = raw_prices()[pick % len(raw_prices())]
    day = min(max(start, date(2020, 1, 1)) + timedelta(days=days), until - timedelta(days=1))
    price = book.price(name, provider=provider, service_tier=tier, on=day)
    assert price.cost(usage) == oracle(usage, prices)
    assert price.cost(usage) == sum(line.cost_picousd for line in price.lines(usage))


def test_every_price_in_the_tables_is_exact(book):
    """The same law for each of them once, at both sides of each long-context step."""
    for name, provider, tier, start, until, prices in raw_prices():
        for edge in (1000, *(int(step["above"]) + more for step in prices.get("tiers", []) for more in (0, 1))):
            usage = Usage(edge - 400, 100, 200, 100, output=777)
            for day in (max(start, date(2020, 1, 1)), until - timedelta(days=1)):
                price = book.price(name, provider=provider, service_tier=tier, on=day)
                assert price.cost(usage) == oracle(usage, prices), (name, tier, day)
                assert price.source


def genai_cost(model, provider, usage, tier, when):
    """The bill by genai-prices' own arithmetic, in pico-dollars, rounded once."""
    context = {"batch": {"processing": "batch"}, "fast": {"service_tier": "fast", "speed": "fast"}}.get(
        tier, {"service_tier": tier}
    )
    with localcontext(Context(prec=60)):
        prices = model.get_prices(when, context)
        tokens_only = genai.ModelPrice(**{key: rate for key, rate in vars(prices).items() if key.endswith("_mtok")})
        bill = tokens_only.calc_price(
            genai.Usage(
                input_tokens=usage.input,
                output_tokens=usage.output,
                cache_read_tokens=usage.cache_read,
                cache_write_tokens=usage.cache_write,
                cache_write_1h_tokens=usage.cache_write_1h,
                output_reasoning_tokens=usage.reasoning,
            )
        )
        return int((bill["total_price"] / PICO).to_integral_value(ROUND_HALF_EVEN))


def by_the_hour(model):
    prices = model.prices if isinstance(model.prices, list) else []
    return any(isinstance(price.constraint, genai.TimeOfDateConstraint) for price in prices)


def test_every_model_of_genai_prices_costs_what_it_says():
    """Converted prices, with their tiers, dates and odd decimals, give its own total to the pico-dollar."""
    chance = random.Random(7)
    noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    compared = 0
    for provider in providers:
        for model in provider.models:
            when = chance.choice([noon, datetime(2025, 7, 1, 12, tzinfo=UTC), datetime(2027, 2, 1, 12, tzinfo=UTC)])
            output = chance.randrange(10**6)
            usage = Usage(*(chance.randrange(300_000) for _ in range(4)), output=output, reasoning=output // 3)
            if by_the_hour(model):
                hours = [when.replace(hour=hour, minute=45) for hour in range(24)]
                expected = max(genai_cost(model, provider, usage, "standard", hour) for hour in hours)
            else:
                expected = genai_cost(model, provider, usage, "standard", when)
            price = price_of(model, provider.id, "standard", when.date())
            if price is None:
                assert "input_mtok" not in vars(model.get_prices(when))
                continue
            assert price.cost(usage) == expected, (provider.id, model.id)
            compared += 1
            for tier in TIERS[1:]:
                if tiered := price_of(model, provider.id, tier, when.date()):
                    assert tiered.cost(usage) == genai_cost(model, provider, usage, tier, when), (model.id, tier)
    assert compared > 2000


def test_a_price_finer_than_a_pico_dollar_is_rounded_once_a_call():
    """genai-prices has rates such as 0.08333333333333334; the sum is rounded half-even, not each line of it."""
    rate = genai.ModelPrice(input_mtok=Decimal("0.0000005"), output_mtok=Decimal("0.0000005"))
    model = genai.ModelInfo(id="fine", match=genai.ClauseEquals("fine"), prices=rate)
    price = price_of(model, "x", "standard", TODAY)
    assert [price.cost(Usage(count)) for count in (1, 2, 3, 4, 5)] == [0, 1, 2, 2, 2]
    assert price.cost(Usage(1, output=1)) == 1


@settings(max_examples=50, deadline=None)
@given(st.lists(usages(), max_size=8), st.randoms())
def test_a_sum_of_costs_has_no_order(book, many, chance):
    """Money is whole numbers: the bill is the same whichever worker reports first."""
    price = book.price("gpt-5.4")
    costs = [price.cost(usage) for usage in many]
    shuffled = costs.copy()
    chance.shuffle(shuffled)
    assert sum(costs) == sum(shuffled)


@pytest.mark.parametrize(
    ("model", "usd_in", "usd_out"),
    [
        ("gpt-4", 30, 60), ("gpt-4-0613", 30, 60), ("gpt-4-turbo", 10, 30), ("gpt-3.5-turbo", "0.5", "1.5"),
        ("claude-3-opus", 15, 75), ("claude-3-opus-20240229", 15, 75), ("claude-3-sonnet", 3, 15),
        ("claude-3-haiku-20240307", "0.25", "1.25"), ("gemini-pro", "0.5", "1.5"), ("gemini-1.0-pro-001", "0.5", "1.5"),
        ("gpt-4o", "2.5", 10), ("gpt-4o-2024-08-06", "2.5", 10), ("gpt-4o-2024-05-13", 5, 15),
        ("gpt-4o-mini", "0.15", "0.6"), ("gpt-4o-mini-2024-07-18", "0.15", "0.6"), ("GPT-4o-Mini", "0.15", "0.6"),
        ("gpt-5", "1.25", 10), ("gpt-5-mini", "0.25", 2), ("gpt-5-nano-2025-08-07", "0.05", "0.4"),
        ("claude-sonnet-4-5-20250929", 3, 15), ("claude-opus-4-1", 15, 75), ("claude-haiku-4-5", 1, 5),
        ("gemini-2.5-pro", "1.25", 10), ("text-embedding-3-small", "0.02", 0), ("deepseek-chat", "0.28", "0.42"),
    ],
)  # fmt: skip
def test_well_known_prices(book, model, usd_in, usd_out):
    """Models that people ask for first have the price of their vendor's page, under each of their names."""
    price = book.price(model)
    assert price.cost(Usage(1000)) == Decimal(usd_in) * 10**9
    assert price.cost(Usage(output=1000)) == Decimal(usd_out) * 10**9


@pytest.mark.parametrize(
    ("spelling", "model"),
    [
        ("openai/gpt-4o", "gpt-4o"), ("models/gemini-2.5-pro", "gemini-2.5-pro"), (" gpt-4o ", "gpt-4o"),
        ("gemini/gemini-2.5-flash", "gemini-2.5-flash"), ("claude-opus-4@20250514", "claude-opus-4-0"),
        ("anthropic/claude-sonnet-4.5", "claude-sonnet-4-5"), ("claude-sonnet-4-5-latest", "claude-sonnet-4-5"),
        ("mistral/mistral-large-2512", "mistral-large-2512"), ("openrouter/openai/gpt-4o-mini", "gpt-4o-mini"),
    ],
)  # fmt: skip
def test_a_model_has_many_spellings(book, spelling, model):
    """Prefixes of gateways and clouds, dates and case lead to the same price."""
    expected = book.price(model)
    found = book.price(spelling)
    assert (found.rates, found.tiers) == (expected.rates, expected.tiers)


def test_a_region_of_bedrock_has_its_own_price(book):
    """A cloud that resells at another price is asked first, under its own name."""
    price = book.price("us.anthropic.claude-sonnet-4-5-20250929-v1:0")
    assert price.provider == "aws"
    assert price.cost(Usage(1000)) == 3_300_000_000
    unlisted = book.price("us.anthropic.claude-opus-4-1-20250805-v1:0")
    assert unlisted is not None


@pytest.mark.parametrize(
    "model",
    ["mock-model", "", " ", "gpt-4o-fake", "gpt-5-minimal", "my-gpt-4o", "ft:gpt-4o-mini:acme::x", "gpt-99",
     "x" * 10_000, "openai/", "/", "@", "\x00", "🎉", "whisper-1"],
)  # fmt: skip
def test_an_unknown_model_has_no_price(book, model):
    """It is None, to be reported as unpriced; never a price of $0, nor a lookalike's."""
    assert book.price(model) is None


def test_no_tier_is_silently_standard(book):
    """A tier that has no price of its own is unknown; batch is half of standard where it is listed."""
    assert book.price("gpt-5", service_tier="batch").cost(Usage(1000)) == 625_000_000
    assert book.price("claude-3-opus", service_tier="batch") is None
    assert book.price("gpt-4o", service_tier="scale") is None
    assert book.price("claude-sonnet-4-5", service_tier="priority") is None
    assert book.price("grok-4", service_tier="flex") is None
    for tier in (None, "", "auto", "default", "standard", "Standard"):
        assert book.price("gpt-5", service_tier=tier).service_tier == "standard"


def test_above_the_long_context_step_all_tokens_are_dearer(book):
    """A cliff: 200,000 tokens of input at the base price, one more reprices the whole call, cache included."""
    price = book.price("gemini-2.5-pro")
    assert price.cost(Usage(100_000, cache_read=100_000)) == 100_000 * 1_250_000 + 100_000 * 125_000
    assert (
        price.cost(Usage(100_001, cache_read=100_000, output=1)) == 100_001 * 2_500_000 + 100_000 * 250_000 + 15_000_000
    )


def test_a_price_holds_from_its_date(book):
    """The latest price whose date has come; the book's today unless a day is named."""
    assert book.price("o3", on=date(2025, 6, 1)).cost(Usage(1000)) == 10 * 10**9
    assert book.price("o3").cost(Usage(1000)) == 2 * 10**9
    later = PriceBook.load(today=date(2027, 1, 1))
    assert later.price("gemini-4-argon").cost(Usage(1000)) == 2 * book.price("gemini-4-argon").cost(Usage(1000))


def test_a_hosts_price_is_found_by_its_name(book):
    """An open model is sold by several hosts; the entry says by whom, and the hint chooses."""
    assert "Groq" in book.price("llama-3.3-70b-versatile").describe()
    assert book.price("groq/llama-3.3-70b-versatile").provider == "groq"
    assert book.price("meta-llama/Llama-3.3-70B-Instruct-Turbo", provider="openai").provider == "together"


def test_models_outside_the_tables_come_from_genai_prices(book, monkeypatch):
    """Lazily, from the list that was installed, and never over the network."""

    def refuse(*args, **kwargs):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    price = book.price("grok-4")
    assert re.fullmatch(r"genai-prices \d+\.\d+\.\d+", price.source)


def test_looking_up_again_is_the_same_object(book):
    """Prices are cached, unknown ones too, and a server that invents names cannot fill the memory."""
    assert book.price("gpt-4o") is book.price("gpt-4o")
    small = PriceBook.load(today=TODAY)
    for number in range(5000):
        small.price(f"gpt-4o-2024-08-06-{number}"[:150])
    assert len(small._cache) <= 4096


def test_a_users_file_wins(write):
    """Over the tables, whatever provider it names; the last file over the first; tiers and dates included."""
    first = write("provider: me\nmodels: {gpt-4o: {input: 1, output: 2}, mine: {input: '0.000001', output: 0}}")
    last = write("provider: me\nmodels: {gpt-4o: {input: 3, output: 4, max_output: 99}}", "last.yaml")
    book = PriceBook.load([first, last], today=TODAY)
    price = book.price("openai/gpt-4o-2024-08-06", provider="openai")
    assert (price.cost(Usage(1)), price.max_output, price.source) == (3_000_000, 99, "last.yaml")
    assert book.price("mine").cost(Usage(1)) == 1
    assert book.price("gpt-4o", service_tier="batch") is None
    assert book.price("gpt-4o-mini").cost(Usage(1)) == 150_000


def test_contents_that_travelled_are_as_good_as_the_file(write):
    """A worker prices by what the master read, and its source is still the file's name."""
    text = "provider: me\nmodels: {mine: {input: 1, output: 2}}"
    by_path, by_text = (PriceBook.load([given]) for given in (write(text), parse_yaml(text, "/far/away/mine.yaml")))
    assert by_path.price("mine") == by_text.price("mine")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("provider: me\nmodels:\n  m: {input: 1, output: 1}\n  m: {input: 2}", "mine.yaml:4:m: duplicate key"),
        ("provider: me\nmodels:\n  m:\n    inptu: 1\n    output: 1", r"mine.yaml:4:.*did you mean 'input'"),
        ("provider: me\nmodels:\n  m: {input: 1.0000001, output: 1}", "mine.yaml:3:models.m.input: .*six decimals"),
        ("provider: me\nmodels:\n  m: {input: -1, output: 1}", "mine.yaml:3:models.m.input"),
        ("provider: me\nmodels:\n  m: {input: yes please, output: 1}", "not 'yes please'"),
        ("provider: me\nmodels:\n  m: {input: true, output: 1}", "should be a price"),
        ("provider: me\nmodels:\n  m: {input: [1], output: 1}", "should be a price"),
        ("provider: me\nmodels:\n  m: {input: 1e9, output: 1}", "from 0 to 1,000,000"),
        ("provider: me\nmodels:\n  m: {input: 1}", "needs both input and output"),
        ("provider: me\nmodels:\n  m: {max_output: 1}", "needs either input and output, or a list"),
        ("provider: me\nmodels:\n  m: {input: 1, output: 1, prices: [{input: 1, output: 1}]}", "needs either"),
        ("provider: me\nmodels:\n  m: {prices: [{input: 1, output: 1}, {input: 2, output: 2}]}", "the same date"),
        ("provider: me\nmodels:\n  m: {prices: [{from: 2026-02-30, input: 1, output: 1}]}", "a date such as"),
        ("provider: me\nmodels:\n  m: {prices: [{from: 2026, input: 1, output: 1}]}", "a date such as"),
        ("provider: me\nmodels:\n  m: {prices: [{from: 2026-01-01}]}", "a price needs input and output"),
        ("provider: me\nmodels:\n  m: {tiers: [], from: 2026-01-01, prices: [{input: 1, output: 1}]}", "inside it"),
        ("provider: me\nmodels:\n  m: {input: 1, output: 1, service_tiers: {bach: {input: 1, output: 1}}}", "'batch'"),
        ("provider: me\nmodels:\n  m: {input: 1, output: 1, service_tiers: {batch: {}}}", "a price needs"),
        ("provider: x\nmodels: {m: {input: 1, output: 1, tiers: [{above: 9, input: 1}, {above: 9, input: 2}]}}", "asc"),
        ("provider: me\nmodels:\n  m: {input: 1, output: 1, tiers: [{above: 9}]}", "needs a price besides"),
        ("provider: me\nmodels:\n  m: {input: 1, output: 1, patterns: ['(']}", "not a regular expression"),
        ("provider: me\nmodels:\n  m: {input: 1, output: 1, aliases: [N]}\n  n: {input: 1, output: 1}", "already"),
        ("provider: me\nmodels: {}", "models"),
        ("models: {m: {input: 1, output: 1}}", "missing key 'provider'"),
        ("- 1", "should be a mapping"),
    ],
)  # fmt: skip
def test_a_wrong_price_file_is_one_clear_error(write, text, message):
    """With the file, the line and the key, and how to fix it."""
    with pytest.raises(ConfigError, match=message):
        PriceBook.load([write(text)])


def test_a_missing_price_file_is_named(tmp_path):
    """No traceback for a mistyped path."""
    with pytest.raises(ConfigError, match="no such file"):
        PriceBook.load([tmp_path / "nowhere.yaml"])


def test_a_missing_cache_price_is_billed_as_input(write):
    """A long-lived write without a price of its own costs what the short-lived one does."""
    text = "provider: me\nmodels:\n  a: {input: 2, output: 3}\n  b: {input: 2, output: 3, cache_write_5m: 5}"
    book = PriceBook.load([write(text)], today=TODAY)
    assert book.price("a").cost(Usage(0, 1, 1, 1)) == 6_000_000
    assert book.price("b").cost(Usage(0, 1, 1, 1)) == 12_000_000


def test_the_published_schema_is_the_readers():
    """pricing/schema.json is what the code checks, and the tables satisfy it."""
    published = json.loads((data_dir("pricing") / "schema.json").read_text())
    assert published == schema()
    for path in FILES:
        jsonschema.validate(yaml.load(path.read_text(), _Plain), published)


class _Plain(yaml.SafeLoader):
    """Dates stay text, as our reader has them."""


_Plain.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def test_no_two_tables_list_one_model():
    """A name belongs to one listing over all files, unless two hosts sell it."""
    seen = {}
    for listing in (listing for path in FILES for listing in read_price_file(path)):
        for name in (listing.name, *listing.aliases):
            assert seen.setdefault((listing.provider, name.lower()), listing.name) == listing.name


def test_every_listing_is_found_under_its_own_names(book):
    """No pattern or alias hides another model: each name leads to the listing that has it."""
    for listing in book.models():
        for name in (listing.name, *listing.aliases):
            assert book.price(name, provider=listing.provider).model == listing.name
        assert book.price(listing.name).checked == "2026-11-20"


def test_today_is_the_day_of_loading():
    """A book without a day given has today's prices."""
    today = datetime.now(UTC).date()
    book = PriceBook.load()
    assert book.price("gpt-4o") == book.price("gpt-4o", on=today)
