"""Tries the framework examples: every run's prompt bears a mark, and the mock knows what each mark cost."""

from __future__ import annotations

import importlib.util
import json
import textwrap
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from harness import ROOT, MockServer, run

SPEC = "ttft=20ms,itl=1ms,tokens=uniform(5,30),reasoning_tokens=2"
FOLDER = ROOT / "locustfiles" / "frameworks"
PRICES = {"gpt-4o-mini": (Decimal("0.15"), Decimal("0.60")), "claude-haiku-4-5": (Decimal(1), Decimal(5))}  # $ a 1M

# Each example, the package it needs, its User classes.
EXAMPLES = {
    "openai_agents_sdk": ("agents", ("OpenAIAgentsSdk",)),
    "langgraph_react": ("langgraph", ("LangGraphSync", "LangGraphAsync")),
    "pydantic_ai_agent": ("pydantic_ai", ("PydanticAISupport",)),
    "anthropic_tool_runner": ("anthropic", ("ToolRunnerSync", "ToolRunnerAsync")),
    "smolagents_tools": ("smolagents", ("SmolagentsSupport",)),
    "async_openai": ("openai", ("AsyncResearch",)),
}

# The example itself; only the prompts bear marks, and what each run counted is written down.
MARKED = textwrap.dedent("""\
    import importlib.util
    import json
    import os
    import uuid

    from agentlocust import PythonAgentUser
    from locust import constant

    spec = importlib.util.spec_from_file_location("example_under_test", {path!r})
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)


    class Marked:
        wait_time = constant({pause})
        last = mark = None

        def agent_run(self, name, *, labels=None):
            self.write()
            self.last, self.mark = super().agent_run(name, labels=labels), uuid.uuid4().hex
            return self.last

        def ask(self, input, **more):
            return super().ask(f"[[mark:{{self.mark}}]] {{input}}", **more)

        def on_stop(self):
            self.write()

        def write(self):
            if self.last is not None:
                told = self.last.tally
                line = dict(mark=self.mark, user=type(self).__name__, calls=told.calls, attempts=told.attempts)
                line |= dict(input=told.usage.input, output=told.usage.output, picousd=told.cost_picousd)
                line |= dict(tools=told.tool_calls, hand_offs=told.hand_offs, error=self.last.error)
                with open({runs!r}, "a") as file:
                    file.write(json.dumps(line) + "\\n")
            self.last = None


    for name in {classes!r}:
        cls = vars(example)[name]
        cls.abstract = True
        globals()[name] = type(cls)(name, (Marked, cls), {{"abstract": False}})
    del cls
""")


@dataclass(slots=True)
class Trial:
    """What a trial of an example found: problems in words, and its numbers."""

    name: str
    problems: list[str] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    truth: dict[str, Any] = field(default_factory=dict)


def missing(name: str) -> str:
    """Why an example cannot be tried here; "" when it can."""
    package = EXAMPLES[name][0]
    return (
        ""
        if importlib.util.find_spec(package)
        else f"{package} is not installed: pip install 'agentlocust[frameworks]'"
    )


def try_example(
    directory: Path, name: str, *, users: int = 5, run_time: str = "4s", pause: float = 0.05, way: str = "local"
) -> Trial:
    """Run an example under load; every difference from the mock's truth is a problem."""
    runs = directory / "runs.jsonl"
    text = MARKED.format(path=str(FOLDER / f"{name}.py"), classes=EXAMPLES[name][1], runs=str(runs), pause=pause)
    with MockServer(directory, SPEC) as server:
        result = run(directory, text, "--host", server.url, users=users, run_time=run_time, stop_timeout="30", way=way)
        truth = server.final_truth()
    trial = Trial(name, truth=truth)
    if result.exit_code:
        trial.problems.append(f"exit {result.exit_code}\n{result.output}")
    trial.runs = [json.loads(line) for line in runs.read_text().splitlines()] if runs.exists() else []
    trial.summary = result.summaries[0] if result.summaries else {}
    if trial.summary:
        trial.problems += [f"{what}: {ours} against {true}" for what, ours, true in _claims(trial) if ours != true]
    return trial


def _claims(trial: Trial) -> list[tuple[str, object, object]]:
    """What has to be equal: ours, and the truth."""
    totals, truth = trial.summary["totals"], trial.truth
    claims: list[tuple[str, object, object]] = [
        ("calls", totals["calls"], truth["completed"]),
        ("requests", totals["attempts"], truth["requests"]),
        ("failed calls", totals["failed"], truth["failed"]),
        ("cancelled calls", totals["cancelled"], truth["aborted"]),
        ("estimated tokens", totals["tokens"]["estimated"], 0),
        ("unpriced calls", totals["unpriced_calls"], 0),
        ("runs", totals["runs"], len(trial.runs)),
        ("failed runs", totals["runs_failed"], 0),
        ("marks dropped", truth["marks_dropped"], 0),
        ("calls without a run", totals["calls"], sum(one["calls"] for one in trial.runs)),
        ("marks", sorted(one["mark"] for one in trial.runs), sorted(truth["marks"])),
        ("users without a run", sorted({one["user"] for one in trial.runs}), sorted(EXAMPLES[trial.name][1])),
        ("cost", Decimal(totals["cost_usd"]), _dollars(trial, truth["tokens"])),
    ]
    claims += [(f"{kind} tokens", totals["tokens"][kind], truth["tokens"][kind]) for kind in truth["tokens"]]
    for one in trial.runs:
        marked = truth["marked"].get(one["mark"], {})
        ours = {key: one[key] for key in ("attempts", "calls", "input", "output")}
        true = {
            "attempts": truth["marks"].get(one["mark"], 0),
            "calls": marked.get("completed", 0),
            "input": marked.get("input", 0),
            "output": marked.get("output", 0),
        }
        claims.append((f"run {one['mark']}", ours, true))
        claims.append((f"cost of run {one['mark']}", Decimal(one["picousd"]) / 10**12, _dollars(trial, true)))
    return claims


def _dollars(trial: Trial, tokens: dict[str, int]) -> Decimal:
    (model,) = {row["model"] for row in trial.summary["rows"] if row["kind"] == "LLM"}
    price = PRICES[model]
    return (tokens["input"] * price[0] + tokens["output"] * price[1]) / 1_000_000
