"""What a call gives back to the person who wrote the locustfile."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from agentlocust.dialects.base import ToolRequest
from agentlocust.failures import Failure
from agentlocust.usage import Usage


@dataclass(slots=True)
class Reply:
    """The outcome of one call; a failed one is a Reply too, with `failure` set.

    `ttft` and `latency` are seconds, `cost` is US dollars (None: the model has no price).
    `raw` is the decoded JSON of a reply that was not streamed, `vectors` an embedding's result.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: list[ToolRequest] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    cost: Decimal | None = None
    ttft: float | None = None
    latency: float = 0.0
    finish_reason: str = ""
    model: str = ""
    status: int = 0
    failure: Failure | None = None
    raw: Any = None

    @property
    def ok(self) -> bool:
        """True when the call completed and its check, if any, passed."""
        return self.failure is None

    @property
    def vectors(self) -> list[Any]:
        """The embeddings of an `embed` call, in the order asked."""
        data = self.raw.get("data") if isinstance(self.raw, dict) else None
        return [item.get("embedding") for item in data if isinstance(item, dict)] if isinstance(data, list) else []
