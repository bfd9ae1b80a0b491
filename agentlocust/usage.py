"""Token usage in disjoint buckets, whatever the provider's own way of counting.

OpenAI's details (cached, written, reasoning) are parts of its totals; Anthropic's cache fields stand
beside `input_tokens`. The `from_*` functions turn each into the same disjoint `Usage`. Field names are
those of the official SDKs (openai 3.x `CompletionUsage` and `ResponseUsage`, anthropic 2.x `Usage` and
`MessageDeltaUsage`). What a server sends is hostile: no function here raises, whatever it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_TOKENS = 10**12  # a larger count is nonsense, not usage


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call. Input buckets are disjoint; `reasoning` is a part of `output`.

    `cache_write_5m` holds all short-lived cache writes and `cache_write_1h` all long-lived ones.
    `estimated` is True when any bucket was counted here instead of told by the server.
    """

    uncached_input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0
    estimated: bool = False

    @property
    def input(self) -> int:
        """All input: uncached, read from cache and written to it."""
        return self.uncached_input + self.cache_read + self.cache_write_5m + self.cache_write_1h

    @property
    def cache_write(self) -> int:
        """Input written to the cache, whatever its lifetime."""
        return self.cache_write_5m + self.cache_write_1h

    @property
    def total(self) -> int:
        """Input and output together."""
        return self.input + self.output


def from_openai_chat(usage: Mapping[str, Any] | None) -> Usage | None:
    """The `usage` object of a chat completion; None when it tells nothing (or only zeros)."""
    if not isinstance(usage, Mapping):
        return None
    details = _mapping(usage.get("prompt_tokens_details"))
    # DeepSeek and its followers tell the cached part beside the totals.
    cached = _either(details.get("cached_tokens"), usage.get("prompt_cache_hit_tokens"))
    reasoning = _mapping(usage.get("completion_tokens_details")).get("reasoning_tokens")
    return _inclusive(usage.get("prompt_tokens"), cached, details, usage.get("completion_tokens"), reasoning)


def from_openai_responses(usage: Mapping[str, Any] | None) -> Usage | None:
    """The `usage` object of a Responses API reply; None when it tells nothing (or only zeros)."""
    if not isinstance(usage, Mapping):
        return None
    details = _mapping(usage.get("input_tokens_details"))
    reasoning = _mapping(usage.get("output_tokens_details")).get("reasoning_tokens")
    cached = details.get("cached_tokens")
    return _inclusive(usage.get("input_tokens"), cached, details, usage.get("output_tokens"), reasoning)


def from_openai_embeddings(usage: Mapping[str, Any] | None) -> Usage | None:
    """The `usage` object of an embeddings reply: input only; None when it tells nothing."""
    if not isinstance(usage, Mapping):
        return None
    told = _either(usage.get("prompt_tokens"), usage.get("total_tokens"))
    return Usage(uncached_input=told) if told else None


def from_anthropic(start: Mapping[str, Any] | None, delta: Mapping[str, Any] | None = None) -> Usage | None:
    """`message_start`'s usage, each field overwritten by the last `message_delta`'s where that is not null.

    A delta's counts are cumulative, so they replace and never add. A reply that is not streamed passes
    its one `usage` object as `start`. None when both tell nothing (or only zeros).
    """
    told = dict(start) if isinstance(start, Mapping) else {}
    if isinstance(delta, Mapping):
        told.update((name, value) for name, value in delta.items() if value is not None)
    lifetimes = _mapping(told.get("cache_creation"))
    short, long = _count(lifetimes.get("ephemeral_5m_input_tokens")), _count(lifetimes.get("ephemeral_1h_input_tokens"))
    written = _count(told.get("cache_creation_input_tokens"))
    short, long = _split(written, short, long)
    output = _count(told.get("output_tokens")) or 0
    thinking = _count(_mapping(told.get("output_tokens_details")).get("thinking_tokens")) or 0
    usage = Usage(
        uncached_input=_count(told.get("input_tokens")) or 0,
        cache_read=_count(told.get("cache_read_input_tokens")) or 0,
        cache_write_5m=short,
        cache_write_1h=long,
        output=output,
        reasoning=min(thinking, output),
    )
    return usage if usage.total else None


def _inclusive(
    prompt: object, cached: object, details: Mapping[str, Any], completion: object, reasoning: object
) -> Usage | None:
    """Totals whose details are parts of them (OpenAI's way), as disjoint buckets.

    A write kept for 30 minutes goes to the short bucket (`5m`), one kept for 12 hours to the long (`1h`).
    """
    total, output = _count(prompt) or 0, _count(completion) or 0
    if not total + output:
        return None
    read = min(_count(cached) or 0, total)
    lifetimes = _mapping(details.get("cache_write_tokens_details"))
    short, long = _count(lifetimes.get("ttl_30m_tokens")), _count(lifetimes.get("ttl_12h_tokens"))
    short, long = _split(_count(details.get("cache_write_tokens")), short, long)
    long = min(long, total - read)
    short = min(short, total - read - long)
    return Usage(
        uncached_input=total - read - short - long,
        cache_read=read,
        cache_write_5m=short,
        cache_write_1h=long,
        output=output,
        reasoning=min(_count(reasoning) or 0, output),
    )


def _split(written: int | None, short: int | None, long: int | None) -> tuple[int, int]:
    """Tokens written to the cache by lifetime; the total wins over the details, the rest is short-lived."""
    if written is None:
        return short or 0, long or 0
    kept = min(long or 0, written)
    return written - kept, kept


def _count(value: object) -> int | None:
    """A token count as some servers write it (12, 12.0, "12"); None for anything else."""
    if isinstance(value, str) and len(value) <= 15 and value.isascii() and value.isdigit():
        value = int(value)
    elif isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_TOKENS:
        return value
    return None


def _either(first: object, second: object) -> int | None:
    told = _count(first)
    return _count(second) if told is None else told


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
