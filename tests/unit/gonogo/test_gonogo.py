"""`agentlocust gonogo`: only fresh, whole and good evidence is green, and nothing else lets an agent go."""

from __future__ import annotations

import os
import subprocess
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from agentlocust.cli import main
from agentlocust.errors import ConfigError
from agentlocust.gonogo import outputs
from agentlocust.gonogo.checklist import load_checklist
from agentlocust.gonogo.command import READY
from agentlocust.gonogo.finding import Colour, Finding, Scene
from agentlocust.gonogo.judge import Decision, Judged, decide
from agentlocust.ledger import Ledger
from agentlocust.records import AgentRun, Call
from agentlocust.sla import decide as verdict_of
from agentlocust.sla import evaluate, load_checks
from agentlocust.summary import TestFacts, build_summary, dump_summary

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
NEEDS_A_KEY = "items:\n  - {name: a, environment: {holds: [A_KEY_OF_MINE]}}\n"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def a_test(
    folder: Path, days: float = 1, *, latency: float = 0.5, judged: bool = True, locustfile: str = "a.py"
) -> Path:
    """A test's directory as a test leaves it, so many days ago."""
    ledger = Ledger()
    for second in range(10):
        ledger.add_call(Call("refund", "m", 0.0, latency, ttft=0.1), second)
    started = (NOW - timedelta(days=days)).isoformat(timespec="seconds")
    summary = build_summary(ledger, TestFacts("t", locustfile, started, 10.0, "mock", 1))
    checks = load_checks(["p95(latency) < 1s", {"check": "sum(calls) == 10", "name": "all came"}])
    if judged:
        summary.verdict = verdict_of(summary, evaluate(checks, summary))
    return write(folder, "summary.json", dump_summary(summary)).parent


def judged(tmp_path: Path, item: str, environ: dict[str, str] | None = None) -> Finding:
    """What becomes of one item whose evidence lies in `tmp_path`."""
    path = write(tmp_path, "checklist.yaml", f"items:\n  - name: it\n    {item}\n")
    checklist = load_checklist(path)
    (only,) = decide(checklist, Scene(tmp_path, NOW, checklist.max_age, environ or {})).items
    return only.finding


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("items: []", r"checklist\.yaml:1:items"),
        ("items:\n  - name: a\n", r":2:items\.0: an item is bound to exactly one"),
        ("items:\n  - name: a\n    coverage: {at_least: 90}\n", r":3:items\.0\.coverage\.at_least: .*write 90%"),
        ("items:\n  - name: a\n    coverage: {at_leest: 90%}\n", r"unknown key 'at_leest' \(did you mean 'at_least'"),
        ("items:\n  - name: a\n    test: {results: r, shows: ['p95(latncy) < 1s']}\n", r":3:items\.0\.test\.shows\.0"),
        ("items:\n  - name: a\n    signed: {says: x, valid_for: 1d, on: 21.11.2026}\n", "is not a day"),
        ("items:\n  - name: a\n    signed: {says: x, valid_for: 1d, number: 5, at_most: 10%}\n", "different units"),
        ("items:\n  - name: a\n    days: {at_least: 3}\n", "either results or journal"),
        ("items:\n  - name: a\n    scenarios: {results: r, names: [x, x]}\n", "named twice"),
        (
            "items:\n  - {name: a, environment: {holds: [X]}}\n  - {name: a, environment: {holds: [X]}}\n",
            "two items are named 'a'",
        ),
    ],
)
def test_a_bad_checklist_is_refused_with_its_place(tmp_path, text, message):
    """File, line and key, before anything is judged."""
    with pytest.raises(ConfigError, match=message):
        load_checklist(write(tmp_path, "checklist.yaml", text))


def test_a_passed_and_recent_test_is_green(tmp_path):
    """Its verdict, a check it made by name and by text, and one made on its summary now."""
    a_test(tmp_path / "results/t1")
    item = "test: {results: results, checks: [all came, 'p95(latency) < 1s'], shows: [throughput >= 1/s]}"
    finding = judged(tmp_path, item)
    assert finding.colour is Colour.GREEN, finding
    assert any("throughput" in detail for detail in finding.details)


