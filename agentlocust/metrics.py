"""The metric catalogue: every name a check can use, what it measures and in which unit."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Unit(StrEnum):
    """What a metric's numbers are in."""

    SECONDS = "s"
    USD = "$"
    TOKENS = "tokens"
    COUNT = "count"
    BYTES = "bytes"
    RATIO = "ratio"
    PER_SECOND = "/s"
    NUMBER = "number"  # a user's own metric


# A sketch holds integers: how many of them make one unit.
SCALE = {
    Unit.SECONDS: 10**9,
    Unit.USD: 10**12,
    Unit.TOKENS: 1,
    Unit.COUNT: 1,
    Unit.BYTES: 1,
    Unit.NUMBER: 10**9,
}


class Shape(StrEnum):
    """How a metric is made, which decides the aggregates it can have."""

    DISTRIBUTION = "distribution"  # pN, mean, min, max, sum, count, rate
    COUNTER = "counter"  # sum, rate
    RATIO = "ratio"  # one sum over another, a value of its own: `error_rate < 1%`, `amplification < 1.2`
    THROUGHPUT = "throughput"  # a value of its own, per second
    COURSE = "course"  # readings over time: pN, mean, min, max, growth
    FINDING = "finding"  # a value of its own, that a `--shape` found


class Kind(StrEnum):
    """What a metric is made of: the ledger's rows of that kind, or (`MONITOR`, `SHAPE`) a part of the Summary.

    `METRIC` rows hold users' own metrics, `ARRIVAL` rows the starts of an open loop by User class,
    `JUDGE` rows the calls of LLM judges, which are none of the target's. `WINDOW` rows hold the same calls and
    runs as others, by the windows in which something was wrong.
    """

    LLM = "LLM"
    AGENT = "AGENT"
    TOOL = "TOOL"
    METRIC = "METRIC"
    ARRIVAL = "ARRIVAL"
    MONITOR = "MONITOR"
    SHAPE = "SHAPE"
    JUDGE = "JUDGE"
    WINDOW = "WINDOW"


@dataclass(frozen=True, slots=True)
class Metric:
    """One entry of the catalogue; `kind` is the rows it reads (None: the whole test's counters)."""

    name: str
    shape: Shape
    unit: Unit
    kind: Kind | None
    meaning: str


def _distribution(name: str, unit: Unit, kind: Kind, meaning: str) -> Metric:
    return Metric(name, Shape.DISTRIBUTION, unit, kind, meaning)


def _counter(name: str, unit: Unit, kind: Kind | None, meaning: str) -> Metric:
    return Metric(name, Shape.COUNTER, unit, kind, meaning)


def _course(name: str, unit: Unit, meaning: str) -> Metric:
    return Metric(name, Shape.COURSE, unit, Kind.MONITOR, meaning)


def _finding(name: str, unit: Unit, meaning: str) -> Metric:
    return Metric(name, Shape.FINDING, unit, Kind.SHAPE, meaning)


