"""The grammar of checks: what it reads, and how each error points at the wrong words."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.errors import ConfigError
from agentlocust.metrics import CATALOGUE, Unit, aggregates_of, stands_alone
from agentlocust.sla import parse_check


@pytest.mark.parametrize(
    ("text", "aggregate", "metric", "op", "limit"),
    [
        ("p95(ttft) < 800ms", "p95", "ttft", "<", 0.8),
        ("  p99.9 ( latency )<=5s ", "p99.9", "latency", "<=", 5.0),
        ("p100(itl) < 1m", "p100", "itl", "<", 60.0),
        ("mean(run_cost) < $0.02", "mean", "run_cost", "<", 0.02),
        ("sum(cost) < $2", "sum", "cost", "<", 2.0),
        ("rate(cost) < $36/h", "rate", "cost", "<", 0.01),
        ("rate(calls) > 50/s", "rate", "calls", ">", 50.0),
        ("rate(output_tokens) >= 60k/min", "rate", "output_tokens", ">=", 1000.0),
        ("mean(run_tokens) < 1000", "mean", "run_tokens", "<", 1000.0),
        ("count(latency) > 10", "count", "latency", ">", 10.0),
        ("sum(failed) == 0", "sum", "failed", "==", 0.0),
        ("error_rate < 1%", "", "error_rate", "<", 0.01),
        ("tool_error_rate<=0.5%", "", "tool_error_rate", "<=", 0.005),
        ("throughput > 20/s", "", "throughput", ">", 20.0),
        ("goodput >= 600/min", "", "goodput", ">=", 10.0),
        ("max(docs_found) < 12", "max", "docs_found", "<", 12.0),
        ("min(docs_found) > -2", "min", "docs_found", ">", -2.0),
        ("growth(memory) < 20%", "growth", "memory", "<", 0.2),
        ("growth(ttft) <= 5%", "growth", "ttft", "<=", 0.05),
        ("growth(error_rate) < 1%", "growth", "error_rate", "<", 0.01),
        ("max(memory) < 1.5GB", "max", "memory", "<", 1.5e9),
        ("p99(cpu) < 150%", "p99", "cpu", "<", 1.5),
        ("max(fds) < 1k", "max", "fds", "<", 1000.0),
        ("recovery_time < 10s", "", "recovery_time", "<", 10.0),
        ("capacity >= 42", "", "capacity", ">=", 42.0),
        ("capacity_rate > 600/min", "", "capacity_rate", ">", 10.0),
        ("p99(schedule_lag) < 10ms", "p99", "schedule_lag", "<", 0.01),
        ("sum(arrivals_late) == 0", "sum", "arrivals_late", "==", 0.0),
    ],
)
def test_a_check_is_read(text: str, aggregate: str, metric: str, op: str, limit: float) -> None:
    """The limit is held in base units, whatever it was written in."""
    check = parse_check(text, own_metrics=["docs_found"])
    assert (check.aggregate, check.metric.name, check.op, check.limit) == (aggregate, metric, op, pytest.approx(limit))


def test_filters_are_read() -> None:
    """Labels narrow a check down; values may hold spaces and signs."""
    check = parse_check("p95(ttft){name=find order; model = gpt-4o/mini:1 ;phase=spike;tenant=a,b} < 1s")
    assert check.filters == (("name", "find order"), ("model", "gpt-4o/mini:1"), ("phase", "spike"), ("tenant", "a,b"))
    assert parse_check("error_rate{} < 1%").filters == ()


@pytest.mark.parametrize(
    ("text", "message", "caret"),
    [
        ("p95(tfft) < 1s", "unknown metric 'tfft'.*did you mean 'ttft'", "    ^^^^"),
        ("p95(zebra) < 1s", r"declared on the User: metrics = \['zebra'\]", "    ^^^^^"),
        ("men(ttft) < 1s", "no aggregate 'men'; it has pN, mean, min, max, sum, count, rate.*'mean'", "^^^"),
        ("p95(calls) < 1", "calls has no aggregate 'p95'; it has sum, rate", "^^^"),
        ("p0(ttft) < 1s", "'p0' is not a percentile", "^^"),
        ("p101(ttft) < 1s", "'p101' is not a percentile", "^^^^"),
        ("pN(ttft) < 1s", "no aggregate 'pN'", "^^"),
        ("growth(cost) < 1%", "no aggregate 'growth'", "^^^^^^"),
        ("growth(ttft) < 1s", "not a percentage", "               ^^"),
        ("growth(ttft){name=a} < 1%", r"growth\(ttft\) has no name.*filter by phase", "             ^^^^"),
        ("growth(memory) < 5MB", "not a percentage", "                 ^^^"),
        ("max(memory) < 500", "'500' has no unit.*write 500MB", "              ^^^"),
        ("max(memory){name=a} < 1GB", "memory has no name.*filter by subject or phase", "            ^^^^"),
        ("sum(memory) < 1GB", "it has pN, mean, min, max, growth", "^^^"),
        ("memory < 1GB", r"memory needs an aggregate.*write p95\(memory\)", "^^^^^^"),
        ("max(recovery_time) < 1s", "takes no aggregate.*write recovery_time alone", "^^^"),
        ("recovery_time{phase=spike} < 1s", "for the whole test", "             ^"),
        ("capacity_rate > 20", "not a rate.*20/s", "                ^^"),
        ("p95(schedule_lag){model=a} < 1s", "schedule_lag has no model.*name or phase", "                  ^^^^^"),
        ("ttft < 1s", r"ttft needs an aggregate.*write p95\(ttft\)", "^^^^"),
        ("cost < $1", r"cost needs an aggregate.*write sum\(cost\)", "^^^^"),
        ("mean(error_rate) < 1%", "takes no aggregate.*write error_rate alone", "^^^^"),
        ("p95(ttft) < 800", "'800' has no unit.*write 800s", "            ^^^"),
        ("p95(ttft) < $1", "not a duration", "            ^^"),
        ("p95(ttft) < 1 sec", "not a duration", "            ^^^^^"),
        ("sum(cost) < 2", r"write \$2", "            ^"),
        ("error_rate < 0.01", "write 0.01%", "             ^^^^"),
        ("rate(calls) > 50", "not a rate.*20/s", "              ^^"),
        ("rate(cost) < 2/h", r"write \$2", "             ^^^"),
        ("p95(ttft) = 1s", "unknown operator '='.*write ==", "          ^"),
        ("p95(ttft) ≤ 1s", "unknown operator.*write <=", "          ^"),
        ("p95(ttft) 1s", "expected one of", "          ^"),
        ("p95(ttft", r"expected '\)'", "        ^"),
        ("p95(ttft) <", "expected a number", "           ^"),
        ("p95(ttft){name} < 1s", "expected label=value", "          ^^^^"),
        ("p95(ttft){name=} < 1s", "expected label=value", "          ^^^^^"),
        ("p95(ttft){name=a;name=b} < 1s", "label 'name' twice", "                 ^^^^"),
        ("p95(ttft){name=a < 1s", "no closing '}'", "         ^"),
        ("sum(task_errors){name=a} < 1", "for the whole test", "                ^"),
        ("p95(run_latency){model=a} < 1s", "run_latency has no model", "                 ^^^^^"),
        ("", "expected an aggregate or a metric", "^"),
        ("95(ttft) < 1s", "expected an aggregate or a metric", "^"),
        ("p95(ttft) < 1s or else", "not a duration", "            ^^^^^^^^^^"),
    ],
)
def test_an_error_points_at_the_wrong_words(text: str, message: str, caret: str) -> None:
    """Every error says what is wrong, shows where, and how to fix it where that is known."""
    with pytest.raises(ConfigError) as caught:
        parse_check(text, where="agent.py:Support.sla")
    shown = str(caught.value)
    assert re.search("(?s)" + message, shown)
    assert shown.startswith("agent.py:Support.sla: ")
    assert caught.value.what.splitlines()[1:] == [f"  {text.strip()}", f"  {caret}"]


def test_goodput_needs_a_declared_slo() -> None:
    """A check on goodput that nothing could count is refused before the load starts."""
    with pytest.raises(ConfigError, match="goodput has no SLO to count by"):
        parse_check("goodput > 1/s", has_goodput=False)


@pytest.mark.parametrize("text", [None, 3, ["p95(ttft) < 1s"]])
def test_what_is_not_text_is_refused(text: object) -> None:
    """A locustfile may hold anything."""
    with pytest.raises(ConfigError, match="a check is text"):
        parse_check(text)  # type: ignore[arg-type]


def test_every_metric_can_be_checked_with_every_aggregate_it_has() -> None:
    """The catalogue holds no promise that the grammar cannot keep."""
    limits = {Unit.SECONDS: "1s", Unit.USD: "$1", Unit.RATIO: "1%", Unit.PER_SECOND: "1/s", Unit.BYTES: "1MB"}
    for metric in CATALOGUE.values():
        limit = limits.get(metric.unit, "1")
        if stands_alone(metric):
            assert parse_check(f"{metric.name} < {limit}").limit
        for aggregate in aggregates_of(metric):
            right = {"rate": f"{limit}/s", "count": "1", "growth": "1%"}.get(aggregate, limit)
            check = parse_check(f"{aggregate.replace('N', '99.9')}({metric.name}) < {right}")
            assert check.shown(check.limit)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("growth(memory) < 20%", "20.0%"),
        ("max(memory) < 1.5GB", "1.50 GB"),
        ("capacity_rate > 20/s", "20/s"),
        ("recovery_time < 10s", "10.0 s"),
        ("mean(cpu) < 150%", "150%"),
    ],
)
def test_a_limit_is_shown_in_its_unit(text: str, shown: str) -> None:
    """Growth is a share whatever grew, bytes are bytes."""
    check = parse_check(text)
    assert check.shown(check.limit) == shown


PIECES = st.sampled_from(
    [
        "p95",
        "mean",
        "(",
        ")",
        "ttft",
        "cost",
        "error_rate",
        "{",
        "}",
        "name",
        "growth",
        "memory",
        "capacity",
        "MB",
        "=",
        ";",
        "<",
        "<=",
        "1",
        "$",
        "%",
        "ms",
        "/s",
        " ",
    ]
)


@given(st.one_of(st.text(max_size=600), st.lists(PIECES, max_size=14).map("".join)))
def test_any_text_is_a_check_or_a_config_error(text: str) -> None:
    """No input ends in any other exception."""
    problem = ""
    try:
        parse_check(text, where="here")
    except ConfigError as error:
        problem = str(error)
    assert not problem or problem.startswith("here: ")