@pytest.mark.parametrize(
    ("made", "item", "said"),
    [
        ({"latency": 2.0}, "{results: results}", "exit 99"),
        ({"judged": False}, "{results: results}", "no verdict"),
        ({}, "{results: results, checks: [another]}", "made no check 'another'"),
        ({}, "{results: results, shows: [throughput >= 2/s]}", "does not show it"),
        ({}, "{results: results, locustfile: b.py}", "no test of b.py"),
        ({}, "{results: elsewhere}", "no test in elsewhere"),
        ({"days": -1}, "{results: results}", "yet to come"),
    ],
)
def test_a_test_that_proves_nothing_is_red(tmp_path, made: dict[str, Any], item, said):
    """Failed, without a verdict, without the check, without the load, or not there."""
    a_test(tmp_path / "results/t1", **made)
    finding = judged(tmp_path, f"test: {item}")
    assert finding.colour is Colour.RED
    assert said in finding.text


def test_old_evidence_is_stale_and_not_green(tmp_path):
    """By the checklist's age, or the item's own."""
    a_test(tmp_path / "results/t1", days=20)
    assert judged(tmp_path, "test: {results: results}").colour is Colour.STALE
    assert judged(tmp_path, "test: {results: results, max_age: 30d}").colour is Colour.GREEN


def test_the_newest_test_decides(tmp_path):
    """A better result of yesterday does not outweigh today's failure, nor an unreadable one."""
    a_test(tmp_path / "results/z-older", days=3)
    a_test(tmp_path / "results/a-newer", days=1, latency=2.0)
    assert judged(tmp_path, "test: {results: 'results/*'}").colour is Colour.RED
    write(tmp_path, "broken/b/summary.json", "{}")
    a_test(tmp_path / "broken/a")
    assert judged(tmp_path, "test: {results: broken}").colour is Colour.RED


def test_scenarios_are_judged_each(tmp_path):
    """All must have passed lately; the worst one colours the item."""
    for name in ("flash_crash", "outage"):
        a_test(tmp_path / f"results/2026-{name}", locustfile=f"{name}.py")
    item = "scenarios: {results: results, names: [flash_crash, outage%s]}"
    assert judged(tmp_path, item % "").colour is Colour.GREEN
    missing = judged(tmp_path, item % ", partition")
    assert missing.colour is Colour.RED
    assert "partition: red, no test" in missing.details
    a_test(tmp_path / "results/2026-partition", days=20, locustfile="partition.py")
    assert judged(tmp_path, item % ", partition").colour is Colour.STALE


def test_a_scenario_is_known_by_the_name_of_its_runs(tmp_path):
    """One locustfile may play many scenarios: the newest test with runs of that name is the scenario's."""
    for days, name, error in ((1, "outage", ""), (2, "outage", "bad"), (1, "storm", "it traded on")):
        ledger = Ledger()
        ledger.add_run(AgentRun(name, 0.0, 1.0, error=error), 1)
        started = (NOW - timedelta(days=days)).isoformat(timespec="seconds")
        summary = build_summary(ledger, TestFacts("t", "trading_agent.py", started, 10.0, "mock", 1))
        checks = load_checks(["run_error_rate < 1%"])
        summary.verdict = verdict_of(summary, evaluate(checks, summary))
        write(tmp_path / f"results/{days}-{name}-trading_agent", "summary.json", dump_summary(summary))
    assert judged(tmp_path, "scenarios: {results: results, names: [outage]}").colour is Colour.GREEN
    found = judged(tmp_path, "scenarios: {results: results, names: [outage, storm]}")
    assert found.colour is Colour.RED
    assert any(detail.startswith("storm: red") for detail in found.details)


