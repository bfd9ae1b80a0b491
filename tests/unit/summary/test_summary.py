"""The Summary: exact, whole, and valid against its own published schema."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from importlib import resources
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.failures import Failure, FailureKind
from agentlocust.ledger import Ledger
from agentlocust.records import WARMUP_PHASE, AgentRun, Call, EndReason, Finding, FindingKind, ToolCall
from agentlocust.sketch import Sketch
from agentlocust.summary import Phase, Summary, TestFacts, build_summary, dump_summary, json_schema_text, parse_summary
from agentlocust.summary.outermost import outermost
from agentlocust.usage import Usage


def facts(**changes: Any) -> TestFacts:
    given = {"id": "t", "locustfile": "a.py", "started": "2026-11-20T10:40:00Z", "duration_s": 10.0, "host": "mock"}
    return TestFacts(**(given | {"seed": 1} | changes))


def a_call(**changes: Any) -> Call:
    fields: dict[str, Any] = {"name": "refund", "model": "m", "started": 0.0, "latency": 1.0, "cost_picousd": 1}
    return Call(**(fields | changes))


def a_ledger() -> Ledger:
    ledger = Ledger()
    usage = Usage(uncached_input=100, cache_read=50, cache_write_5m=7, output=20, reasoning=5)
    ledger.add_call(a_call(ttft=0.25, gaps_ns=[10**7], usage=usage, status=200, labels=(("tenant", "a"),)), 0)
    ledger.add_call(a_call(phase=WARMUP_PHASE, ttft=0.5, gaps_ns=[10**7], bundled=True, attempts=3), 1)
    ledger.add_call(a_call(latency=2.0, failure=Failure(FailureKind.RATE_LIMITED, "slow", 429), status=429), 2)
    ledger.add_call(a_call(model="free", cost_picousd=None), 2)
    ledger.add_tool(ToolCall("lookup", 0.0, 0.125))
    ledger.add_tool(ToolCall("lookup", 0.0, 0.1, error="boom"))
    run = AgentRun("refund", 0.0, 3.0, calls=2, turns=2, tool_calls=1, usage=Usage(output=177), cost_picousd=5 * 10**10)
    ledger.add_run(run, 3)
    ledger.add_metric("docs_found", 7, "refund", "main")
    ledger.count("task_errors", 2)
    ledger.count("other_requests", 9)
    return ledger


def test_totals_are_exact() -> None:
    """Every counter of the test is there, warm-up included."""
    totals = build_summary(a_ledger(), facts()).totals
    assert (totals.calls, totals.failed, totals.cancelled, totals.attempts) == (4, 1, 0, 6)
    assert (totals.runs, totals.tool_calls, totals.tools_failed) == (1, 2, 1)
    assert (totals.task_errors, totals.other_requests, totals.other_failed) == (2, 9, 0)
    assert totals.tokens.model_dump() == {
        "input": 157, "cache_read": 50, "cache_write": 7, "output": 20, "reasoning": 5, "estimated": 0,
    }  # fmt: skip
    assert (totals.cost_usd, totals.unpriced_calls, totals.unpriced_models) == ("0.000000000003", 1, ["free"])


def test_what_was_not_measured_is_null() -> None:
    """An absent distribution is null, never 0."""
    rows = {(row.kind, row.name, row.model, row.phase): row for row in build_summary(a_ledger(), facts()).rows}
    free = rows["LLM", "refund", "free", "main"]
    assert free.latency is not None
    assert (free.ttft, free.itl, free.itl_is, free.failed_latency, free.run_cost) == (None,) * 5
    tool, run = rows["TOOL", "lookup", "", "main"], rows["AGENT", "refund", "", "main"]
    assert tool.latency is not None
    assert tool.latency.p999 == 0.125
    assert run.run_cost is not None
    assert run.run_tokens is not None
    assert (run.run_cost.mean, run.run_tokens.max, run.cost_usd) == (0.05, 177.0, "0.05")


def test_gaps_are_called_what_they_are() -> None:
    """Where a provider bundles tokens, the gaps are between chunks, and labelled so."""
    rows = build_summary(a_ledger(), facts()).rows
    assert {row.phase: row.itl_is for row in rows if row.itl} == {"main": "token gap", WARMUP_PHASE: "chunk gap"}


def test_any_percentile_can_be_had_later() -> None:
    """Each row carries its whole distributions."""
    for row in build_summary(a_ledger(), facts()).rows:
        for metric, flat in row.sketches.items():
            assert Sketch.decode(flat).percentile(37) > 0, metric


def test_it_survives_its_file() -> None:
    """What is read from a file is what was written, also what this version does not know."""
    summary = build_summary(a_ledger(), facts(users_at={0: 5, 9: 7}, settings={"shape": "spike"}, monitor={"cpu": 1}))
    assert parse_summary(dump_summary(summary)) == summary
    data = json.loads(dump_summary(summary)) | {"later": {"x": 1}}
    assert json.loads(dump_summary(parse_summary(json.dumps(data)))) == data


def test_the_published_schema_is_this_code_s_and_accepts_what_it_writes() -> None:
    """The schema in the package is up to date; to write it again: json_schema_text()."""
    published = resources.files("agentlocust").joinpath("summary.schema.json").read_text(encoding="utf-8")
    assert json_schema_text() == published
    schema = json.loads(published)
    jsonschema.Draft202012Validator.check_schema(schema)
    data = json.loads(dump_summary(build_summary(a_ledger(), facts())))
    jsonschema.validate(data, schema)
    stats = data["rows"][0]["latency"]
    assert set(stats) == {"count", "mean", "min", "max", "p50", "p90", "p95", "p99", "p99.9"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data | {"schema": 2}, schema)


def test_an_empty_test_has_a_summary_too() -> None:
    """No requests is a result, not an error."""
    summary = build_summary(Ledger(), facts())
    assert (summary.rows, summary.totals.calls, summary.totals.cost_usd) == ([], 0, "0")
    assert parse_summary(dump_summary(summary)) == summary


def test_cut_calls_censor_the_percentiles() -> None:
    """More than 1% of calls cut by the end marks the test strained; 1% does not."""
    ledger = Ledger()
    for _ in range(99):
        ledger.add_call(a_call(), 0)
    cut = a_call(failure=Failure(FailureKind.CANCELLED, ""))
    ledger.add_call(cut, 0)
    assert not build_summary(ledger, facts()).totals.censored
    ledger.add_call(cut, 0)
    summary = build_summary(ledger, facts())
    assert summary.totals.censored
    assert summary.validity.status == "strained"
    assert build_summary(ledger, facts(validity="saturated")).validity.status == "saturated"


def test_a_lost_worker_degrades_the_test() -> None:
    """Lost workers are named, whatever else is known."""
    validity = build_summary(a_ledger(), facts(workers_lost=["w1", "w2", "w3", "w4"])).validity
    assert (validity.status, validity.reasons) == ("degraded", ["4 workers lost: w1, w2, w3, …"])


def test_findings_are_told_with_an_example_the_most_frequent_first() -> None:
    """In how many runs, and the one that shows it most plainly."""
    ledger = Ledger()
    for number in range(3):
        loop = Finding(FindingKind.LOOP, f"search was called {number} times", number)
        ledger.add_run(AgentRun("a", 0.0, 1.0, id=number, findings=(loop,)), 0)
    storm = Finding(FindingKind.RETRY_STORM, "5 tries", 5)
    ledger.add_run(AgentRun("b", 0.0, 1.0, id=9, findings=(storm, loop)), 0)
    summary = build_summary(ledger, facts())
    assert [(found.kind, found.runs, found.sentence) for found in summary.findings] == [
        ("loop", 4, "search was called 2 times"),
        ("retry_storm", 1, "5 tries"),
    ]
    assert [found.example["name"] for found in summary.findings] == ["b", "b"]
    assert summary.totals.findings == 5
    assert parse_summary(dump_summary(summary)) == summary


def test_what_agents_told_of_themselves_is_in_the_totals_and_the_judge_s_cost_is_not() -> None:
    """Tokens and dollars of calls and of reports, each once."""
    ledger = a_ledger()
    before = build_summary(ledger, facts()).totals
    told = AgentRun("b", 0.0, 1.0, black_box=True, reported=True, usage=Usage(output=7), cost_picousd=10**12)
    ledger.add_run(told, 0)
    ledger.add_judgement(a_call(name="judge", usage=Usage(output=100), cost_picousd=10**13))
    left = AgentRun("b", 0.0, 1.0, abandoned=True, usage=Usage(output=4), hand_offs=("c",))
    ledger.add_run(left, 0)
    totals = build_summary(ledger, facts()).totals
    assert totals.tokens.output == before.tokens.output + 7
    assert Decimal(totals.cost_usd) == Decimal(before.cost_usd) + 1
    assert (totals.judge_calls, totals.judge_cost_usd, totals.calls) == (1, "10", before.calls)
    assert (totals.runs_abandoned, totals.abandoned_tokens, totals.runs) == (1, 4, before.runs + 1)


def test_runs_inside_others_are_counted_once() -> None:
    """In a row, what is theirs is told apart; totals, phases and the series hold the outermost."""
    ledger = Ledger()
    cost = {"cost_picousd": 10**12, "hand_offs": ("b",)}
    for error in ("", "no"):
        ledger.add_run(AgentRun("ask", 0.0, 1.0, error=error, inside=True, **cost), 0)
        ledger.add_run(AgentRun("ask", 0.0, 1.0, error=error, **cost), 0)
    for inside in (True, False):
        left = AgentRun("ask", 0.0, 1.0, abandoned=True, end_reason=EndReason.ABANDONED, inside=inside)
        ledger.add_run(replace(left, usage=Usage(output=4)), 0)
        ledger.add_run(AgentRun("ask", 0.0, 1.0, cancelled=True, end_reason=EndReason.CANCELLED, inside=inside), 0)
    summary = build_summary(ledger, facts())
    totals, (row,) = summary.totals, summary.rows
    assert (totals.runs, totals.runs_failed, totals.runs_inside, totals.hand_offs) == (2, 1, 2, 2)
    assert (totals.runs_abandoned, totals.abandoned_tokens, totals.runs_cancelled) == (1, 4, 1)
    assert (row.count, row.failed, row.cost_usd) == (4, 2, "4")
    assert (summary.series[0].runs, summary.series[0].runs_failed, summary.phase_rows[0].runs) == (2, 1, 2)
    left_over = outermost(row)
    assert (left_over.count, left_over.failed, left_over.cost_usd) == (2, 1, "2")
    assert left_over.ends == {"final": 2, "abandoned": 1, "cancelled": 1}
    assert outermost(left_over.model_copy(update={"inside": {}})).count == 2


def test_sessions_are_in_the_totals() -> None:
    """As the ledger counted them."""
    ledger = Ledger()
    for name, n in (("sessions", 3), ("session_turns", 7), ("sessions_failed", 1)):
        ledger.count(name, n)
    totals = build_summary(ledger, facts()).totals
    assert (totals.sessions, totals.session_turns, totals.sessions_failed) == (3, 7, 1)


def test_the_series_has_users_where_they_are_known() -> None:
    """Each step has its counts, its percentiles and the users at its end."""
    series = build_summary(a_ledger(), facts(users_at={0: 5, 5: 8})).series
    assert [(point.t, point.users, point.calls) for point in series] == [
        (0, 5, 1), (1, None, 1), (2, None, 2), (3, None, 0), (5, 8, 0),
    ]  # fmt: skip
    assert series[0].ttft_p50 == 0.25
    assert series[3].runs == 1
    assert series[3].ttft_p50 is None


def test_a_test_without_phases_is_one() -> None:
    """Phases are as given, or the whole test."""
    assert [(p.name, p.end_s) for p in build_summary(Ledger(), facts()).phases] == [("main", 10.0)]
    phases = [Phase("spike", 2.0, 4.0, 9)]
    assert build_summary(Ledger(), facts(phases=phases)).phases[0].model_dump() == {
        "name": "spike", "start_s": 2.0, "end_s": 4.0, "users": 9, "rate": None,
    }  # fmt: skip


@given(st.lists(st.integers(min_value=0, max_value=10**15), max_size=30))
def test_cost_adds_up_to_the_last_pico_dollar(costs: list[int]) -> None:
    """The total is exact in decimal, whatever the order and the size."""
    ledger = Ledger()
    for number, cost in enumerate(costs):
        ledger.add_call(a_call(name=f"n{number % 3}", cost_picousd=cost), 0)
    summary: Summary = build_summary(ledger, facts())
    exact = sum((Decimal(cost) / 10**12 for cost in costs), Decimal())
    assert Decimal(summary.totals.cost_usd) == exact
    assert sum((Decimal(row.cost_usd) for row in summary.rows), Decimal()) == exact
