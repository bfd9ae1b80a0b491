"""What a run keeps of a call: a step from its record and its reply, and texts if they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from agentlocust.diagnosis import Saving
from agentlocust.dialects.base import Decoded
from agentlocust.pricing import PriceBook
from agentlocust.records import Call
from agentlocust.redact import cut
from agentlocust.steps import CallStep, ToolAsk, parsed, result_text
from agentlocust.tool_schemas import Schemas, asks_of

if TYPE_CHECKING:
    from agentlocust.users.meter import Meter

MAX_NAME = 80  # characters of a tool's or an agent's name
MAX_TEXT = 4_000  # characters of one text that is captured
MAX_TEXTS = 200_000  # of all texts of a run
_HALF_SECRET = 1_000  # characters at a cut that may be a part of one

Clean = Callable[[str, int], str]


def call_step(
    call: Call, decoded: Decoded | None, schemas: Schemas, agent: str, clean: Clean, *, repeats: bool
) -> CallStep:
    """A call as a step of its run; `clean` makes the names of tools safe that the model made up."""
    replied = decoded.tool_calls if decoded is not None else ()
    asked = [(ask.name if ask.name in schemas else clean(ask.name, MAX_NAME), ask.arguments_json) for ask in replied]
    return CallStep(
        call.name,
        call.model,
        call.started,
        call.latency,
        call.ttft,
        call.ttfo,
        call.attempts,
        call.usage,
        call.cost_picousd,
        str(call.failure.kind) if call.failure is not None else "",
        asks_of(asked, schemas),
        repeats,
        agent,
    )


def saving_by(prices: PriceBook) -> Saving:
    """What a cached token saves, by the price of the model that was asked."""

    def saving(call: CallStep) -> Fraction | None:
        price = prices.price(call.model)
        if price is None:
            return None
        rates = price.rates_for(call.usage.input)
        return Fraction(rates.input - rates.cache_read, price.divisor)

    return saving


class Texts:
    """The texts of one run, without secrets and bounded; nothing unless the test keeps texts."""

    def __init__(self, meter: Meter) -> None:
        self.wanted = meter.ledger.captured.texts
        self.asked = ""
        self._scrub = meter.scrubber.scrub
        self._left = MAX_TEXTS

    def of(self, text: str) -> str:
        """A text as it may be kept."""
        limit = min(MAX_TEXT, self._left)
        clean = self._scrub(text[: 2 * MAX_TEXT])
        if len(text) > 2 * MAX_TEXT:
            clean = clean[:-_HALF_SECRET]
        clean = cut(clean, limit)
        self._left -= len(clean)
        return clean

    def of_call(self, step: CallStep, decoded: Decoded | None, body: bytes) -> CallStep:
        """A call's step with what was said last and what was replied."""
        said = self.of(_said_last(body))
        self.asked = self.asked or said
        asks = tuple(ToolAsk(ask.name, ask.digest, ask.problem, self.of(ask.text)) for ask in step.asks)
        return replace(step, said=said, replied=self.of(decoded.text) if decoded is not None else "", asks=asks)


def _said_last(body: bytes) -> str:
    """The text of the last message of a request."""
    try:
        request = parsed(body.decode("utf-8", "replace"))
    except ValueError:
        return ""
    messages = request.get("messages", request.get("input")) if isinstance(request, Mapping) else None
    last = messages[-1] if isinstance(messages, list) and messages else messages
    content: Any = last.get("content", last.get("output")) if isinstance(last, Mapping) else last
    if isinstance(content, list):
        texts = [part.get("text", part.get("content")) for part in content if isinstance(part, Mapping)]
        return "\n".join(text for text in texts if isinstance(text, str))
    return result_text(content)