def test_days_count_once_and_not_when_something_failed(tmp_path):
    """Three good days of four: a failed test spoils its day, a second passed one adds nothing."""
    for number, days in enumerate((1, 1.1, 2, 3, 4)):
        a_test(tmp_path / f"results/t{number}", days=days)
    a_test(tmp_path / "results/bad", days=4, latency=2.0)
    assert judged(tmp_path, "days: {results: results, at_least: 3}").colour is Colour.GREEN
    assert "3 of 4 days" in judged(tmp_path, "days: {results: results, at_least: 4}").text
    assert "2 of 3 days" in judged(tmp_path, "days: {results: results, at_least: 3, within: 60h}").text


def test_a_journal_of_days(tmp_path):
    """The first date of each line; a last day long ago is stale, a day to come is red."""
    write(tmp_path, "days.txt", "2026-11-18 +1%\n2026-11-19 x 2026-11-20\n2026-11-19 again\nno day\n")
    assert "2 days" in judged(tmp_path, "days: {journal: days.txt, at_least: 2}").text
    assert judged(tmp_path, "days: {journal: days.txt, at_least: 2, max_age: 1d}").colour is Colour.STALE
    assert judged(tmp_path, "days: {journal: days.txt, at_least: 3}").colour is Colour.RED
    write(tmp_path, "days.txt", "2026-11-25\n")
    assert "yet to come" in judged(tmp_path, "days: {journal: days.txt, at_least: 1}").text
    write(tmp_path, "days.txt", "2026-02-30\n")
    assert "not a day" in judged(tmp_path, "days: {journal: days.txt, at_least: 1}").text


def coverage(rate: str, days: float = 1, more: str = "") -> str:
    stamp = int((NOW - timedelta(days=days)).timestamp() * 1000)
    return f'<?xml version="1.0" ?>{more}<coverage version="7.6" timestamp="{stamp}" {rate}><packages/></coverage>'


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        (coverage('line-rate="0.9"'), Colour.GREEN),
        (coverage('line-rate="0.9" lines-valid="1000" lines-covered="900"'), Colour.GREEN),
        (coverage('line-rate="0.9" lines-valid="100000" lines-covered="89999"'), Colour.RED),
        (coverage('line-rate="0.9" lines-valid="0" lines-covered="0"'), Colour.RED),
        (coverage('line-rate="0.9" lines-valid="10" lines-covered="5"'), Colour.RED),
        (coverage('line-rate="0.95"', days=30), Colour.STALE),
        (coverage('line-rate="nan"'), Colour.RED),
        (coverage('line-rate="9.5"'), Colour.RED),
        (coverage(""), Colour.RED),
        (coverage('line-rate="0.95"', more='<!DOCTYPE coverage SYSTEM "http://x/coverage-04.dtd">'), Colour.GREEN),
        (coverage('line-rate="0.95"', more='<!DOCTYPE c [<!ENTITY a "b">]>'), Colour.RED),
        (coverage('line-rate="0.95"', more='<!DOCTYPE c [<!ENTITY a SYSTEM "file:///etc/passwd">]>'), Colour.RED),
        (coverage('line-rate="0.95"', more='<!DOCTYPE c [<!ENTITY % a "b"> %a;]>'), Colour.RED),
        (coverage('line-rate="0.95"')[:-3], Colour.RED),
        ("<html/>", Colour.RED),
        ("", Colour.RED),
    ],
)
def test_coverage_is_read_safely_and_exactly(tmp_path, text, colour):
    """The counts decide where the rate is rounded; entities, nonsense and half a file are red."""
    write(tmp_path, "coverage.xml", text)
    assert judged(tmp_path, "coverage: {at_least: 90%}").colour is colour


def test_missing_evidence_is_red(tmp_path):
    """No file is a red item, not a crash and not a mistake of the checklist's."""
    for item in ("coverage: {at_least: 90%}", "junit: {file: x.xml}", "days: {journal: x, at_least: 1}"):
        assert judged(tmp_path, item).colour is Colour.RED