_ALL = (
    _distribution("latency", Unit.SECONDS, Kind.LLM, "issued to last generated token, successful calls"),
    _distribution("ttft", Unit.SECONDS, Kind.LLM, "issued to first generated token of any channel, successful calls"),
    _distribution("ttfo", Unit.SECONDS, Kind.LLM, "issued to first token that is not reasoning, successful calls"),
    _distribution("itl", Unit.SECONDS, Kind.LLM, "gap between consecutive token events, successful calls"),
    _distribution("tpot", Unit.SECONDS, Kind.LLM, "(latency - ttft) / (output tokens - 1), successful calls"),
    _distribution("failed_latency", Unit.SECONDS, Kind.LLM, "issued to failure, failed calls"),
    _distribution("dns", Unit.SECONDS, Kind.LLM, "resolving the host's name, successful calls on a new connection"),
    _distribution("connect", Unit.SECONDS, Kind.LLM, "TCP connect, a proxy's tunnel included, new connections"),
    _distribution("tls", Unit.SECONDS, Kind.LLM, "TLS handshake, new connections"),
    _distribution("send", Unit.SECONDS, Kind.LLM, "handing the request to the kernel, successful calls"),
    _distribution("first_byte", Unit.SECONDS, Kind.LLM, "request sent to first byte of the reply, successful calls"),
    _distribution("call_cost", Unit.USD, Kind.LLM, "price of one call, priced calls"),
    _distribution("call_input_tokens", Unit.TOKENS, Kind.LLM, "input tokens of one call, all buckets"),
    _distribution("call_output_tokens", Unit.TOKENS, Kind.LLM, "output tokens of one call, reasoning included"),
    _counter("calls", Unit.COUNT, Kind.LLM, "calls that completed or failed"),
    _counter("failed", Unit.COUNT, Kind.LLM, "calls that failed"),
    _counter("cancelled", Unit.COUNT, Kind.LLM, "calls cut by the end of the test"),
    _counter("attempts", Unit.COUNT, Kind.LLM, "HTTP tries of calls"),
    _counter("cost", Unit.USD, Kind.LLM, "price of all calls"),
    _counter("unpriced_calls", Unit.COUNT, Kind.LLM, "calls of a model without a price"),
    _counter("input_tokens", Unit.TOKENS, Kind.LLM, "input tokens: uncached, read from and written to cache"),
    _counter("cache_read_tokens", Unit.TOKENS, Kind.LLM, "input tokens served from cache"),
    _counter("cache_write_tokens", Unit.TOKENS, Kind.LLM, "input tokens written to cache"),
    _counter("output_tokens", Unit.TOKENS, Kind.LLM, "output tokens, reasoning included"),
    _counter("reasoning_tokens", Unit.TOKENS, Kind.LLM, "output tokens spent on reasoning"),
    _counter("tokens", Unit.TOKENS, Kind.LLM, "input and output tokens"),
    _counter("estimated_tokens", Unit.TOKENS, Kind.LLM, "tokens that were counted here, not told by the server"),
    _distribution("tool_latency", Unit.SECONDS, Kind.TOOL, "one tool call, successful ones"),
    _counter("tool_calls", Unit.COUNT, Kind.TOOL, "tool calls that completed or failed"),
    _counter("tools_failed", Unit.COUNT, Kind.TOOL, "tool calls that failed"),
    _counter(
        "duplicates",
        Unit.COUNT,
        Kind.TOOL,
        "tool calls that repeat one of their run, even a failed one: same key, or arguments; not of `read_only_tools`",
    ),
    _distribution("run_latency", Unit.SECONDS, Kind.AGENT, "one agent run, successful ones"),
    _distribution("run_ttft", Unit.SECONDS, Kind.AGENT, "run start to first generated token of its calls, successful"),
    _distribution("run_ttfo", Unit.SECONDS, Kind.AGENT, "run start to first token that a user sees, successful runs"),
    _distribution("run_ttfe", Unit.SECONDS, Kind.AGENT, "ask to first event of any kind, successful services' runs"),
    _distribution("run_first_tool", Unit.SECONDS, Kind.AGENT, "run start to first tool call, successful runs"),
    _distribution("run_cost", Unit.USD, Kind.AGENT, "price of one agent run, priced ones"),
    _distribution("run_tokens", Unit.TOKENS, Kind.AGENT, "input and output tokens of one agent run"),
    _distribution("run_steps", Unit.COUNT, Kind.AGENT, "LLM calls and tool calls in one agent run"),
    _distribution("run_calls", Unit.COUNT, Kind.AGENT, "LLM calls in one agent run"),
    _distribution("run_turns", Unit.COUNT, Kind.AGENT, "whole replies of the model in one agent run"),
    _distribution("run_tool_calls", Unit.COUNT, Kind.AGENT, "tool calls in one agent run"),
    _distribution("run_context", Unit.TOKENS, Kind.AGENT, "largest input of a call in one agent run"),
    _distribution("context_growth", Unit.TOKENS, Kind.AGENT, "input that each turn of one agent run adds (its slope)"),
    _distribution("run_score", Unit.NUMBER, Kind.AGENT, "what a scorer gave one agent run"),
    _counter("runs", Unit.COUNT, Kind.AGENT, "agent runs that completed or failed"),
    _counter("runs_failed", Unit.COUNT, Kind.AGENT, "agent runs that failed"),
    _counter("runs_abandoned", Unit.COUNT, Kind.AGENT, "agent runs whose user left before their end"),
    _counter("runs_inside", Unit.COUNT, Kind.AGENT, "runs inside others, in no other counter unless named by a check"),
    _counter("abandoned_tokens", Unit.TOKENS, Kind.AGENT, "tokens of runs whose user had left, where they are told"),
    _counter("hand_offs", Unit.COUNT, Kind.AGENT, "hand-offs from one agent to another"),
    _counter("findings", Unit.COUNT, Kind.AGENT, "faults that the detectors found in runs: loops, N+1 calls, …"),
    _distribution("judge_latency", Unit.SECONDS, Kind.JUDGE, "one call of an LLM judge, successful ones"),
    _counter("judge_calls", Unit.COUNT, Kind.JUDGE, "calls of LLM judges that completed or failed"),
    _counter("judge_failed", Unit.COUNT, Kind.JUDGE, "calls of LLM judges that failed"),
    _counter("judge_cost", Unit.USD, Kind.JUDGE, "price of all calls of LLM judges"),
    _counter("wasted_tokens", Unit.TOKENS, None, "tokens of failed runs, and of failed calls in all others"),
    _counter("wasted_cost", Unit.USD, None, "price of failed runs, and of failed calls in all others"),
    _counter("task_errors", Unit.COUNT, None, "exceptions raised by the locustfile's own task code"),
    _counter("sessions", Unit.COUNT, None, "sessions with an agent that ended"),
    _counter("session_turns", Unit.COUNT, None, "asks in sessions that ended"),
    _counter("sessions_failed", Unit.COUNT, None, "sessions in which an ask failed or the task raised"),
    _counter("other_requests", Unit.COUNT, None, "requests of other Users in the same test"),
    _counter("other_failed", Unit.COUNT, None, "failed requests of other Users in the same test"),
    Metric(
        "error_rate",
        Shape.RATIO,
        Unit.RATIO,
        Kind.LLM,
        "failed / (completed + failed) calls, without injected failures",
    ),
    Metric("availability", Shape.RATIO, Unit.RATIO, Kind.LLM, "successful / (completed + failed) calls"),
    Metric(
        "run_error_rate",
        Shape.RATIO,
        Unit.RATIO,
        Kind.AGENT,
        "failed / (completed + failed) agent runs, without injected failures",
    ),
    Metric("run_availability", Shape.RATIO, Unit.RATIO, Kind.AGENT, "successful / (completed + failed) agent runs"),
    Metric(
        "tool_error_rate",
        Shape.RATIO,
        Unit.RATIO,
        Kind.TOOL,
        "failed / (completed + failed) tool calls, without injected failures",
    ),
    Metric("tool_availability", Shape.RATIO, Unit.RATIO, Kind.TOOL, "successful / (completed + failed) tool calls"),
    Metric("amplification", Shape.RATIO, Unit.COUNT, Kind.LLM, "HTTP tries per call"),
    Metric("cached_share", Shape.RATIO, Unit.RATIO, Kind.LLM, "input tokens served from cache / input tokens"),
    Metric("cost_per_success", Shape.RATIO, Unit.USD, Kind.AGENT, "price of all agent runs / successful ones"),
    Metric("throughput", Shape.THROUGHPUT, Unit.PER_SECOND, Kind.LLM, "successful calls per second"),
    Metric("goodput", Shape.THROUGHPUT, Unit.PER_SECOND, Kind.LLM, "calls per second that meet every stated SLO"),
    _distribution("schedule_lag", Unit.SECONDS, Kind.ARRIVAL, "open loop: intended start to actual start"),
    _counter("arrivals", Unit.COUNT, Kind.ARRIVAL, "open loop: intended starts"),
    _counter("arrivals_late", Unit.COUNT, Kind.ARRIVAL, "open loop: intended starts that found no free user"),
    _course("memory", Unit.BYTES, "resident memory of what is watched, all targets together"),
    _course("cpu", Unit.RATIO, "CPU of what is watched, all targets together: 100% is one core"),
    _course("fds", Unit.COUNT, "open file descriptors of what is watched, all targets together"),
    _course("threads", Unit.COUNT, "threads of what is watched, all targets together"),
    _course("connections", Unit.COUNT, "open sockets of what is watched, all targets together"),
    _course("generator_memory", Unit.BYTES, "resident memory of the Locust processes, all together"),
    _course("generator_cpu", Unit.RATIO, "CPU of the busiest Locust process: 100% is one core"),
    _finding("recovery_time", Unit.SECONDS, "end of a spike, or of the worst fault window, until it is as before"),
    _finding("runs_hung", Unit.COUNT, "runs that hung in fault windows: in vain for over 10 s and ten usual runs"),
    _finding("capacity", Unit.COUNT, "`--shape capacity`: the most users that meet the SLA"),
    _finding("capacity_rate", Unit.PER_SECOND, "`--shape capacity`: the highest rate that meets the SLA"),
    _finding("breaking_point", Unit.COUNT, "`--shape stress`: users at which the target broke"),
    _finding("breaking_rate", Unit.PER_SECOND, "`--shape stress`: rate at which the target broke"),
)

