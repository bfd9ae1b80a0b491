"""What is recorded of an ask of an agent that is a service, and who leaves before it has answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from agentlocust.errors import ConfigError
from agentlocust.failures import Failure, FailureKind
from agentlocust.metrics import SCALE, Unit
from agentlocust.mock.behaviour import split_model
from agentlocust.records import AgentRun, EndReason, Labels
from agentlocust.units import parse_duration, parse_percent
from agentlocust.users.http_agent_asking import Asking
from agentlocust.users.http_agent_reply import AgentReply
from agentlocust.users.meter import Meter, attributed


@dataclass(frozen=True, slots=True)
class Abandonment:
    """A share of asks is given up after so many seconds."""

    share: float
    after_s: float

    @classmethod
    def parse(cls, told: Any, where: str) -> Abandonment | None:
        """Read `{"share": 0.2, "after": "3s"}`. Raises ConfigError."""
        if told is None:
            return None
        hint = "such as {'share': 0.2, 'after': '3s'}"
        if not isinstance(told, Mapping) or set(told) != {"share", "after"}:
            raise ConfigError(f"{told!r} does not say who leaves when", where=where, hint=hint)
        share = told["share"]
        try:
            number = parse_percent(share) if isinstance(share, str) else share
            after_s = parse_duration(told["after"])
        except ConfigError as error:
            raise ConfigError(error.what, where=where, hint=error.hint) from None
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number <= 1:
            raise ConfigError(f"a share of {share!r} is not between 0 and 1", where=where, hint=hint)
        return cls(float(number), after_s)

    def draw(self, chance: float) -> float | None:
        """Seconds after which this ask is given up, or None."""
        return self.after_s if chance < self.share else None


class RequestRecord:
    """Makes the record of one ask, and the reply that tells the same."""

    def __init__(
        self, meter: Meter, name: str, model: str, started_ns: int, labels: Labels, *, inside: bool = False
    ) -> None:
        self._meter = meter
        self._name = name
        self._model = split_model(model)[0]  # what follows tells the mock how to behave
        self._started_ns = started_ns
        self._labels = labels
        self._inside = inside  # another run

    def reply(self, asking: Asking, *, abandoned: bool = False) -> AgentReply:
        """What the person gets."""
        answer, usage = asking.answer, asking.answer.usage
        model = next((name for name in answer.usages if name), "") or self._model
        picousd = self._cost(asking) if answer.usages else None
        return AgentReply(
            text=answer.text,
            reasoning=answer.reasoning,
            events=answer.events,
            tool_calls=answer.tool_calls,
            tool_results=answer.results,
            usage=usage,
            reported=bool(answer.usages),
            model=self._meter.scrubber.name(model),  # the service chose it
            cost=None if picousd is None else Decimal(picousd) / SCALE[Unit.USD],
            session_id=answer.session_id,
            finish_reason=answer.finish_reason,
            ttfe=self._after(answer.first_event_ns),
            ttft=self._after(answer.first_token_ns),
            ttfo=self._after(answer.first_output_ns),
            first_tool=self._after(answer.first_tool_ns),
            latency=(asking.ended_ns - self._started_ns) / 1e9,
            requests=asking.requests,
            status=asking.status,
            response_bytes=asking.response_bytes,
            failure=None if abandoned else self._scrubbed(asking.failure, asking.faults),
            abandoned=abandoned,
            faults=asking.faults,
        )

    def of(self, reply: AgentReply) -> AgentRun:
        """What is recorded."""
        failure = reply.failure
        if failure is not None:
            failure = reply.failure = self._scrubbed(failure, reply.faults)
        started = self._started_ns / 1e9
        cost = None if reply.cost is None else int(reply.cost * SCALE[Unit.USD])
        return AgentRun(
            self._name,
            started,
            reply.latency,
            tool_calls=len(reply.tool_calls),
            tool_errors=sum(result.is_error for result in reply.tool_results),
            usage=reply.usage,
            cost_picousd=cost,
            ttfe=reply.ttfe,
            ttft=reply.ttft,
            ttfo=reply.ttfo,
            first_tool=reply.first_tool,
            end_reason=_end_reason(reply),
            error=str(failure) if failure is not None else "",
            failure=failure,
            abandoned=reply.abandoned,
            black_box=True,
            inside=self._inside,
            reported=reply.reported,
            model=reply.model,
            faults=reply.faults,
            injected=failure is not None and failure.injected,
            phase=self._meter.phase_at(started),
            labels=self._labels,
        )

    def cut(self, asking: Asking, failure: Failure) -> AgentRun:
        """What is recorded of an ask that was cut."""
        reply = self.reply(asking)
        reply.failure = failure
        cancelled = failure.kind is FailureKind.CANCELLED
        record = self.of(reply)
        return (
            replace(record, error="", failure=None, injected=False, cancelled=True, end_reason=EndReason.CANCELLED)
            if cancelled
            else record
        )

    def _after(self, stamp_ns: int) -> float | None:
        return (stamp_ns - self._started_ns) / 1e9 if stamp_ns else None

    def _cost(self, asking: Asking) -> int | None:
        prices, own = self._meter.prices, self._model
        total = 0
        for model, usage in asking.answer.usages.items():
            price = (prices.price(model) if model else None) or (prices.price(own) if own else None)
            if price is None:
                return None
            total += price.cost(usage)
        return total

    def _scrubbed(self, failure: Failure | None, faults: tuple[str, ...]) -> Failure | None:
        if failure is None:
            return None
        return attributed(replace(failure, message=self._meter.scrubber.sample(failure.message)), faults)


def _end_reason(reply: AgentReply) -> EndReason:
    if reply.abandoned:
        return EndReason.ABANDONED
    if reply.failure is None:
        return EndReason.FINAL
    kinds = {FailureKind.TIMEOUT: EndReason.TIMEOUT, FailureKind.CHECK: EndReason.CHECK_FAILED}
    return kinds.get(reply.failure.kind, EndReason.ERROR)