@pytest.mark.parametrize(
    ("counts", "colour"),
    [
        ({"tests": "5", "failures": "0", "errors": "0", "skipped": "0"}, Colour.GREEN),
        ({"tests": "5", "failures": "1", "errors": "0", "skipped": "0"}, Colour.RED),
        ({"tests": "5", "failures": "0", "errors": "1", "skipped": "0"}, Colour.RED),
        ({"tests": "5", "failures": "0", "errors": "0", "skipped": "4"}, Colour.RED),
        ({"tests": "x"}, Colour.RED),
    ],
)
def test_junit_counts_what_ran(tmp_path, counts, colour):
    """Skipped tests prove nothing, one failure is enough; nested suites are not counted twice."""
    root = ET.Element("testsuites")
    suite = ET.SubElement(root, "testsuite", counts | {"timestamp": (NOW - timedelta(days=1)).isoformat()})
    ET.SubElement(suite, "testsuite", counts)
    write(tmp_path, "junit.xml", ET.tostring(root, encoding="unicode"))
    assert judged(tmp_path, "junit: {file: junit.xml, at_least: 2}").colour is colour


def a_repository(tmp_path: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        write(tmp_path, name, text)
    environ = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    for command in (["init", "-q"], ["add", *files]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True, env=environ, timeout=30)


KEY = "sk-proj-" + "a1B2" * 12


def test_a_tracked_key_is_told_and_not_shown(tmp_path):
    """File, line and provider; neither the console nor the files hold the key. An untracked file is not asked."""
    a_repository(tmp_path, {"ok.py": "KEY = 'sk-test'\nname = 'task-risk_sk-learn-and-more-words-of-a-sentence'\n"})
    write(tmp_path, ".env", f"OPENAI_API_KEY={KEY}\n")
    assert judged(tmp_path, "no_keys: {}").colour is Colour.GREEN
    a_repository(tmp_path, {"bad file.py": f"\n\nkey = '{KEY}'\n"})
    finding = judged(tmp_path, "no_keys: {}")
    assert finding.colour is Colour.RED
    assert finding.details == ("bad file.py:3: OpenAI",)
    assert KEY not in repr(finding)
    assert judged(tmp_path, "no_keys: {apart_from: ['bad*']}").colour is Colour.GREEN


def test_no_repository_is_red(tmp_path):
    """What cannot be told is not green."""
    (tmp_path / "empty").mkdir()
    assert judged(tmp_path, "no_keys: {repository: nowhere}").colour is Colour.RED


def test_the_environment_holds_and_lacks(tmp_path):
    """A blank variable is none, and no value is told."""
    item = "environment: {holds: [A_KEY], lacks: [DEBUG]}"
    assert judged(tmp_path, item, {"A_KEY": KEY}).colour is Colour.GREEN
    assert KEY not in repr(judged(tmp_path, item, {"A_KEY": KEY}))
    assert judged(tmp_path, item, {"A_KEY": " "}).colour is Colour.RED
    assert "set: DEBUG" in judged(tmp_path, item, {"A_KEY": KEY, "DEBUG": "1"}).text


@pytest.mark.parametrize(
    ("more", "colour"),
    [
        ("by: Ada, on: 2026-11-20", Colour.GREEN),
        ("by: '', on: ''", Colour.RED),
        ("by: Ada", Colour.RED),
        ("by: Ada, on: 2026-10-01", Colour.STALE),
        ("by: Ada, on: 2026-12-01", Colour.RED),
        ("by: Ada, on: 2026-11-20, number: 10%, at_most: 10%", Colour.GREEN),
        ("by: Ada, on: 2026-11-20, number: 10.1%, at_most: 10%", Colour.RED),
        ("by: Ada, on: 2026-11-20, number: $900, at_least: $1000", Colour.RED),
    ],
)
def test_a_signature_expires_and_keeps_to_its_limits(tmp_path, more, colour):
    """A name and a day, not yet over, and its number within what was asked."""
    assert judged(tmp_path, f"signed: {{says: the stop works, valid_for: 30d, {more}}}").colour is colour


def a_decision(text: str) -> Decision:
    finding = Finding(Colour.RED, text, NOW - timedelta(days=3), (text,))
    return Decision(text, NOW, (Judged(text, finding), Judged("fine", Finding(Colour.GREEN, text))))


@given(st.text(max_size=80))
def test_no_text_breaks_out_of_an_output(text):
    """Whatever evidence says, the table keeps its columns, the page its tags and a line its width."""
    decision = a_decision(text)
    page, empty = outputs.html(decision), outputs.html(a_decision(""))
    assert [page.count(tag) for tag in "<>"] == [empty.count(tag) for tag in "<>"]
    rows = [line for line in outputs.markdown(decision).splitlines() if line.startswith("|")]
    assert all(row.count("|") == 5 for row in rows)
    assert len(rows) == 4
    assert all(cell_len(line.text) <= 80 and "\x1b" not in line.text for line in outputs.decision_lines(decision))


def test_markdown_makes_no_link_and_no_tag():
    """A server's text is neither a link nor a mention nor an image."""
    text = outputs.markdown(a_decision("![x](https://a.b) www.c.d <img src=x> @all `code`"))
    assert not any(mark in text for mark in ("https://", "www.", "](", "<img", "@", "`"))


def run(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(main, ["gonogo", *arguments], env=environ)


def test_the_command_says_go_and_writes_both_files(tmp_path):
    """Exit code 0, GO on the last line, Markdown and HTML beside it."""
    path = write(tmp_path, "c.yaml", "title: <b>Ours</b>\n" + NEEDS_A_KEY)
    markdown, html = tmp_path / "c.md", tmp_path / "c.html"
    result = run(str(path), "--markdown", str(markdown), "--html", str(html), A_KEY_OF_MINE="x")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == "GO  1 green, 0 red, 0 stale"
    assert markdown.read_text().startswith("# GO: ")
    assert "<b>" not in markdown.read_text() + html.read_text()
    assert "&lt;b&gt;Ours&lt;/b&gt;" in html.read_text()


def test_the_command_says_no_go_with_99(tmp_path):
    """A single red item is enough."""
    path = write(tmp_path, "c.yaml", NEEDS_A_KEY)
    result = run(str(path), A_KEY_OF_MINE="")
    assert result.exit_code == 99
    assert "not set: A_KEY_OF_MINE" in result.output
    assert result.output.splitlines()[-1].startswith("NO-GO")


def test_a_report_that_cannot_be_written_is_said(tmp_path):
    """GO without the file that was asked for is 4; a NO-GO stays 99."""
    path = write(tmp_path, "c.yaml", NEEDS_A_KEY)
    blocked = str(write(tmp_path, "file", "") / "c.md")
    assert run(str(path), "--markdown", blocked, A_KEY_OF_MINE="x").exit_code == 4
    assert run(str(path), "--markdown", blocked, A_KEY_OF_MINE="").exit_code == 99


def test_a_bad_checklist_exits_with_2(tmp_path):
    """One message with the place, no traceback; so does no checklist at all."""
    result = run(str(write(tmp_path, "c.yaml", "itms: []\n")))
    assert result.exit_code == 2
    assert "c.yaml:1:itms" in result.output
    assert run(str(tmp_path / "none.yaml")).exit_code == 2
    assert run().exit_code == 2


@pytest.mark.parametrize("kind", sorted(READY))
def test_a_ready_checklist_is_valid_and_no_go(tmp_path, kind):
    """As printed it can be judged, and with no evidence nothing of it but the environment can be green."""
    printed = run("--init", kind)
    assert printed.exit_code == 0
    path = write(tmp_path, "checklist.yaml", printed.output)
    assert len(load_checklist(path).items) >= 10
    assert run(str(path)).exit_code == 99
