"""Token usage as agents tell it: in any provider's or framework's words.

OpenAI's (`prompt_tokens`, `input_tokens` with details), Anthropic's (cache fields beside the input),
LangChain's `usage_metadata`, AG-UI 1.0's `TokenUsage` and the plain camelCase of many services.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentlocust.usage import Usage, from_anthropic, from_openai_responses

_INPUT = ("input_tokens", "prompt_tokens", "inputTokens", "promptTokens", "promptTokenCount", "input")
_OUTPUT = ("output_tokens", "completion_tokens", "outputTokens", "completionTokens", "candidatesTokenCount", "output")
_CACHED = ("cachedInputTokens", "cached_tokens", "cachedTokens", "cachedContentTokenCount", "cached", "cache_read")
_WRITTEN = ("cacheWriteInputTokens", "cache_write_tokens", "cache_write", "cache_creation")
_REASONING = ("reasoningTokens", "reasoning_tokens", "thoughtsTokenCount", "reasoning")
_INPUT_DETAILS = ("prompt_tokens_details", "input_tokens_details", "input_token_details")
_OUTPUT_DETAILS = ("completion_tokens_details", "output_tokens_details", "output_token_details")


def read_usage(told: Any) -> Usage | None:
    """The usage in an object; None when it tells nothing. Never raises."""
    if not isinstance(told, Mapping):
        return None
    if "cache_read_input_tokens" in told or "cache_creation_input_tokens" in told:
        return from_anthropic(told)
    inputs, outputs = _details(told, _INPUT_DETAILS), _details(told, _OUTPUT_DETAILS)
    return from_openai_responses(
        {
            "input_tokens": _first(told, _INPUT),
            "output_tokens": _first(told, _OUTPUT),
            "input_tokens_details": {
                "cached_tokens": _first(inputs, _CACHED, told),
                "cache_write_tokens": _first(inputs, _WRITTEN, told),
            },
            "output_tokens_details": {"reasoning_tokens": _first(outputs, _REASONING, told)},
        }
    )


def add_usage(one: Usage, other: Usage) -> Usage:
    """What two calls used together."""
    return Usage(
        one.uncached_input + other.uncached_input,
        one.cache_read + other.cache_read,
        one.cache_write_5m + other.cache_write_5m,
        one.cache_write_1h + other.cache_write_1h,
        one.output + other.output,
        one.reasoning + other.reasoning,
        estimated=one.estimated or other.estimated,
    )


def _details(told: Mapping[str, Any], names: tuple[str, ...]) -> Mapping[str, Any]:
    return next((told[name] for name in names if isinstance(told.get(name), Mapping)), {})


def _first(told: Mapping[str, Any], names: tuple[str, ...], otherwise: Mapping[str, Any] | None = None) -> Any:
    for source in (told, otherwise or {}):
        for name in names:
            if source.get(name) is not None:
                return source[name]
    return None
