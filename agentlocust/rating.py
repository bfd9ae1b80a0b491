"""The rated load of one worker on this machine, as `agentlocust calibrate` found it."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

FILE_NAME = "calibration.json"


class Step(BaseModel):
    """One load that was tried: times in milliseconds, CPU of one core, and whether it was still true."""

    model_config = ConfigDict(extra="allow")

    streams: int
    tokens_per_s: float
    achieved: float
    ttft_p50_bias_ms: float
    ttft_p99_bias_ms: float
    itl_p50_bias_ms: float
    lag_p99_ms: float
    cpu: float
    grade: str
    ok: bool


class Rating(BaseModel):
    """What one worker can be trusted with here."""

    model_config = ConfigDict(extra="allow")

    schema_version: int = 1
    date: str
    machine: str
    cores: int
    ttft_ms: float
    itl_ms: float
    rated_streams: int
    rated_tokens_per_s: float = Field(gt=0)
    steps: list[Step]


def this_machine() -> tuple[str, int]:
    """What tells machines apart well enough: architecture and kernel, and how many cores."""
    return f"{platform.machine()} {platform.system()} {platform.release()}", os.cpu_count() or 1


def save_rating(rating: Rating, out: Path) -> Path:
    """Keep a rating among the results; returns its file."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / FILE_NAME
    temporary = path.with_suffix(".new")
    temporary.write_text(rating.model_dump_json(indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)
    return path


def load_rating(out: Path) -> Rating | None:
    """The rating of this machine, if one was kept among these results."""
    try:
        rating = Rating.model_validate_json((out / FILE_NAME).read_bytes())
    except (OSError, ValidationError):
        return None
    return rating if (rating.machine, rating.cores) == this_machine() else None
