"""Faults that strike agents and tools that are services: each in its own protocol, marked, and kept apart."""

from __future__ import annotations

from collections import Counter

import pytest

from agent_services import JSON_MAPPING, MAPPING, asker, tool_caller
from harness import run
from test_agent_services import agent_rows, service_or_skip

pytestmark = pytest.mark.timeout(180)

ASK = 'self.ask("Where is order 42?")'
FIRST_S = 0.3
CHECK = ("--sla", "run_error_rate < 1%")

PROTOCOLS = {
    "a2a": ("a2a_service", {"protocol": "a2a"}),
    "ag-ui": ("ag_ui_service", {"protocol": "ag-ui"}),
    "langgraph": ("langgraph_service", {"protocol": "langgraph"}),
    "sse": ("plain_service", {"protocol": "sse", "path": "/sse", "mapping": MAPPING}),
    "ndjson": ("plain_service", {"protocol": "ndjson", "path": "/ndjson", "mapping": MAPPING}),
    "websocket": ("plain_service", {"protocol": "websocket", "path": "/ws", "mapping": MAPPING}),
    "json": ("plain_service", {"protocol": "json", "path": "/json", "mapping": JSON_MAPPING}),
}
STREAMS = ("a2a", "sse", "ndjson", "websocket")


def runs_under(directory, plan, protocol, *options, body=ASK, users=4, run_time="2s"):
    """The test, and the service's own counters."""
    name, settings = PROTOCOLS[protocol]
    with service_or_skip(directory, name) as service:
        arguments = ("--host", service.url, "--seed", "5", "--faults", plan, *CHECK, *options)
        result = run(directory, asker(body, wait=0.02, **settings), *arguments, users=users, run_time=run_time)
        return result, service.truth()


def failures(result) -> tuple[Counter[str], Counter[str]]:
    """By kind: all, and those that were injected."""
    every, injected = Counter(), Counter()
    for row in agent_rows(result):
        every.update(row["failures"])
        injected.update(row["injected_failures"])
    return every, injected


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_share_of_asks_is_struck_and_nothing_else_fails(tmp_path, protocol):
    """What failed was injected, to the last run; what the service answered is what succeeded."""
    plan = "overloaded():15%, reset():10%, latency(delay=5ms):30%"
    result, truth = runs_under(tmp_path, plan, protocol, "--sla", "run_availability > 99%")
    totals, faults = result.summary["totals"], result.summary["faults"]
    assert totals["runs_injected_failed"] == totals["runs_failed"] == faults["runs"]["injected_failed"] > 0
    assert faults["runs"]["organic_failed"] == totals["task_errors"] == 0
    assert totals["runs_injected"] > totals["runs_injected_failed"]
    assert totals["runs"] - totals["runs_failed"] == truth["finished"]
    assert faults["counts"]["overloaded"] > 0 < faults["counts"]["reset"]
    checks = {check["check"]: check for check in result.expect(99).summary["verdict"]["checks"]}
    assert checks["run_availability > 99%"]["observed"] == pytest.approx(1 - totals["runs_failed"] / totals["runs"])
    every, injected = failures(result)
    assert every == injected
    assert set(every) == {"overloaded", "reset"}
    assert "injected overloaded" in result.output
    assert f"{totals['runs_injected']:,} runs struck, {totals['runs_failed']:,} failed" in result.stdout


@pytest.mark.parametrize("protocol", ["sse", "json"])
def test_the_default_check_leaves_injected_failures_out(tmp_path, protocol):
    """Exit code 0 with a fifth of the asks refused."""
    result, _ = runs_under(tmp_path, "refused():20%", protocol)
    assert result.expect(0).summary["totals"]["runs_failed"] > 0


def test_the_services_own_failures_are_its_own(tmp_path):
    """They fail the check, and the counts say whose they are."""
    body = 'self.ask(self.random.choice(["ask", "ask", "refuse"]))'
    result, _ = runs_under(tmp_path, "server_error():20%", "sse", body=body)
    every, injected = failures(result.expect(99))
    assert injected == {"server_error": every["server_error"]}
    assert result.summary["faults"]["runs"]["organic_failed"] == every["overloaded"] > 0
    check = result.summary["verdict"]["checks"][0]
    assert check["observed"] == pytest.approx(every["overloaded"] / result.summary["totals"]["runs"])


@pytest.mark.parametrize("protocol", STREAMS)
@pytest.mark.parametrize(
    ("plan", "kind"),
    [
        ("cut(after=2)", "truncated_stream"),
        ("malformed(after=1)", "malformed_stream"),
        ("packet_loss()", "reset"),
        ("timeout(limit=50ms), slow_first_token(delay=1s)", "timeout"),
        ("timeout(limit=100ms), stall(after=2,for=1s)", "timeout"),
    ],
)
def test_faults_of_streams_strike_streams_of_any_protocol(tmp_path, protocol, plan, kind):
    """Every ask fails as the fault says."""
    result, truth = runs_under(tmp_path, plan, protocol, users=2, run_time="1s")
    totals = result.summary["totals"]
    every, injected = failures(result.expect(0))
    assert every == injected == {kind: totals["runs"]}, result.output
    assert truth["started"] >= totals["runs"] > 2


