"""The verdict: which exit code a test earns. The table of exit codes, and nothing else, decides.

2 could not start · 5 budget · 3 not valid · 99 a check failed · 4 a report was not written ·
130/143 interrupted · 1 requests failed and no check judged them · 0 passed. The first that
applies, in this order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agentlocust.summary.model import CheckResult, Summary, VerdictModel

COULD_NOT_START = 2
BUDGET = 5
NOT_VALID = 3
SLA_FAILED = 99
REPORT_FAILED = 4
REQUESTS_FAILED = 1
PASSED = 0

_BY_SEVERITY = (COULD_NOT_START, BUDGET, NOT_VALID, SLA_FAILED, REPORT_FAILED)

BUDGET_STOP = "budget"  # the `stop_reason` of a test that the budget guard ended


def decide(summary: Summary, results: Sequence[CheckResult], *, report_failed: bool = False) -> VerdictModel:
    """The verdict of one started test on the results of its checks; without any, no SLA was given.

    An SLA takes the place of Locust's own rule for what it judges: LLM calls, tool calls, runs and
    task errors. Requests of other Users are judged by a check on `other_failed`, else by Locust's
    rule (any failure exits with 1), also beside an SLA: nobody else would notice them.
    """
    checks = list(results)
    failed = [result for result in checks if not result.ok]
    doubts = _not_to_be_trusted(summary)
    invalid = _nothing_done(summary) + doubts
    unjudged = _failures_nobody_judged(summary, checks)
    if summary.test.stop_reason == BUDGET_STOP:
        why = summary.budget.get("stopped", "")
        reasons = [f"stopped by the budget: {why}" if why else "stopped by the budget"]
        reasons += invalid if summary.totals.attempts else doubts  # that nothing was sent is the guard's own doing
        return VerdictModel(exit_code=BUDGET, status="budget", reasons=reasons, checks=checks)
    if invalid:
        return VerdictModel(exit_code=NOT_VALID, status="invalid", reasons=invalid, checks=checks)
    if failed:
        reasons = [f"{len(failed)} of {len(checks)} checks failed"]
        return VerdictModel(exit_code=SLA_FAILED, status="failed", reasons=reasons, checks=checks)
    if report_failed:
        reasons = ["a report could not be written"]
        return VerdictModel(exit_code=REPORT_FAILED, status="passed", reasons=reasons, checks=checks)
    if summary.test.signal:
        reasons = [f"interrupted by signal {summary.test.signal}"]
        exit_code = 128 + summary.test.signal
        return VerdictModel(exit_code=exit_code, status="interrupted", reasons=reasons, checks=checks)
    if unjudged:
        return VerdictModel(exit_code=REQUESTS_FAILED, status="failed", reasons=unjudged, checks=checks)
    return VerdictModel(exit_code=PASSED, status="passed", checks=checks)


def worst(exit_codes: Iterable[int]) -> int:
    """The exit code of a process that ran several tests: the one that stands highest in the table."""
    return min(exit_codes, key=_rank, default=PASSED)


def _rank(exit_code: int) -> tuple[int, int]:
    if exit_code in _BY_SEVERITY:
        return _BY_SEVERITY.index(exit_code), 0
    if exit_code == PASSED:
        return len(_BY_SEVERITY) + 2, 0
    # Signals, then 1 and whatever else a locustfile may have set.
    return len(_BY_SEVERITY) + (0 if exit_code > 128 else 1), -exit_code


def _nothing_done(summary: Summary) -> list[str]:
    """That the test did nothing; empty when it did something."""
    totals = summary.totals
    runs = totals.runs + totals.runs_abandoned + totals.runs_inside
    if totals.calls + runs + totals.tool_calls + totals.other_requests:
        return []
    cut = totals.cancelled + totals.runs_cancelled
    return ["no request completed" if cut else "no requests in a started test"]


def _not_to_be_trusted(summary: Summary) -> list[str]:
    """Why the numbers cannot be trusted; empty when they can."""
    validity = summary.validity
    if validity.status == "degraded" or (validity.status == "saturated" and not validity.saturated_allowed):
        return validity.reasons or [validity.status]
    return []


def _failures_nobody_judged(summary: Summary, checks: Sequence[CheckResult]) -> list[str]:
    """Failures that no check speaks of, by Locust's own rule; task errors are failures to Locust too."""
    totals = summary.totals
    failed = totals.failed, totals.tools_failed, totals.runs_failed
    errors = totals.task_errors
    judged = bool(checks)
    if summary.shape is not None and summary.shape.searches:
        # Calls failed on purpose, and an SDK raises for each: only what they do not explain is a mistake.
        judged, errors = True, max(errors - sum(failed), 0)
    elif judged:
        errors = 0
    counts = {
        "failed call": 0 if judged else failed[0],
        "failed tool call": 0 if judged else failed[1],
        "failed run": 0 if judged else failed[2],
        "task error": 0 if any(check.metric == "task_errors" for check in checks) else errors,
        "failed other request": 0 if any(check.metric == "other_failed" for check in checks) else totals.other_failed,
    }
    return [f"{n:,} {what}{'' if n == 1 else 's'}" for what, n in counts.items() if n]
