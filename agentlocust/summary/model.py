"""The models of `summary.json`: seconds, USD as exact decimal strings, counts as ints.

Fields are added, never renamed; a reader leaves alone what it does not know.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationError

from agentlocust.errors import ConfigError
from agentlocust.summary.load_model import Arrivals, PhaseModel, PhaseRow, ShapeModel
from agentlocust.summary.parts import Count, Part, Stats, Tokens, Usd
from agentlocust.summary.resilience_model import Resilience

SCHEMA_VERSION: Literal[1] = 1


class TestInfo(Part):
    """What was run: where, by what, with which settings; `started` is ISO 8601 in UTC."""

    __test__: ClassVar[bool] = False  # not a test of pytest's

    id: str
    locustfile: str
    started: str
    duration_s: float
    host: str
    workers: Count
    users: Count
    seed: int
    settings: dict[str, Any] = {}
    versions: dict[str, str] = {}
    stop_reason: str = ""
    signal: Count = 0
    budget_usd: Usd | None = None


class CheckResult(Part):
    """One check and what came of it; `observed` and `limit` in base units, with their readable text.

    `margin` is the distance to the limit as a share of it, negative beyond it.
    """

    check: str
    name: str = ""
    observed: float | None
    observed_text: str
    limit: float
    limit_text: str
    ok: bool
    samples: Count
    margin: float | None = None
    reason: str = ""
    default: bool = False
    abort: bool = False
    metric: str = ""


class VerdictModel(Part):
    """The outcome: the process's exit code, its word, why, and every check."""

    exit_code: int
    status: Literal["passed", "failed", "invalid", "budget", "interrupted"]
    reasons: list[str] = []
    checks: list[CheckResult] = []


class Validity(Part):
    """Whether the numbers can be trusted: `saturated` and `degraded` tests are not valid.

    `saturated_allowed` when the user said that a saturated generator is no reason to fail.
    """

    status: Literal["valid", "strained", "saturated", "degraded"] = "valid"
    reasons: list[str] = []
    lag_p99_s: float | None = None
    workers_lost: list[str] = []
    saturated_allowed: bool = False


class WorstSecond(Part):
    """The generator's worst second; CPU is of one core."""

    t: Count
    lag_max_s: float
    lag_p99_s: float
    cpu: float
    grade: Literal["valid", "strained", "saturated"]


class Generator(Part):
    """How the processes that made load did: `cpu` of one core each, sums of sockets and memory.

    `clock` says what stamped the bytes (`stamps` how often): the kernel, the hub, or both. `grades`
    counts steps of `step_s` seconds. `rating` is what `agentlocust calibrate` found on this machine, if it was run.
    """

    grade: Literal["valid", "strained", "saturated"]
    clock: str
    stamps: dict[str, Count]
    lag_s: Stats | None
    cpu_max: float
    cpu_mean: float
    machine_cpu_max: float
    steal_max: float
    sockets_max: Count
    rss_max_bytes: Count
    threads_max: Count = 0
    fds_max: Count = 0
    grades: dict[str, Count]
    step_s: Count = 1
    worst_second: WorstSecond | None = None
    rating: dict[str, Any] = {}


class Totals(Part):
    """Exact totals of the whole test, warm-up included. `censored`: more than 1% of calls were cut.

    `runs` and the like are of runs that are no part of another; `runs_inside` are those that are.
    Tokens and cost are those of calls, and of agents that told theirs themselves; what LLM judges cost stands apart.
    """

    calls: Count = 0
    failed: Count = 0
    cancelled: Count = 0
    attempts: Count = 0
    runs: Count = 0
    runs_failed: Count = 0
    runs_cancelled: Count = 0
    runs_abandoned: Count = 0
    runs_inside: Count = 0
    sessions: Count = 0
    session_turns: Count = 0
    sessions_failed: Count = 0
    abandoned_tokens: Count = 0
    hand_offs: Count = 0
    findings: Count = 0
    tool_calls: Count = 0
    tools_failed: Count = 0
    task_errors: Count = 0
    other_requests: Count = 0
    other_failed: Count = 0
    tokens: Tokens = Tokens()
    cost_usd: Usd = "0"
    unpriced_calls: Count = 0
    unpriced_models: list[str] = []
    injected: Count = 0
    injected_failed: Count = 0
    runs_injected: Count = 0
    runs_injected_failed: Count = 0
    tools_injected: Count = 0
    tools_injected_failed: Count = 0
    wasted_tokens: Count = 0
    wasted_cost_usd: Usd = "0"
    judge_calls: Count = 0
    judge_failed: Count = 0
    judge_cost_usd: Usd = "0"
    censored: bool = False