# The aggregates that a check can take of every metric of a shape. `pN` is any percentile, such as p99.9; `rate` is the
# sum over the seconds it took.
AGGREGATES: dict[Shape, tuple[str, ...]] = {
    Shape.DISTRIBUTION: ("pN", "mean", "min", "max", "sum", "count", "rate"),
    Shape.COUNTER: ("sum", "rate"),
    Shape.RATIO: (),
    Shape.THROUGHPUT: (),
    Shape.COURSE: ("pN", "mean", "min", "max", "growth"),
    Shape.FINDING: (),
}

# Of these the Summary's series tells the course of the whole test, so they have a `growth` too.
_GROWING = frozenset({"latency", "ttft", "tpot", "error_rate"})

CATALOGUE: dict[str, Metric] = {metric.name: metric for metric in _ALL}


def aggregates_of(metric: Metric) -> tuple[str, ...]:
    """The aggregates that a check can take of a metric.

    `growth` is a ratio: what the fitted line (see `trend.py`) gained from start to end, as a share of
    its start; of `error_rate`, which may start at 0, the difference itself.
    """
    known = AGGREGATES[metric.shape]
    return (*known, "growth") if metric.name in _GROWING and metric.kind is Kind.LLM else known


def stands_alone(metric: Metric) -> bool:
    """True for a metric that is a number without an aggregate: `error_rate < 1%`."""
    return not AGGREGATES[metric.shape]


def own_metric(name: str) -> Metric:
    """The catalogue entry of a metric that a locustfile records with `self.metric(name, value)`."""
    return Metric(name, Shape.DISTRIBUTION, Unit.NUMBER, Kind.METRIC, "recorded by the locustfile")


def catalogue_markdown() -> str:
    """The catalogue as the Markdown table that the documentation shows."""
    lines = ["| metric | of | aggregates | unit | meaning |", "|---|---|---|---|---|"]
    for metric in CATALOGUE.values():
        aggregates = ", ".join(aggregates_of(metric))
        if stands_alone(metric):
            aggregates = f"none: stands alone; {aggregates}" if aggregates else "none: stands alone"
        lines.append(
            f"| `{metric.name}` | {metric.kind or 'the test'} | {aggregates} | {metric.unit} | {metric.meaning} |"
        )
    return "\n".join(lines) + "\n"