@pytest.mark.parametrize("protocol", [*STREAMS, "json"])
def test_a_late_reply_is_late_and_whole(tmp_path, protocol):
    """The first token comes so much later; a bundle's at the end; nothing fails."""
    plan = f"slow_first_token(delay={FIRST_S}s), duplicate(after=3):0.001%, bandwidth(rate=1MB)"
    result, truth = runs_under(tmp_path, plan, protocol, users=2)
    totals = result.summary["totals"]
    assert totals["runs_failed"] == 0 < totals["runs"] == truth["finished"]
    [row] = agent_rows(result.expect(0))
    assert row["latency"]["min"] >= FIRST_S
    assert row["injected"] == totals["runs"] == totals["runs_injected"]


def test_a_bundle_is_one_piece(tmp_path):
    """All events come with the last."""
    result, _ = runs_under(tmp_path, "drip(gap=50ms), bundle()", "sse", users=2)
    [row] = agent_rows(result.expect(0))
    assert row["run_ttft"]["min"] >= 0.25


def test_what_strikes_nothing_there_is_said_before_any_load(tmp_path):
    """A fault that needs a model's reply; the others are not named."""
    result, _ = runs_under(tmp_path, "no_usage(), latency(delay=1ms)", "sse", run_time="1s")
    assert "no_usage() strikes nothing of Asker" in result.expect(0).output
    assert "latency(delay=1ms) strikes nothing" not in result.output
    assert result.summary["faults"]["counts"]["no_usage"] == 0


def test_a_chat_agent_is_struck_as_a_model_is(tmp_path, mock_server):
    """Its replies are a model's: faults of content strike them too, at the transport."""
    mock = mock_server("ttft=2ms,itl=1ms,tokens=8")
    code = asker("assert not self.ask('hello').text", wait=0.02, protocol="openai-chat", model="gpt-4o-mini")
    options = ("--host", mock.url, "--faults", "empty()", *CHECK)
    result = run(tmp_path, code, *options, users=2, run_time="1s").expect(0)
    totals = result.summary["totals"]
    assert totals["runs_injected_failed"] == totals["runs_failed"] == totals["runs"] > 0
    assert totals["task_errors"] == 0


@pytest.mark.parametrize("mode", [(), ("json",)])
def test_tools_of_an_mcp_server_are_struck(tmp_path, mode):
    """Failed tool calls are the injected ones, and the check on tools leaves them out."""
    code = (
        tool_caller(wait=0.02)
        .replace("assert self.call_tool", "self.call_tool")
        .replace('.text == "5"', "")
        .replace('.text == "order 42 is on its way"', "")
    )
    with service_or_skip(tmp_path, "mcp_service", *mode) as service:
        plan = "server_error():20%{name=add}, cut():20%{name=look_up}"
        options = ("--host", service.url, "--seed", "2", "--faults", plan, "--sla", "tool_error_rate < 1%")
        result = run(tmp_path, code, *options, users=4, run_time="2s").expect(0)
        truth = service.truth()
    totals = result.summary["totals"]
    rows = {row["name"]: row for row in result.summary["rows"] if row["kind"] == "TOOL"}
    assert totals["tools_injected_failed"] == totals["tools_failed"] > 0
    assert rows["add"]["count"] - rows["add"]["failed"] == truth["add"]  # refused before it got there
    assert rows["look_up"]["count"] == truth["look_up"]  # acted on, and lost on the way back
    assert rows["add"]["injected_failed"] > 0 < rows["look_up"]["injected_failed"]
    assert result.summary["faults"]["tools"]["organic_failed"] == 0


def test_a_run_of_an_agent_in_the_process_shows_what_struck_its_calls(tmp_path):
    """It failed for that and for nothing else; a check that failed for the content is the content's fault."""
    code = """
from locust import constant, task
from agentlocust import OpenAIUser

class Asking(OpenAIUser):
    model = "gpt-4o-mini"
    wait_time = constant(0.01)

    @task
    def ask(self):
        with self.agent_run("asking") as run:
            reply = self.chat("one")
            run.check(not reply.ok or "word" not in reply.text or len(reply.text) > 3, "too short")
            self.chat("two")
"""
    options = ("--mock", "ttft=1ms,itl=0,tokens=8", "--seed", "4", "--faults", "server_error():20%{call=1}", *CHECK)
    result = run(tmp_path, code, *options, users=3, run_time="2s").expect(0)
    totals = result.summary["totals"]
    assert totals["injected_failed"] == totals["runs_injected_failed"] == totals["runs_failed"] > 0
    assert totals["runs_injected"] == totals["injected"] < totals["runs"]
    assert result.summary["faults"]["counts"] == {"server_error": totals["injected"]}