class Row(Part):
    """Everything of one kind, name, model, phase and labels. `count` is completed and failed.

    `sketches` hold each metric's whole distribution (see `Sketch.encode`), so that any percentile
    can be had later. `injected` calls, runs or tool calls were struck by faults of the test's own plan,
    of which `injected_failed` failed for that (`injected_failures` by kind; they are among the failed).
    Times are of successes, save `failed_latency`. Of runs, `ends` counts why they ended, `findings`
    in how many a detector found something, `hand_offs` to which agents they were handed,
    `inside` how much of the counters are of runs inside others, which hold their figures too.
    """

    kind: Literal["LLM", "AGENT", "TOOL", "JUDGE"]
    name: str
    model: str
    phase: str
    labels: dict[str, str] = {}
    count: Count = 0
    failed: Count = 0
    cancelled: Count = 0
    attempts: Count = 0
    judged: Count = 0
    good: Count = 0
    unpriced: Count = 0
    abandoned: Count = 0
    abandoned_tokens: Count = 0
    injected: Count = 0
    injected_failed: Count = 0
    duplicates: Count = 0
    failures: dict[str, int] = {}
    injected_failures: dict[str, int] = {}
    statuses: dict[str, int] = {}
    ends: dict[str, int] = {}
    findings: dict[str, int] = {}
    hand_offs: dict[str, int] = {}
    inside: dict[str, int] = {}
    latency: Stats | None = None
    failed_latency: Stats | None = None
    ttft: Stats | None = None
    ttfo: Stats | None = None
    itl: Stats | None = None
    itl_is: Literal["token gap", "chunk gap"] | None = None
    tpot: Stats | None = None
    connections: dict[str, int] = {}
    dns: Stats | None = None
    connect: Stats | None = None
    tls: Stats | None = None
    send: Stats | None = None
    first_byte: Stats | None = None
    call_cost: Stats | None = None
    run_ttfe: Stats | None = None
    run_ttft: Stats | None = None
    run_ttfo: Stats | None = None
    run_first_tool: Stats | None = None
    run_cost: Stats | None = None
    run_tokens: Stats | None = None
    run_steps: Stats | None = None
    run_calls: Stats | None = None
    run_turns: Stats | None = None
    run_tool_calls: Stats | None = None
    run_context: Stats | None = None
    context_growth: Stats | None = None
    run_score: Stats | None = None
    tokens: Tokens = Tokens()
    cost_usd: Usd = "0"
    sketches: dict[str, list[int]] = {}


class FindingModel(Part):
    """What a detector found in so many runs, told of the one that shows it most plainly: `example`, without texts."""

    kind: str
    runs: Count
    sentence: str = ""
    example: dict[str, Any] = {}


class OwnMetric(Part):
    """A metric that the locustfile recorded itself."""

    metric: str
    name: str
    phase: str
    labels: dict[str, str] = {}
    stats: Stats
    sketch: list[int]


class Point(Part):
    """One step of the test's series, `t` seconds from its start; counts are of the step."""

    t: float
    users: Count | None = None
    calls: Count = 0
    failed: Count = 0
    injected_failed: Count = 0
    runs: Count = 0
    runs_failed: Count = 0
    output_tokens: Count = 0
    cost_usd: Usd = "0"
    started: Count | None = None
    ttft_p50: float | None = None
    ttft_p95: float | None = None
    tpot_p50: float | None = None
    latency_p50: float | None = None
    latency_p95: float | None = None
    lag_p99_s: float | None = None
    cpu: float | None = None
    grade: Literal["valid", "strained", "saturated"] | None = None


class FailureSample(Part):
    """One text of a failure and how often it was met; only a bounded number is kept."""

    kind: str
    name: str
    status: Count
    text: str
    times: Count


class Summary(Part):
    """One test. See the field's own models for what each part promises."""

    schema_version: Literal[1] = Field(default=SCHEMA_VERSION, alias="schema")
    test: TestInfo
    verdict: VerdictModel | None = None
    validity: Validity = Validity()
    totals: Totals = Totals()
    rows: list[Row] = []
    metrics: list[OwnMetric] = []
    findings: list[FindingModel] = []
    phases: list[PhaseModel] = []
    phase_rows: list[PhaseRow] = []
    shape: ShapeModel | None = None
    arrivals: list[Arrivals] = []
    series_step_s: Count = 1
    series: list[Point] = []
    failures: list[FailureSample] = []
    warnings: list[str] = []
    generator: Generator | None = None
    monitor: dict[str, Any] = {}
    bottleneck: dict[str, Any] = {}
    drift: list[dict[str, Any]] = []
    faults: dict[str, Any] = {}
    resilience: Resilience = Resilience()
    capacity: dict[str, Any] = {}
    budget: dict[str, Any] = {}


def dump_summary(summary: Summary) -> str:
    """The text of `summary.json`."""
    data = summary.model_dump(mode="json", by_alias=True)
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n"


def parse_summary(text: str | bytes, source: str = "summary.json") -> Summary:
    """Read what `dump_summary` wrote. Raises ConfigError for anything else, also another schema version."""
    try:
        return Summary.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(step) for step in first["loc"])
        raise ConfigError(
            f"not a summary of a test: {first['msg']}",
            where=f"{source}:{key}" if key else source,
            hint="give the summary.json of a test's directory, written by this version or an earlier one",
        ) from error


def json_schema_text() -> str:
    """The JSON Schema of `summary.json`, as published in the package."""
    schema = Summary.model_json_schema(by_alias=True, mode="serialization")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=1, sort_keys=True) + "\n"
