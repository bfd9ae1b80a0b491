"""What a call gives back to the person who wrote the locustfile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from agentlocust.dialects.base import ToolRequest
from agentlocust.failures import Failure
from agentlocust.metrics import SCALE, Unit
from agentlocust.records import Call
from agentlocust.usage import Usage

if TYPE_CHECKING:
    from agentlocust.wire.tap import Outcome


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


Check = Callable[[Reply], object]


def judged(check: Check, reply: Reply) -> str:
    """Why `check` finds the reply wrong; "" when it does not."""
    try:
        verdict = check(reply)
    except Exception as error:  # the user's own code: what it raises is its verdict
        return f"check raised {type(error).__name__}: {error}"
    if isinstance(verdict, str):
        return verdict
    return "check failed" if verdict is False else ""


def fill_reply(reply: Reply, call: Call, outcome: Outcome) -> None:
    """Tell in `reply` what came of the call."""
    decoded = outcome.decoded
    reply.text = decoded.text
    reply.reasoning = decoded.reasoning
    reply.tool_calls = decoded.tool_calls
    reply.usage = call.usage
    reply.cost = None if call.cost_picousd is None else Decimal(call.cost_picousd) / SCALE[Unit.USD]
    reply.ttft = call.ttft
    reply.latency = call.latency
    reply.finish_reason = decoded.finish_reason
    reply.model = decoded.model or call.model
    reply.status = call.status
    reply.failure = call.failure
    reply.raw = decoded.raw
