"""Every provider's way of counting becomes the same disjoint buckets, and nothing a server sends can raise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.usage import (
    MAX_TOKENS,
    Usage,
    from_anthropic,
    from_openai_chat,
    from_openai_embeddings,
    from_openai_responses,
)

READERS = [from_openai_chat, from_openai_responses, from_openai_embeddings, from_anthropic]
FIELDS = [
    "prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details",
    "cached_tokens", "cache_write_tokens", "cache_write_tokens_details", "ttl_30m_tokens", "ttl_12h_tokens",
    "reasoning_tokens", "prompt_cache_hit_tokens", "input_tokens", "output_tokens", "input_tokens_details",
    "output_tokens_details", "thinking_tokens", "cache_creation", "cache_creation_input_tokens",
    "cache_read_input_tokens", "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens",
]  # fmt: skip
hostile = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.integers(10**11, 10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6),
    max_leaves=20,
)
counts = st.integers(0, 10**9)


def test_openais_details_are_parts_of_its_totals():
    """Cached and written tokens are taken out of prompt_tokens, never added to it."""
    told = {
        "prompt_tokens": 1000,
        "completion_tokens": 50,
        "total_tokens": 1050,
        "prompt_tokens_details": {"cached_tokens": 600, "cache_write_tokens": 100, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 20},
    }
    expected = Usage(uncached_input=300, cache_read=600, cache_write_5m=100, output=50, reasoning=20)
    assert from_openai_chat(told) == expected


def test_a_responses_reply_tells_the_lifetime_of_its_cache_writes():
    """A write for 30 minutes is short-lived, one for 12 hours long-lived."""
    told = {
        "input_tokens": 1000,
        "output_tokens": 10,
        "input_tokens_details": {
            "cached_tokens": 100,
            "cache_write_tokens": 300,
            "cache_write_tokens_details": {"ttl_30m_tokens": 200, "ttl_12h_tokens": 100},
        },
        "output_tokens_details": {"reasoning_tokens": 4},
    }
    expected = Usage(600, cache_read=100, cache_write_5m=200, cache_write_1h=100, output=10, reasoning=4)
    assert from_openai_responses(told) == expected


def test_deepseek_tells_its_cached_part_beside_the_totals():
    """prompt_cache_hit_tokens counts when there are no details."""
    told = {"prompt_tokens": 10, "completion_tokens": 2, "prompt_cache_hit_tokens": 8, "prompt_cache_miss_tokens": 2}
    assert from_openai_chat(told) == Usage(uncached_input=2, cache_read=8, output=2)


def test_anthropics_cache_fields_stand_beside_its_input():
    """input_tokens excludes the cache, and output_tokens includes thinking."""
    told = {
        "input_tokens": 100,
        "output_tokens": 50,
        "cache_read_input_tokens": 5000,
        "cache_creation_input_tokens": 2000,
        "cache_creation": {"ephemeral_5m_input_tokens": 1500, "ephemeral_1h_input_tokens": 500},
        "output_tokens_details": {"thinking_tokens": 30},
    }
    expected = Usage(100, cache_read=5000, cache_write_5m=1500, cache_write_1h=500, output=50, reasoning=30)
    assert from_anthropic(told) == expected
    assert expected.input == 7100


def test_a_cache_write_without_detail_is_short_lived():
    """Without cache_creation all of cache_creation_input_tokens is billed as the 5-minute write."""
    told = {"input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 7}
    assert from_anthropic(told) == Usage(uncached_input=1, cache_write_5m=7, output=1)


def test_a_message_delta_overwrites_and_never_adds():
    """Its counts are cumulative; what it leaves out or sends as null keeps message_start's value."""
    start = {"input_tokens": 25, "output_tokens": 1, "cache_read_input_tokens": 10}
    delta = {"output_tokens": 15, "input_tokens": None}
    assert from_anthropic(start, delta) == Usage(uncached_input=25, cache_read=10, output=15)


def test_a_delta_alone_is_enough():
    """A stream whose message_start told nothing is still counted."""
    assert from_anthropic(None, {"output_tokens": 15}) == Usage(output=15)


def test_embeddings_have_input_only():
    """total_tokens stands in for prompt_tokens where a server leaves that out."""
    assert from_openai_embeddings({"prompt_tokens": 8, "total_tokens": 8}) == Usage(uncached_input=8)
    assert from_openai_embeddings({"total_tokens": 8}) == Usage(uncached_input=8)


@pytest.mark.parametrize("told", [None, {}, [], "usage", 7, {"prompt_tokens": None}, {"input_tokens": "many"}])
@pytest.mark.parametrize("reader", READERS)
def test_nothing_usable_is_none(reader, told):
    """What tells nothing is None, so that the caller counts for itself."""
    assert reader(told) is None


@pytest.mark.parametrize("reader", READERS)
def test_zeros_tell_nothing(reader):
    """A server that sends zeros has not counted."""
    assert reader(dict.fromkeys(FIELDS, 0)) is None


@pytest.mark.parametrize("value", [-1, True, "-5", "1e3", "", 1.5, float("nan"), float("inf"), MAX_TOKENS + 1, [], {}])
def test_a_count_that_is_none_is_left_out(value):
    """Booleans, negatives, fractions and absurd numbers are no counts."""
    assert from_openai_chat({"prompt_tokens": value, "completion_tokens": 3}) == Usage(output=3)


@pytest.mark.parametrize("value", [12, 12.0, "12"])
def test_a_count_may_be_written_in_three_ways(value):
    """Some servers write counts as text or as floats."""
    assert from_openai_chat({"prompt_tokens": value}) == Usage(uncached_input=12)


@given(hostile, hostile)
def test_no_server_can_make_them_raise(one, two):
    """Whatever arrives, the answer is None or counts that are not negative."""
    for usage in [*(reader(one) for reader in READERS), from_anthropic(one, two)]:
        if usage is not None:
            buckets = (usage.uncached_input, usage.cache_read, usage.cache_write_5m, usage.cache_write_1h, usage.output)
            assert all(isinstance(bucket, int) and bucket >= 0 for bucket in buckets)
            assert 0 <= usage.reasoning <= usage.output
            assert usage.total > 0


@given(counts, counts, counts, counts, counts, counts)
def test_openais_buckets_add_up_to_its_total(prompt, completion, cached, written, long, reasoning):
    """Even when a server's details exceed its totals, all input is prompt_tokens, neither more nor less."""
    lifetimes = {"ttl_12h_tokens": long}
    details = {"cached_tokens": cached, "cache_write_tokens": written, "cache_write_tokens_details": lifetimes}
    usage = from_openai_chat(
        {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "prompt_tokens_details": details,
            "completion_tokens_details": {"reasoning_tokens": reasoning},
        }
    )
    if prompt + completion == 0:
        assert usage is None
    else:
        assert usage is not None
        assert (usage.input, usage.output) == (prompt, completion)
        assert usage.cache_read == min(cached, prompt)


@given(counts, counts, counts, counts, counts)
def test_anthropics_total_write_wins_over_its_details(plain, read, written, short, long):
    """The buckets add up to input + cache_read + cache_creation, whatever the details say."""
    usage = from_anthropic(
        {
            "input_tokens": plain,
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": written,
            "cache_creation": {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long},
            "output_tokens": 1,
        }
    )
    assert usage is not None
    assert usage.input == plain + read + written
