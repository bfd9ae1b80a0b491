"""Where checks come from: Users, options and files, and those that are added."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.errors import ConfigError
from agentlocust.failures import Failure, FailureKind
from agentlocust.records import Call
from agentlocust.sla import Slo, load_checks
from agentlocust.usage import Usage


def test_no_source_means_no_check() -> None:
    """Without an SLA nothing is added, so Locust's own rule holds."""
    assert load_checks([]) == []


def test_an_sla_that_names_no_error_gets_two_defaults() -> None:
    """Errors of calls and of tasks are never forgotten, and the added checks are marked."""
    checks = load_checks(["p95(ttft) < 1s"])
    assert [(check.text, check.default) for check in checks] == [
        ("p95(ttft) < 1s", False), ("error_rate < 1%", True), ("sum(task_errors) <= 0", True),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["error_rate < 5%", "sum(failed) < 3", "run_error_rate < 5%", "tool_error_rate < 9%"])
def test_an_error_check_of_any_kind_replaces_the_default(text: str) -> None:
    """Whoever speaks of errors has decided."""
    assert [check.text for check in load_checks([text])] == [text, "sum(task_errors) <= 0"]
    assert [check.text for check in load_checks([text, "sum(task_errors) < 5"])] == [text, "sum(task_errors) < 5"]


def test_a_check_given_twice_counts_once() -> None:
    """The User's own and the option's may overlap."""
    assert len(load_checks(["error_rate < 5%", "error_rate  <  5%", "sum(task_errors) < 1"])) == 2


def test_the_long_form_sets_conditions() -> None:
    """A mapping says when a check may end the test and how much it must have seen."""
    form = {"check": "error_rate < 5%", "abort": True, "after": "30s", "min_samples": 100, "name": "errors"}
    check, _ = load_checks([form])
    assert (check.abort, check.after, check.min_samples, check.name) == (True, 30.0, 100, "errors")


def test_a_file_holds_both_forms(tmp_path: Path) -> None:
    """A file is known by its ending or because it exists."""
    text = "sla:\n  - p95(ttft) < 800ms\n  - {check: error_rate < 1%, abort: true, after: 30s}\n"
    for name in ("sla.yaml", "limits"):
        path = tmp_path / name
        path.write_text(text)
        for source in (path, str(path)):
            assert [(check.text, check.abort) for check in load_checks([source])] == [
                ("p95(ttft) < 800ms", False), ("error_rate < 1%", True), ("sum(task_errors) <= 0", False),
            ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sla:\n  - p95(ttft) < 1s\n  - p95(tfft) < 1s", r"sla\.yaml:3:sla\.1: unknown metric 'tfft'"),
        ("sla:\n  -\n    check: error_rate < 1\n", r"sla\.yaml:3:sla\.0\.check: '1' is not a percentage"),
        ("sla:\n  - {chek: error_rate < 1%}", r"sla\.yaml:2:sla\.0\.chek: unknown key 'chek' \(did you mean 'check'"),
        ("sla:\n  - {check: error_rate < 1%, after: 30}", r"sla\.yaml:2:sla\.0\.after: '30' has no unit"),
        ("sla:\n  - {check: error_rate < 1%, min_samples: 0}", r"sla\.yaml:2:sla\.0\.min_samples"),
        ("slo: []", r"sla\.yaml:1:slo: unknown key 'slo' \(did you mean 'sla'"),
        ("- error_rate < 1%", r"sla\.yaml:1: a list of checks without its key \(begin with `sla:`\)"),
    ],
)
def test_an_error_in_a_file_has_its_line(tmp_path: Path, text: str, message: str) -> None:
    """File, line and key, whatever is wrong."""
    path = tmp_path / "sla.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_checks([str(path)])


@pytest.mark.parametrize(
    "source", [{"chek": "x"}, {}, {"check": "error_rate < 1%", "after": 3}, "gone.yaml", "x" * 9999]
)
def test_an_error_in_a_locustfile_is_refused_too(source: object) -> None:
    """A mapping, a name or a text that is wrong gives one clear error."""
    with pytest.raises(ConfigError):
        load_checks([source], where="agent.py:Support.sla")  # type: ignore[list-item]


@given(st.dictionaries(st.sampled_from(["check", "abort", "after", "min_samples", "name", "x"]), st.text() | st.none()))
def test_any_mapping_is_a_check_or_a_config_error(form: dict[str, str | None]) -> None:
    """No input ends in any other exception."""
    problem = ""
    try:
        load_checks([form], where="here")
    except ConfigError as error:
        problem = str(error)
    assert not problem or "here" in problem


def a_call(**changes: object) -> Call:
    fields = {"name": "a", "model": "m", "started": 0.0, "latency": 3.0, "ttft": 0.4, "usage": Usage(output=101)}
    return Call(**(fields | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("slo", "call", "met"),
    [
        ({"ttft": "500ms", "latency": "4s"}, a_call(), True),
        ({"ttft": "400ms"}, a_call(), True),
        ({"ttft": "399ms"}, a_call(), False),
        ({"latency": "2s"}, a_call(), False),
        ({"ttft": "500ms"}, a_call(ttft=None), False),
        ({"ttfo": "500ms"}, a_call(), False),
        ({"tpot": "27ms"}, a_call(), True),
        ({"tpot": "25ms"}, a_call(), False),
        ({"tpot": "25ms"}, a_call(usage=Usage(output=1)), True),
        ({"latency": "4s"}, a_call(failure=Failure(FailureKind.CHECK, "wrong")), False),
    ],
)
def test_an_slo_judges_a_call(slo: dict[str, str], call: Call, met: bool) -> None:
    """A call is good when it keeps to every stated limit."""
    assert Slo.parse(slo).met(call) is met


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({}, "goodput states no time"),
        ("4s", "goodput states no time"),
        ({"tfft": "1s"}, "knows no time 'tfft'.*did you mean 'ttft'"),
        ({"ttft": 500}, "agent.py:ttft: '500' has no unit"),
    ],
)
def test_a_wrong_slo_is_refused(mapping: object, message: str) -> None:
    """Before any load starts, with the place and a hint."""
    with pytest.raises(ConfigError, match=message):
        Slo.parse(mapping, "agent.py")
