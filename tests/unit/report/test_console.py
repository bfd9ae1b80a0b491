"""The console summary, held against golden files.

Regenerate them with `WRITE_GOLDEN=1 pytest tests/unit/report/test_console.py`, then read the diff.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from agentlocust.failures import Failure, FailureKind
from agentlocust.health import Health, Second
from agentlocust.ledger import Ledger
from agentlocust.records import WARMUP_PHASE, AgentRun, Call, EndReason, Finding, FindingKind, ToolCall
from agentlocust.report.console import MAX_LINES, print_summary, render
from agentlocust.report.lines import WIDTH
from agentlocust.sketch import Sketch
from agentlocust.sla import decide, evaluate, load_checks
from agentlocust.summary import Phase, Summary, TestFacts, build_summary
from agentlocust.usage import Usage

GOLDEN = Path(__file__).parent / "golden"
RESULTS = "results/2026-11-20T10-40-00Z-agent"
CHECKS = ["p95(ttft) < 2s", "p95(latency) < 8s", "error_rate < 5%", "mean(run_cost) < $0.05"]


def health():
    """A generator whose hub was three milliseconds late, once."""
    found = Health()
    found.lag.add(3_000_000)
    return found


def a_call(number: int, **changes: object) -> Call:
    fields: dict[str, object] = {
        "name": "refund",
        "model": "gpt-4o-mini",
        "started": 0.0,
        "latency": 1.0 + number % 50 / 10,
        "ttft": 0.2 + number % 40 / 100,
        "gaps_ns": [20_000_000, 33_000_000],
        "usage": Usage(uncached_input=400, cache_read=600, output=200, reasoning=40),
        "cost_picousd": 2_500_000_000,
        "status": 200,
        "good": number % 4 != 0,
    }
    return Call(**(fields | changes))  # type: ignore[arg-type]


def a_ledger(calls: int = 1000, **changes: object) -> Ledger:
    ledger = Ledger()
    for number in range(calls):
        ledger.add_call(a_call(number, **changes), number // 10)
        ledger.add_tool(ToolCall("lookup", 0.0, 0.05, error="no such order" if number % 50 == 0 else ""))
        if number % 10 == 0:
            ledger.add_run(
                AgentRun(
                    "refund", 0.0, 20.0, calls=10, tool_calls=3, usage=Usage(output=12_000), cost_picousd=25 * 10**9
                ),
                1,
            )
    return ledger


def facts(**changes: object) -> TestFacts:
    fields: dict[str, object] = {
        "id": "2026-11-20T10-40-00Z-agent",
        "locustfile": "agent.py",
        "started": "2026-11-20T10:40:00Z",
        "duration_s": 300.0,
        "host": "mock",
        "seed": 42,
        "users": 50,
        "versions": {"agentlocust": "0.1.0"},
        "health": health(),
    }
    return TestFacts(**(fields | changes))  # type: ignore[arg-type]


def judged(ledger: Ledger, checks: list[str], **changes: object) -> Summary:
    summary = build_summary(ledger, facts(**changes))
    results = evaluate(load_checks(checks, own_metrics=["docs_found"]), summary)
    return summary.model_copy(update={"verdict": decide(summary, results)})


def passed() -> Summary:
    return judged(a_ledger(), CHECKS, budget_picousd=5 * 10**12)


def failed() -> Summary:
    ledger = a_ledger()
    for number in range(60):
        kind = FailureKind.TIMEOUT if number % 3 else FailureKind.RATE_LIMITED
        failure = Failure(kind, "slow down: limit 500 a minute", 429)
        ledger.add_call(a_call(number, failure=failure, usage=Usage(), cost_picousd=0, status=429), 7)
    ledger.add_run(AgentRun("refund", 0.0, 9.0, error="answered about another order"), 5)
    ledger.count("task_errors", 2)
    checks = ["p95(ttft) < 500ms", "p99.9(latency){name=refund;model=gpt-4o-mini;phase=main} <= 5s", "error_rate < 5%"]
    return judged(ledger, checks)


def no_requests() -> Summary:
    return judged(Ledger(), ["p95(ttft) < 2s"], duration_s=12.0)


def over_budget() -> Summary:
    """The guard's sentence is longer than the room beside the columns of the checks."""
    stopped = "$0 of $0.001 is spent, and the next call may cost $0.0098"
    return judged(Ledger(), ["p95(ttft) < 2s"], stop_reason="budget", budget={"stopped": stopped}, duration_s=0.2)


