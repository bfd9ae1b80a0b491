"""Agents that are services: what the test counted is what they did, to the last request."""

from __future__ import annotations

import re

import pytest

from agent_services import JSON_MAPPING, MAPPING, Service, asker, missing, tool_caller
from harness import Result, free_port, run

pytestmark = pytest.mark.timeout(180)

USERS = 50


def service_or_skip(directory, name: str, *args: str) -> Service:
    if package := missing(name):
        pytest.skip(f"{package} is not installed")
    return Service(directory, name, *args)


def agent_rows(result: Result):
    return [row for row in result.summary["rows"] if row["kind"] == "AGENT"]


PROTOCOLS = {
    "a2a 1.0 stream": ("a2a_service", {"protocol": "a2a"}),
    "a2a 0.3 stream": ("a2a_service", {"protocol": "a2a", "options": {"version": "0.3"}}),
    "a2a 1.0 send": ("a2a_service", {"protocol": "a2a", "stream": False}),
    "a2a 0.3 poll": ("a2a_service", {"protocol": "a2a", "options": {"version": "0.3", "mode": "poll", "poll": "50ms"}}),
    "ag-ui": ("ag_ui_service", {"protocol": "ag-ui"}),
    "sse": ("plain_service", {"protocol": "sse", "path": "/sse", "mapping": MAPPING}),
    "ndjson": ("plain_service", {"protocol": "ndjson", "path": "/ndjson", "mapping": MAPPING}),
    "websocket": ("plain_service", {"protocol": "websocket", "path": "/ws", "mapping": MAPPING}),
    "json": ("plain_service", {"protocol": "json", "path": "/json", "mapping": JSON_MAPPING}),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_fifty_users_lose_no_answer_and_count_none_twice(tmp_path, protocol):
    """Runs, answers and tokens of the summary equal the service's own counters."""
    name, settings = PROTOCOLS[protocol]
    with service_or_skip(tmp_path, name) as service:
        result = run(tmp_path, asker(**settings), "--host", service.url, users=USERS, run_time="3s").expect(0)
        truth = service.truth()
    totals = result.summary["totals"]
    assert totals["runs"] == truth["started"] == truth["finished"] > USERS
    assert totals["runs_failed"] == totals["runs_cancelled"] == totals["other_requests"] == totals["calls"] == 0
    assert totals["tokens"]["input"] == 7 * truth["finished"]
    assert totals["tokens"]["output"] == 5 * truth["finished"]
    shown = re.findall(r"AGENT +ask +(\d+) +\d+\(", result.output)
    assert int(shown[-1]) == truth["finished"]  # Locust's own table


def test_fifty_users_of_a_langgraph_server(tmp_path):
    """Each ask makes a thread and runs on it; the messages are LangChain's own."""
    with service_or_skip(tmp_path, "langgraph_service") as service:
        code = asker(protocol="langgraph")
        result = run(tmp_path, code, "--host", service.url, users=USERS, run_time="3s").expect(0)
        truth = service.truth()
    assert result.summary["totals"]["runs"] == truth["threads"] == truth["started"] == truth["finished"] > USERS


@pytest.mark.parametrize(
    ("version", "mode"),
    [
        ("", ()),
        ("", ("json",)),
        ("", ("stateless",)),
        ("2025-06-18", ()),
        pytest.param("2025-06-18", ("json",), marks=pytest.mark.long),
        pytest.param("2025-06-18", ("stateless",), marks=pytest.mark.long),
    ],
)
def test_fifty_users_call_an_mcp_servers_tools(tmp_path, mode, version):
    """Each tool has its row, and as many calls in it as the server ran, whatever revision is spoken."""
    with service_or_skip(tmp_path, "mcp_service", *mode) as service:
        code = tool_caller(protocol_version=version)
        result = run(tmp_path, code, "--host", service.url, users=USERS, run_time="3s").expect(0)
        truth = service.truth()
    rows = {row["name"]: row for row in result.summary["rows"] if row["kind"] == "TOOL"}
    assert {name: row["count"] for name, row in rows.items()} == {
        "add": truth["add"],
        "look_up": truth["look_up"],
    }
    totals = result.summary["totals"]
    assert totals["tool_calls"] == truth["add"] + truth["look_up"]
    assert truth["add"] > USERS
    assert totals["tools_failed"] == totals["task_errors"] == totals["other_requests"] == 0


def test_a_tool_that_fails_is_counted_as_one_that_does(tmp_path):
    """What the server says went wrong is the failure's text; the user goes on."""
    code = tool_caller().replace(
        '"look_up", {"order": 42}).text == "order 42 is on its way"', '"look_up", {"order": 13}).is_error'
    )
    with service_or_skip(tmp_path, "mcp_service") as service:
        result = run(tmp_path, code, "--host", service.url, users=2, run_time="2s").expect(1)
        truth = service.truth()
    assert result.summary["totals"]["tools_failed"] == truth["look_up_failed"] > 0
    assert result.summary["totals"]["task_errors"] == 0
    assert "no such order" in result.output


def test_sessions_carry_their_name_over_turns_and_think_between(tmp_path):
    """Turns of one session share the service's session and, over a WebSocket, its connection."""
    body = """
        with self.session() as session:
            for _ in range(3):
                assert session.ask("Where is order 42?").ok
                session.think(0.05)
    """
    settings = {"protocol": "websocket", "path": "/ws", "mapping": MAPPING}
    with service_or_skip(tmp_path, "plain_service") as service:
        result = run(tmp_path, asker(body, **settings), "--host", service.url, users=10, run_time="3s").expect(0)
        truth = service.truth()
    totals = result.summary["totals"]
    assert totals["runs"] == truth["finished"]
    assert 3 * totals["sessions"] == totals["session_turns"] <= totals["runs"]
    assert totals["sessions"] > totals["sessions_failed"] == 0
    assert f"sessions {totals['sessions']:,}   3 turns a session\n" in result.stdout
    assert truth["new_sessions"] == truth["sockets"]
    assert truth["finished"] > 2 * truth["sockets"] > 20
    assert result.summary["totals"]["task_errors"] == 0


@pytest.mark.parametrize("way", ["local", "processes"])
def test_exactly_so_many_runs_are_made_of_several_asks(tmp_path, way):
    """Asks inside a run take no permit and are not counted for one."""
    body = """
        with self.agent_run("visit") as run:
            for _ in range(3):
                self.ask("Where is order 42?")
    """
    settings = {"protocol": "json", "path": "/json", "mapping": JSON_MAPPING}
    with service_or_skip(tmp_path, "plain_service") as service:
        result = run(
            tmp_path, asker(body, wait=0, **settings), "--host", service.url, "--agent-runs", "40",
            way=way, users=6, run_time="60s",
        ).expect(0)  # fmt: skip
        truth = service.truth()
    totals = result.summary["totals"]
    assert (totals["runs"], totals["runs_inside"], truth["finished"]) == (40, 120, 120)
    assert "all 40 runs are made" in result.output


@pytest.mark.parametrize("protocol", ["sse", "websocket"])
def test_who_leaves_is_counted_apart_and_the_waste_is_known(tmp_path, protocol):
    """Abandoned asks are no failures; the tokens that the service had told of are counted as theirs."""
    settings = {
        "protocol": protocol,
        "path": "/sse" if protocol == "sse" else "/ws",
        "mapping": MAPPING,
        "abandon": {"share": 1, "after": "300ms"},
    }
    body = """
        reply = self.ask("slow" if self.random.random() < 0.5 else "quick")
        assert reply.failure is None
        assert reply.abandoned != reply.ok
    """
    with service_or_skip(tmp_path, "plain_service") as service:
        result = run(tmp_path, asker(body, **settings), "--host", service.url, users=10, run_time="3s").expect(0)
        truth = service.truth()
    totals = result.summary["totals"]
    assert totals["runs"] == truth["finished"] > 0
    assert totals["runs_abandoned"] + totals["runs_cancelled"] == truth["started"] - truth["finished"] > 0
    assert totals["abandoned_tokens"] == 12 * totals["runs_abandoned"]
    assert totals["runs_failed"] == totals["task_errors"] == 0


def test_what_goes_wrong_is_told_by_kind(tmp_path):
    """An agent's own error, an HTTP error and a cut stream are failures of their kinds."""
    body = """
        for text in ("fail", "refuse", "cut"):
            self.ask(text, name=text)
    """
    settings = {"protocol": "sse", "path": "/sse", "mapping": MAPPING}
    with service_or_skip(tmp_path, "plain_service") as service:
        result = run(tmp_path, asker(body, **settings), "--host", service.url, users=3, run_time="2s").expect(1)
    failures = {row["name"]: list(row["failures"]) for row in agent_rows(result)}
    assert failures == {"fail": ["stream_error"], "refuse": ["overloaded"], "cut": ["truncated_stream"]}
    assert "no such order" in result.output


def test_a_setting_that_makes_no_sense_ends_before_any_load(tmp_path):
    """A protocol nobody knows is told with what is meant, exit 2."""
    result = run(tmp_path, asker(protocol="a2aa"), users=1, run_time="1s").expect(2)
    assert "did you mean 'a2a'?" in result.output
    assert "Traceback" not in result.output


def test_a_server_that_is_not_there_is_told(tmp_path):
    """Users of an MCP server that nobody serves fail to list its tools, and each time says why."""
    code = tool_caller().replace("assert {tool", "found = {tool").replace('} == {"add", "look_up"}', "}")
    result = run(tmp_path, code, "--host", f"http://127.0.0.1:{free_port()}", users=2, run_time="1s")
    rows = {row["name"]: row for row in result.summary["rows"] if row["kind"] == "TOOL"}
    assert rows["tools/list"]["failed"] == rows["tools/list"]["count"] == 2
    assert "cannot connect" in result.output
