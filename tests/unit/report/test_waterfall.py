"""A captured run in a terminal: whatever the file holds, lines that are safe and fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from agentlocust.captured import tree_of
from agentlocust.errors import ConfigError
from agentlocust.records import AgentRun, Finding, FindingKind
from agentlocust.report.runs import FILE_NAME, read_runs, write_runs
from agentlocust.report.waterfall import MIN_WIDTH, list_lines, ordered, waterfall_lines
from agentlocust.runs_command import runs
from agentlocust.steps import CallStep, RunStep, ToolAsk, ToolStep
from agentlocust.usage import Usage

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["steps", "name", "kind", "start_s", "latency_s", "ttft_s", "asks", "tokens", "text", "error", "items"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


def a_run(**changes: object) -> AgentRun:
    ask = ToolAsk("find", "d", "", '{"order": 42}')
    steps = (
        CallStep("refund", "m", 0.0, 1.0, 0.5, usage=Usage(uncached_input=1200, output=40), asks=(ask,), said="Where?"),
        ToolStep("find", 1.0, 0.5, items=3, text="[1, 2, 3]"),
        RunStep("sub", 1.5, 0.5, steps=(CallStep("sub", "m", 1.5, 0.5, attempts=3, failure="rate_limited"),)),
        ToolStep("send", 2.0, 2.0, error="boom", size=12),
    )
    fields: dict[str, object] = {"calls": 2, "tool_calls": 2, "cost_picousd": 25 * 10**8, "steps": steps, "ttft": 0.5}
    return AgentRun("refund", 0.0, 4.0, **(fields | changes))  # type: ignore[arg-type]


def test_a_waterfall_shows_each_step_where_its_time_lies() -> None:
    """A call's wait before its first token, a tool, a run inside, what failed, what was found."""
    finding = Finding(FindingKind.LOOP, "search was called 14 times with the same arguments")
    lines = waterfall_lines(tree_of(a_run(findings=(finding,), error="no answer"), texts=False), 78)
    assert [line.text for line in lines] == [
        "refund  4.00 s  ttft 500 ms  2 calls  2 tools  in 0 out 0  $0.0025  final",
        "  no answer",
        "call → find         ░░░██                   1.00 s  1,200→40",
        "· find                   ▒▒▒                500 ms  3 items",
        "> sub                       ───             500 ms",
        "  sub                       ███             500 ms  rate_limited",
        "· send                        ▒▒▒▒▒▒▒▒▒▒    2.00 s  boom",
        "! loop: search was called 14 times with the same arguments",
    ]
    assert [line.style for line in lines if line.style == "red"] == ["red"] * 3


def test_texts_follow_when_they_were_kept() -> None:
    """What was said to the model, what it asked for, what the tool told."""
    texts = [line.text for line in waterfall_lines(tree_of(a_run(), texts=True), 78)]
    assert texts[-3:] == ["  to the model: Where?", '  → find({"order": 42})', "  find: [1, 2, 3]"]


def test_runs_are_listed_and_ordered() -> None:
    """By time, by price, failures first; a run without a price is not free."""
    trees = [
        tree_of(run, texts=False) | {"why": "slowest"}
        for run in (a_run(), a_run(cost_picousd=None), a_run(cost_picousd=10**12, error="no answer"))
    ]
    lines = [line.text for line in list_lines(trees, 90)]
    assert lines[0].split() == ["run", "kept", "as", "time", "calls", "tools", "cost", "end"]
    assert lines[2].split() == ["2", "refund", "slowest", "4.00", "s", "2", "2", "unpriced", "final"]
    assert lines[3].split() == ["3", "refund", "slowest", "4.00", "s", "2", "2", "$1.00", "no", "answer"]
    assert ordered(trees, "failed")[0] is trees[2]
    assert ordered(trees, "dearest") == [trees[2], trees[0], trees[1]]
    assert ordered(trees, "slowest") == trees == ordered(trees, "")


@given(st.dictionaries(st.sampled_from(["name", "error", "findings", "tokens", "cost_picousd"]), JUNK), JUNK)
def test_whatever_a_file_holds_it_can_be_shown(run: dict[str, object], steps: object) -> None:
    """Nothing raises, moves the cursor or leaves its columns."""
    junk = run | {"steps": [steps, {"kind": "run", "name": "\x1b[31m\u202e" + "名" * 90, "steps": steps}]}
    for width in (20, 78, 200):
        for line in [*waterfall_lines(junk, width), *list_lines([junk], width)]:
            assert cell_len(line.text) <= max(width, MIN_WIDTH)
            assert not any(ord(c) < 32 or 127 <= ord(c) < 160 or c == "\u202e" for c in line.text)


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Written without secrets, one run a line; nothing is written when nothing was kept."""
    lines = [json.dumps(tree_of(a_run(error="canary\n"), texts=False)), json.dumps({"steps": []})]
    path = write_runs(tmp_path, lines, lambda text: text.replace("canary", "***"))
    assert path is not None
    assert path.stat().st_mode & 0o777 == 0o600
    assert [run.get("error") for run in read_runs(tmp_path)] == ["***\n", None]
    assert write_runs(tmp_path / "none", [], str) is None
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("text", ["", "{}\n", '{"steps": 3}\n', "not JSON\n", "[1]\n", "[" * 100_000])
def test_a_file_that_holds_no_runs_is_refused(tmp_path: Path, text: str) -> None:
    """With its place, never a traceback."""
    (tmp_path / FILE_NAME).write_text(text)
    with pytest.raises(ConfigError, match=FILE_NAME):
        read_runs(tmp_path)


def test_the_command_lists_and_shows(tmp_path: Path) -> None:
    """A list, one of it by its number in that order, and a word about a number that is not there."""
    trees = [tree_of(a_run(cost_picousd=n * 10**9, id=n), texts=False) for n in range(3)]
    write_runs(tmp_path, [json.dumps(tree) for tree in trees], str)
    runner = CliRunner()
    listed = runner.invoke(runs, [str(tmp_path)])
    assert (listed.exit_code, len(listed.output.splitlines())) == (0, 4)
    shown = runner.invoke(runs, [str(tmp_path), "--run", "1", "--sort", "dearest"])
    assert "$0.0020" in shown.output.splitlines()[0]
    assert isinstance(runner.invoke(runs, [str(tmp_path), "--run", "9"]).exception, ConfigError)
    assert isinstance(runner.invoke(runs, [str(tmp_path / "nowhere")]).exception, ConfigError)