def lost_worker() -> Summary:
    lost = {"validity_reasons": ["worker-3: no report for 6 s"], "workers_lost": ["worker-3"]}
    return judged(a_ledger(), CHECKS, workers=4, **lost)


def unpriced() -> Summary:
    ledger = a_ledger(100)
    for number in range(31):
        ledger.add_call(a_call(number, model="acme/llama-\x1b[31mred", cost_picousd=None), 3)
    return judged(ledger, ["sum(cost) < $2", "p95(ttft) < 2s"])


def cut() -> Summary:
    ledger = a_ledger(bundled=True)
    for number in range(100):
        ledger.add_call(a_call(number, failure=Failure(FailureKind.CANCELLED, "")), 299)
    return judged(ledger, ["p95(ttft) < 2s"])


def interrupted() -> Summary:
    return judged(a_ledger(50), ["p95(ttft) < 2s"], signal=2, stop_reason="SIGINT", duration_s=17.4)


def without_sla() -> Summary:
    ledger = a_ledger(200)
    ledger.add_call(a_call(1, failure=Failure(FailureKind.SERVER_ERROR, "boom", 500)), 1)
    ledger.count("other_requests", 1234)
    ledger.count("other_failed", 3)
    return judged(ledger, [])


def many_checks() -> Summary:
    limits = [*range(1, 6), *range(400, 2150, 50)]
    ledger = a_ledger()
    for value in (3, 5, 12):
        ledger.add_metric("docs_found", value, "refund", "main")
    ledger.add_call(a_call(1, phase=WARMUP_PHASE), 0)
    warm = [Phase(WARMUP_PHASE, 0, 30), Phase("main", 30, 300)]
    return judged(ledger, [f"p95(ttft) < {limit}ms" for limit in limits], phases=warm)


def saturated() -> Summary:
    """One of two workers could not keep up; the machine was rated."""
    found = health()
    for name, lag_ms, cpu in (("fine", 2, 300), ("late", 812, 990)):
        seconds = [Second(n, lag_ms * 900_000, lag_ms * 1_000_000, cpu, 600, 150, 25, 10**8) for n in range(100)]
        found.add(name, [second.encode() for second in seconds], Sketch(), {"kernel": 9})
    summary = judged(a_ledger(), CHECKS, workers=2, health=found)
    assert summary.generator is not None
    summary.generator.rating = {"rated_streams": 64, "rated_tokens_per_s": 2800.0, "date": "2026-11-20", "share": 1.234}
    return summary


def rated() -> Summary:
    """A generator that was well, on a machine that was rated."""
    found = health()
    found.add("local", [Second(0, 3_000_000, 3_000_000, 412, 300, 0, 50, 10**8).encode()], Sketch(), {"kernel": 9})
    summary = judged(a_ledger(), CHECKS, health=found)
    assert summary.generator is not None
    summary.generator.rating = {"rated_streams": 64, "rated_tokens_per_s": 2800.0, "date": "2026-11-20", "share": 0.23}
    return summary


def black_box() -> Summary:
    ledger = Ledger()
    for number in range(200):
        ledger.add_run(AgentRun("support", 0.0, 2.0 + number / 100), number)
    return judged(ledger, ["p95(run_latency) < 5s"])


def troubled() -> Summary:
    """Runs that went wrong in every way that is told: ends, findings, retries, hand-offs, a judge."""
    ledger = a_ledger(200, attempts=2)
    ends = [EndReason.MAX_TURNS] * 5 + [EndReason.TIMEOUT] * 2 + [EndReason.BUDGET]
    sentences = {
        FindingKind.LOOP: "search was called 14 times with the same arguments",
        FindingKind.N_PLUS_1: "orders told of 20 items, then order was called 20 times, once for each",
        FindingKind.CACHE_MISS: "the cached share fell from 86.4% to 0% though the prompt began as before: $0.01 more",
        FindingKind.RETRY_STORM: "9 tries were made for 3 calls, most for rate_limited",
    }
    found = tuple(Finding(kind, sentence, 3) for kind, sentence in sentences.items())
    for number, end in enumerate(ends):
        run = AgentRun("refund", 0.0, 9.0, error="gave up", end_reason=end, findings=found[: 1 + number % 4], id=number)
        ledger.add_run(replace(run, scores=(0.25,), hand_offs=("billing",)), 5)
    left = AgentRun("refund", 0.0, 9.0, abandoned=True, end_reason=EndReason.ABANDONED, usage=Usage(output=4321))
    ledger.add_run(left, 5)
    ledger.add_judgement(a_call(1, name="judge"))
    return judged(ledger, CHECKS)


