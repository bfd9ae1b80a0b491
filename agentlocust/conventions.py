"""How a stream's stamps become TTFT, ITL, TPOT and latency: ours, and those of other tools.

Tools mean different things by the same words, so their results can only be laid beside ours when
ours are computed their way. Sources: the tools' own code, vLLM's `benchmarks/serve.py` and
`backend_request_func.py` (2026), AIPerf 0.13, guidellm 0.8.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Convention(StrEnum):
    """Whose definitions of the times are used."""

    AGENTLOCUST = "agentlocust"  # first generated token of any channel; gaps between token events
    VLLM = "vllm"  # any chunk with choices counts, the role's and the finish chunk's too
    AIPERF = "aiperf"  # ITL is one number a call: (latency - ttft) / (tokens - 1)
    GUIDELLM = "guidellm"  # as AIPerf's ITL over token times; TPOT includes the TTFT


@dataclass(frozen=True, slots=True)
class Stamps:
    """What one streamed reply brought when, in nanoseconds: token events, and all frames with choices."""

    started_ns: int
    tokens: Sequence[int]
    frames: Sequence[int] = ()
    ended_ns: int = 0  # the last byte


@dataclass(frozen=True, slots=True)
class Times:
    """The times of one streamed reply: nanoseconds from its start, and the gaps of its ITL."""

    ttft_ns: int
    latency_ns: int
    gaps_ns: Sequence[int]
    tpot_ns: float | None


def times_of(stamps: Stamps, output_tokens: int, convention: Convention = Convention.AGENTLOCUST) -> Times | None:
    """The times of a reply by a convention; None when nothing was generated."""
    tokens, started = stamps.tokens, stamps.started_ns
    if not tokens:
        return None
    if convention is Convention.VLLM and stamps.frames:
        tokens = stamps.frames
    ttft, latency = tokens[0] - started, tokens[-1] - started
    gaps: Sequence[int] = [later - sooner for sooner, later in itertools.pairwise(tokens)]
    tpot = (latency - ttft) / (output_tokens - 1) if output_tokens > 1 else None
    if convention is Convention.AIPERF:
        gaps = [round(tpot)] if tpot is not None else []
    elif convention is Convention.GUIDELLM:
        gaps = [round(tpot)] if tpot is not None else []
        tpot = latency / output_tokens if output_tokens else None
        latency = max(stamps.ended_ns - started, latency)
    return Times(ttft, latency, gaps, tpot)
