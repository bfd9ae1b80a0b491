"""Runs in real tests: what is captured, what a judge costs, what is told of how they went."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness import MockServer, Result, run
from sample_locustfiles import AGENTS, AGENTS_SPEC

WAYS = pytest.mark.parametrize("way", ["local", "processes"])


def runs_of(result: Result) -> list[dict[str, Any]]:
    """The runs that the one test wrote down."""
    (path,) = (path for path in result.directory.glob("results/*/runs.jsonl") if not path.parent.is_symlink())
    assert path.stat().st_mode & 0o777 == 0o600
    return [json.loads(line) for line in path.read_text().splitlines()]


@WAYS
def test_the_slowest_dearest_and_failed_runs_are_kept_over_all_workers(tmp_path: Path, way: str) -> None:
    """As trees, the slowest of the whole test among them; nothing that was said is in them."""
    result = run(tmp_path, AGENTS, "--mock", AGENTS_SPEC, "--capture-runs", "6", way=way).expect(0)
    kept = runs_of(result)
    assert len(kept) == 6
    rows = [row for row in result.summary["rows"] if row["kind"] == "AGENT"]
    slowest = max(row["latency"]["max"] for row in rows)
    assert max(tree["latency_s"] for tree in kept) == pytest.approx(slowest, abs=1e-6)
    assert {tree["why"] for tree in kept} == {"slowest", "dearest", "typical"}
    for tree in kept:
        assert [step["kind"] for step in tree["steps"]] == ["call", "tool", "call"]
        assert tree["end_reason"] == "final"
    assert "Where is order 42?" not in json.dumps(kept)


@WAYS
def test_what_was_said_is_kept_where_it_is_asked_for(tmp_path: Path, way: str) -> None:
    """On every node."""
    args = ("--mock", AGENTS_SPEC, "--capture-runs", "4", "--capture-texts")
    kept = runs_of(run(tmp_path, AGENTS, *args, way=way).expect(0))
    assert len(kept) == 4
    assert all("Where is order 42?" in json.dumps(tree) for tree in kept)


def test_no_runs_are_kept_unasked_and_none_written_without_a_directory(tmp_path: Path) -> None:
    """A test writes its summary alone; with `--out none` nothing at all."""
    assert not [*run(tmp_path, AGENTS, "--mock", AGENTS_SPEC).expect(0).directory.glob("results/*/runs.jsonl")]
    nowhere = tmp_path / "nowhere"
    nowhere.mkdir()
    run(nowhere, AGENTS, "--mock", AGENTS_SPEC, "--capture-runs", "6", "--out", "none").expect(0)
    assert not [*nowhere.rglob("*.json*")]


@pytest.mark.parametrize("args", [("--capture-runs", "1001"), ("--capture-runs", "-1"), ("--capture-texts",)])
def test_a_wrong_wish_for_runs_is_refused(tmp_path: Path, args: tuple[str, ...]) -> None:
    """Before any load, by its option's name."""
    result = run(tmp_path, AGENTS, *args).expect(2)
    assert args[0] in result.stderr
    assert "Traceback" not in result.output


JUDGED = """
from locust import constant, task

from agentlocust import OpenAIUser
from agentlocust.users.judge import Judge

judge = Judge("gpt-4o", "Was the customer helped?", judge_host="{judge_host}")


class Support(OpenAIUser):
    model = "gpt-4o-mini"
    wait_time = constant(0.05)
    sla = ["sum(judge_cost) > $0", "mean(run_score) >= 0", "max(run_latency) < 400ms"]

    @task
    def refund(self):
        with self.agent_run("refund") as run:
            self.chat("Where is order 42?")
            run.score(judge, threshold=0)
"""


def test_a_judge_is_paid_and_counted_apart(tmp_path: Path) -> None:
    """Its server hears every judgement and nothing else; the target hears nothing of it, nor do the runs' times."""
    with MockServer(tmp_path, "ttft=10ms,itl=1ms,tokens=5") as target, MockServer(tmp_path, "ttft=500ms") as judge:
        code = JUDGED.format(judge_host=judge.url)
        result = run(tmp_path, code, "--host", target.url, run_time="4s").expect(0)
        totals = result.summary["totals"]
        assert totals["calls"] == target.final_truth()["completed"] > 0
        assert totals["judge_calls"] == judge.final_truth()["completed"] > 0
        assert totals["attempts"] == totals["calls"]
        (row,) = [row for row in result.summary["rows"] if row["kind"] == "JUDGE"]
        (runs,) = [row for row in result.summary["rows"] if row["kind"] == "AGENT"]
        assert (row["name"], row["model"], row["count"]) == ("judge", "gpt-4o", totals["judge_calls"])
        assert runs["run_score"]["count"] == runs["count"] == totals["runs"]
        assert runs["tokens"]["input"] == 0
        assert "apart from the above" in result.stdout


def test_a_judge_that_cannot_be_reached_fails_no_run(tmp_path: Path) -> None:
    """The runs have no score, and it is told how often."""
    code = (
        JUDGED.format(judge_host="http://127.0.0.1:9")
        .replace('sla = ["sum(judge_cost) > $0", ', "sla = [")
        .replace('"mean(run_score) >= 0", ', "")
    )
    result = run(tmp_path, code, "--mock", "ttft=10ms,itl=1ms,tokens=5").expect(0)
    totals = result.summary["totals"]
    assert totals["judge_failed"] == totals["judge_calls"] > 0
    assert (totals["runs_failed"], totals["failed"]) == (0, 0)


def test_a_judge_without_a_host_is_refused(tmp_path: Path) -> None:
    """It is never the target by accident."""
    result = run(tmp_path, JUDGED.format(judge_host=""), "--mock", "ttft=10ms")
    assert result.exit_code != 0
    assert "an LLM judge needs its own host" in result.output
