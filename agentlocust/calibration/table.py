"""How a calibration is shown."""

from __future__ import annotations

from agentlocust.rating import Rating, Step

HEAD = "streams   tokens/s  achieved  TTFT p50 bias  TTFT p99 bias  ITL p50 bias  lag p99   CPU  grade"


def step_line(step: Step) -> str:
    """One tried load as a line of the table."""
    return (
        f"{step.streams:>7}{step.tokens_per_s:>11,.0f}{step.achieved:>10.1%}{step.ttft_p50_bias_ms:>+12.2f} ms"
        f"{step.ttft_p99_bias_ms:>+12.2f} ms{step.itl_p50_bias_ms:>+11.2f} ms{step.lag_p99_ms:>6.1f} ms"
        f"{step.cpu:>6.0%}  {step.grade}{'' if step.ok else ', not true'}"
    )


def rating_line(rating: Rating) -> str:
    """What was found."""
    return (
        f"one worker is rated for {rating.rated_streams:,} streams, {rating.rated_tokens_per_s:,.0f} tokens/s, "
        f"here ({rating.machine}, {rating.cores} cores shared with the mock)"
    )