def sessions() -> Summary:
    """Visits of several asks each, one of which failed and one of which its user left."""
    ledger = Ledger()
    for number in range(20):
        for _ in range(3):
            ledger.add_run(AgentRun("ask", 0.0, 2.0, black_box=True, inside=True), number)
        ledger.add_run(AgentRun("visit", 0.0, 7.0, error="ask: no" if number == 3 else ""), number)
    for inside in (True, False):
        left = AgentRun("visit", 0.0, 9.0, abandoned=True, end_reason=EndReason.ABANDONED, inside=inside)
        ledger.add_run(left, 5)
    for name, n in (("sessions", 21), ("session_turns", 61), ("sessions_failed", 1)):
        ledger.count(name, n)
    return judged(ledger, ["run_error_rate < 10%", "sum(sessions_failed) <= 1"])


CASES: list[Callable[[], Summary]] = [
    passed, failed, no_requests, lost_worker, unpriced, cut, interrupted, without_sla, many_checks, black_box,
    saturated, rated, troubled, sessions, over_budget,
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_the_summary_is_the_golden_one(case: Callable[[], Summary]) -> None:
    """Each kind of test is told in exactly the words of its golden file."""
    path = GOLDEN / f"{case.__name__}.txt"
    text = render(case(), RESULTS)
    if os.environ.get("WRITE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_it_fits_a_terminal(case: Callable[[], Summary]) -> None:
    """No summary has more than 30 lines or a line of more than 80 columns."""
    lines = render(case(), "results/" + "x" * 200).splitlines()
    assert len(lines) <= MAX_LINES
    assert max(map(cell_len, lines)) <= WIDTH
    assert lines[-1].endswith(")")


@given(st.text(max_size=60), st.text(max_size=300))
def test_hostile_text_neither_moves_the_cursor_nor_breaks_a_line(name: str, text: str) -> None:
    """Whatever a server or a model is called, every line stays printable and within its columns."""
    ledger = Ledger()
    nasty = "\x1b]52;c;aGk=\x07\x9b2J\u202e" + name
    ledger.add_call(a_call(1, name=nasty, model=nasty, failure=Failure(FailureKind.PROTOCOL, text)), 1)
    ledger.add_call(a_call(1, model=nasty, cost_picousd=None), 1)
    ledger.add_metric(nasty, 1.5, nasty, "main")
    summary = judged(ledger, ["p95(ttft) < 2s"], host=nasty, locustfile=nasty, validity_reasons=[nasty])
    shown = render(summary, nasty)
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 or c == "\u202e" for c in shown.replace("\n", ""))
    assert len(shown.splitlines()) <= MAX_LINES
    assert max(map(cell_len, shown.splitlines())) <= WIDTH


class Terminal(io.StringIO):
    """A text file that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_colour_only_on_a_terminal_and_not_with_no_color() -> None:
    """A pipe and NO_COLOR get the plain text; a terminal gets the same text in colour."""
    pipe, plain, coloured = io.StringIO(), Terminal(), Terminal()
    print_summary(failed(), pipe, RESULTS, {})
    print_summary(failed(), plain, RESULTS, {"NO_COLOR": "1"})
    print_summary(failed(), coloured, RESULTS, {"TERM": "xterm-256color"})
    assert "\x1b" not in pipe.getvalue()
    assert pipe.getvalue() == plain.getvalue() == render(failed(), RESULTS)
    assert "FAIL" in coloured.getvalue()
    assert "\x1b[" in coloured.getvalue()


def test_a_terminal_that_knows_only_ascii_still_gets_its_summary() -> None:
    """A character that the output cannot encode is replaced, not an error."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    print_summary(many_checks(), file, RESULTS, {})
    assert b"? and " in raw.getvalue()
