"""What was measured, one frozen record a call, tool call or agent run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from agentlocust.backoff import Try
from agentlocust.failures import Failure, FailureKind
from agentlocust.steps import Step
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
    `cost_picousd` is None when the model has no price. `good` is None without a goodput SLO. `faults` are
    those that were injected into its attempts, in order.
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
    faults: tuple[str, ...] = ()
    tries: tuple[Try, ...] = ()  # of a call that failed or was tried again

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
    """One tool executed by an agent. `error` is "" when it worked; `again`: its run had executed the same before.

    `faults` of the test's plan struck it; `injected`: one of them is why it failed.
    """

    name: str
    started: float
    latency: float
    error: str = ""
    cancelled: bool = False
    phase: str = MAIN_PHASE
    labels: Labels = ()
    again: bool = False
    faults: tuple[str, ...] = ()
    injected: bool = False


class EndReason(StrEnum):
    """Why an agent run ended; whether it succeeded is told apart from it."""

    FINAL = "final"  # the agent gave its answer
    MAX_TURNS = "max_turns"  # it still wanted to go on
    BUDGET = "budget"
    ERROR = "error"
    TIMEOUT = "timeout"
    CHECK_FAILED = "check_failed"  # it answered, and the answer was judged wrong
    ABANDONED = "abandoned"  # its user would not wait any longer
    CANCELLED = "cancelled"  # cut by the end of the test


class FindingKind(StrEnum):
    """What can be wrong with how an agent went about its task."""

    LOOP = "loop"  # the same tool with the same arguments, again and again
    N_PLUS_1 = "n_plus_1"  # a tool call for each item of a result
    RUNAWAY_CONTEXT = "runaway_context"  # the input of its calls grows without bound
    INVALID_ARGUMENTS = "invalid_arguments"  # a tool was asked for with arguments it cannot take
    RETRY_STORM = "retry_storm"  # most tries were repetitions of failed ones
    CACHE_MISS = "cache_miss"  # a prefix that was cached is paid for in full again


@dataclass(frozen=True, slots=True)
class Finding:
    """What a detector found in a run, in a sentence; `amount` orders those of one kind, the worst the largest."""

    kind: FindingKind
    sentence: str
    amount: int = 1


@dataclass(frozen=True, slots=True)
class AgentRun:
    """One agent task from the user's ask to its final answer, with the sums over its calls.

    Times are seconds from `started` (monotonic): `ttfe` to the first event of any kind (black-box
    services only), `ttft` to the first generated token of its calls, `ttfo` to the first visible one,
    `first_tool` to the first tool call. `turns` are the model's whole replies. `context_max` is the
    largest input of a call, `context_growth` the slope of the input in tokens a turn, None for fewer than two.

    `cost_picousd` is None when any call in it has no price. `error` is "" when it succeeded; `failure`
    is the kind of what went wrong with a request to a service. `abandoned`: the user left, which is neither
    success nor failure. `black_box`: the calls inside are not known. `inside`: it is part of another run, which
    holds its figures too. `reported`: `usage` and cost were told by the agent itself, so they are in no call's
    record. `proxied`: the proxy tells of them once the test is over. `steps` is what it was made of,
    `steps_left_out` how many more. `faults` of the test's plan struck it or what it called; `injected`: one of them
    is why it failed. `id` is a number below 2**63 that no other run of the test has.
    """

    name: str
    started: float
    latency: float
    calls: int = 0
    attempts: int = 0
    turns: int = 0
    tool_calls: int = 0
    tool_errors: int = 0
    usage: Usage = field(default_factory=Usage)
    cost_picousd: int | None = 0
    context_max: int = 0
    context_growth: float | None = None
    ttfe: float | None = None
    ttft: float | None = None
    ttfo: float | None = None
    first_tool: float | None = None
    end_reason: EndReason = EndReason.FINAL
    error: str = ""
    failure: Failure | None = None
    cancelled: bool = False
    abandoned: bool = False
    black_box: bool = False
    inside: bool = False
    reported: bool = False
    proxied: bool = False
    model: str = ""
    scores: tuple[float, ...] = ()
    hand_offs: tuple[str, ...] = ()  # to which agents, in order
    findings: tuple[Finding, ...] = ()
    steps: tuple[Step, ...] = ()
    steps_left_out: int = 0
    asked: str = ""  # its first prompt, when texts are captured
    id: int = 0
    phase: str = MAIN_PHASE
    labels: Labels = ()
    faults: tuple[str, ...] = ()
    injected: bool = False

    @property
    def steps_taken(self) -> int:
        """Calls and tool calls."""
        return self.calls + self.tool_calls
