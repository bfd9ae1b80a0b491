"""What was measured, one frozen record a call, tool call or agent run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from agentlocust.failures import Failure, FailureKind
from agentlocust.usage import Usage

Labels = tuple[tuple[str, str], ...]

MAIN_PHASE = "main"
WARMUP_PHASE = "warm-up"


@dataclass(frozen=True, slots=True)
class ConnectionTimes:
    """How the last attempt of a call used its connection, in seconds; a reused one was opened before.

    `first_byte_s` counts from when the request went out to the reply's first byte.
    """

    reused: bool
    dns_s: float = 0.0
    connect_s: float = 0.0
    tls_s: float = 0.0
    send_s: float = 0.0
    first_byte_s: float | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One LLM request as its user saw it: times in seconds, money in pico-dollars.

    `started` is monotonic. `ttft`, `ttfo` and `latency` count from it; `latency` of a failed or
    cancelled call is how long it took to fail. `gaps_ns` are the times between token events.
    `cost_picousd` is None when the model has no price. `good` is None without a goodput SLO.
    """

    name: str
    model: str
    started: float
    latency: float
    phase: str = MAIN_PHASE
    labels: Labels = ()
    ttft: float | None = None
    ttfo: float | None = None
    gaps_ns: Sequence[int] = ()
    bundled: bool = False
    usage: Usage = field(default_factory=Usage)
    cost_picousd: int | None = None
    failure: Failure | None = None
    status: int = 0
    attempts: int = 1
    response_bytes: int = 0
    streamed: bool = True
    good: bool | None = None
    connection: ConnectionTimes | None = None
    tpot_as: float | None = None  # by another tool's definition, if the test asked for one

    @property
    def cancelled(self) -> bool:
        """True when the end of the test cut the call."""
        return self.failure is not None and self.failure.kind is FailureKind.CANCELLED

    @property
    def ok(self) -> bool:
        """True when the call completed and nothing was wrong with it."""
        return self.failure is None

    @property
    def tpot(self) -> float | None:
        """Seconds per output token after the first; None for one token or fewer."""
        if self.tpot_as is not None:
            return self.tpot_as
        if self.ttft is None or self.usage.output <= 1:
            return None
        return (self.latency - self.ttft) / (self.usage.output - 1)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool executed by an agent. `error` is "" when it worked."""

    name: str
    started: float
    latency: float
    error: str = ""
    cancelled: bool = False
    phase: str = MAIN_PHASE
    labels: Labels = ()


@dataclass(frozen=True, slots=True)
class AgentRun:
    """One agent task from the user's ask to its final answer, with the sums over its calls.

    `cost_picousd` is None when any call in it has no price. `error` is "" when it succeeded.
    """

    name: str
    started: float
    latency: float
    calls: int = 0
    attempts: int = 0
    tool_calls: int = 0
    tool_errors: int = 0
    usage_total: int = 0
    cost_picousd: int | None = 0
    error: str = ""
    cancelled: bool = False
    phase: str = MAIN_PHASE
    labels: Labels = ()
