"""No request costs more than its worst case, and plain ones not absurdly less."""

from __future__ import annotations

import base64
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.pricing import PriceBook
from agentlocust.pricing.worst_case import TOOLS_TOKENS, input_bound, most_output, output_limit, worst_case
from agentlocust.tokens import Exactness, TokenCounter
from agentlocust.usage import Usage

ALPHABETS = [
    "abcdefghijklmnopqrstuvwxyz",
    "qxzjkvw ",
    "etaoinshrdlu ",
    "aeiou",
    "bcdfghlmnprst",
    "aeinrstABC",
    "0123456789abcdef",
    "ATGC",
    "{}[]():;,.",
    "\n\t ",
]


@pytest.fixture(scope="module")
def book() -> PriceBook:
    """The package's prices."""
    return PriceBook.load()


@pytest.fixture(scope="module")
def counter() -> TokenCounter:
    """A counter with real ranks."""
    found = TokenCounter()
    if found.exactness("gpt-4o") is Exactness.APPROXIMATE:
        pytest.skip("no rank files here")
    return found


@given(st.text(max_size=300))
def test_no_text_has_more_tokens_than_its_bound(counter, text):
    """Whatever is written, in any script: a body's bound is at least what a tokenizer counts in it."""
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}]}
    encoded = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
    for model in ("gpt-4o", "gpt-4"):
        assert counter.count_request(body, model) <= input_bound(encoded)


@pytest.mark.parametrize("alphabet", ALPHABETS)
def test_random_letters_are_within_the_bound(counter, alphabet):
    """Texts that no tokenizer was made for, long enough that the framing hides nothing."""
    rng = random.Random(5)
    for _ in range(20):
        text = "".join(rng.choices(alphabet, k=2000))
        for model in ("gpt-4o", "gpt-4"):
            assert counter.count(text, model)[0] * 1.2 <= input_bound(text.encode())
    packed = base64.b64encode(rng.randbytes(3000))
    assert counter.count(packed.decode(), "gpt-4o")[0] <= input_bound(packed)


def test_plain_english_is_bounded_within_reason(counter):
    """A guard that set ten times too much aside would stop tests half-way."""
    text = "The order was sent on Monday and should be with you by the end of the week. " * 20
    assert counter.count(text, "gpt-4o")[0] * 4 > input_bound(text.encode())


tokens = st.integers(0, 5000)


@given(
    st.sampled_from(["gpt-4o-mini", "gpt-6-sol", "claude-opus-5", "gemini-2.5-pro", "deepseek-chat"]),
    st.binary(max_size=3000),
    st.integers(1, 5000),
    st.lists(st.floats(0, 1), min_size=4, max_size=4),
    st.floats(0, 1),
)
def test_no_usage_within_the_limits_costs_more(book, model, body, limit, parts, share):
    """However the input is spread over the buckets and how much of the limit is used."""
    price = book.price(model)
    whole, bound = sum(parts) or 1.0, input_bound(body + b"cache")
    spread = [int(bound * part / whole) for part in parts]
    output = int(limit * share)
    usage = Usage(*spread, output=output, reasoning=output // 2)
    assert price.cost(usage) <= worst_case(price, body + b"cache", limit)


def test_a_long_input_is_priced_by_the_dearest_tier_it_may_reach(book):
    """Above its threshold a long-context tier applies to every token."""
    price = book.price("gpt-6-sol")
    above, dearer = price.tiers[0]
    short, long = b"A" * (above - 1), b"A" * (above + 1)
    assert worst_case(price, long, 1) - worst_case(price, short, 1) > above * (dearer.input - price.rates.input)


def test_the_most_output_comes_from_the_price_file_else_from_the_provider(book):
    """A call without a limit may give as much as its model can."""
    assert most_output(book.price("gpt-4o-mini")) == 16_384
    assert all(most_output(price) > 0 for listing in book.models() if (price := book.price(listing.name)))


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, (None, 1)),
        ({"max_tokens": 5}, (5, 1)),
        ({"max_tokens": 5, "max_completion_tokens": 7, "n": 3}, (7, 3)),
        ({"max_output_tokens": 9}, (9, 1)),
        ({"max_tokens": "many", "n": True}, (None, 1)),
        ({"max_tokens": None, "n": -1}, (None, 1)),
    ],
)
def test_limits_are_read_in_every_dialect(asked, found):
    """The largest of several limits holds; what is no number is no limit."""
    assert output_limit(asked) == found


def test_tools_add_the_providers_own_text():
    """What a provider puts before a request with tools is not in its bytes."""
    assert input_bound(b'{"tools":[]}') - input_bound(b'{"toolz":[]}') == TOOLS_TOKENS
