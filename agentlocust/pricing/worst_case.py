"""The most that one request can cost, reckoned from its own bytes before it is sent.

Input: a common consonant beside a vowel, or a blank before either, is taken for one token, any other
byte for one of its own. Tokenizers hold every byte and such pairs at least, most of them whole words:
plain English has a third as many tokens, and random text of any alphabet fewer too. `TOOLS_TOKENS`
stand for the system text that a provider adds when tools are on offer. Pictures and files that a
request only names (by URL or id), and conversations that a server remembers, are not in the bytes
and not in the bound.

Output: the request's own limit, else the most that the model may give (`max_output` of its price
file), else the most that its provider's models give.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from agentlocust.pricing.price import Price

TOOLS_TOKENS = 700
MOST_OUTPUT = {"openai": 128_000, "anthropic": 128_000, "google": 65_536, "mistral": 262_144, "deepseek": 393_216}
MOST_OUTPUT_ELSEWHERE = 131_072

_PAIR = re.compile(rb"[aeiou ][bcdfghlmnprsty]|[bcdfghlmnprsty ][aeiou]")
_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


def input_bound(body: bytes) -> int:
    """No fewer tokens than a request's body holds."""
    tokens = (len(body) + len(_PAIR.sub(b"", body)) + 1) // 2
    return tokens + (TOOLS_TOKENS if b'"tools"' in body else 0)


def output_limit(asked: Mapping[str, object]) -> tuple[int | None, int]:
    """The output tokens that a request allows each of its replies (None: no limit), and how many it asks for."""
    limits = [limit for key in _LIMITS if (limit := _whole(asked.get(key)))]
    return (max(limits) if limits else None), _whole(asked.get("n")) or 1


def most_output(price: Price) -> int:
    """The most output tokens of one reply."""
    return price.max_output or MOST_OUTPUT.get(price.provider.lower(), MOST_OUTPUT_ELSEWHERE)


def worst_case(price: Price, body: bytes, limit: int | None = None, replies: int = 1) -> int:
    """Pico-dollars that a request costs at most, by the dearest bucket its input may fall into."""
    tokens = input_bound(body)
    output = (most_output(price) if limit is None else limit) * replies
    dearest = 0
    for rates in (price.rates, *(dearer for above, dearer in price.tiers if above < tokens)):
        read = max(rates.input, rates.cache_read, rates.cache_write_5m)
        if b"cache" in body:  # long-lived writes are billed to those who ask for them
            read = max(read, rates.cache_write_1h)
        dearest = max(dearest, tokens * read + output * (rates.output + max(rates.reasoning, 0)))
    return -(-dearest // price.divisor)


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
