"""What every model of the Summary is made of: counts, dollars, distributions, tokens."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from agentlocust.sketch import Sketch

Usd = Annotated[str, StringConstraints(pattern=r"^-?[0-9]+(\.[0-9]{1,12})?$")]
Count = Annotated[int, Field(ge=0)]


class Part(BaseModel):
    """A model that leaves alone what a later version added."""

    model_config = ConfigDict(extra="allow", populate_by_name=True, ser_json_inf_nan="null")


class Stats(Part):
    """A distribution: percentiles are nearest-rank within 1%, the rest is exact."""

    count: Count
    mean: float
    min: float
    max: float
    p50: float
    p90: float
    p95: float
    p99: float
    p999: float = Field(alias="p99.9")

    @classmethod
    def of(cls, sketch: Sketch | None, scale: int) -> Stats | None:
        """The stats of a sketch of which `scale` make one unit; None when it holds nothing."""
        if sketch is None or not sketch.count:
            return None
        p50, p90, p95, p99, p999 = (sketch.percentile(p) / scale for p in (50, 90, 95, 99, 99.9))
        low, high = sketch.min / scale, sketch.max / scale
        return cls(
            count=sketch.count,
            mean=sketch.mean / scale,
            min=low,
            max=high,
            p50=p50,
            p90=p90,
            p95=p95,
            p99=p99,
            p999=p999,
        )


class Tokens(Part):
    """Tokens: `input` holds what was read from and written to the cache, `output` the reasoning."""

    input: Count = 0
    cache_read: Count = 0
    cache_write: Count = 0
    output: Count = 0
    reasoning: Count = 0
    estimated: Count = 0
