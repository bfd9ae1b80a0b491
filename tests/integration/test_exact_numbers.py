"""Tests of exactly so many calls, or agent runs: the mock's books agree, however they are made and whoever dies."""

from __future__ import annotations

import pytest

from harness import WAYS, wait_until
from open_loops import play
from oracle import llm_rows
from sample_locustfiles import chat

SPEC = "ttft=1ms,itl=0ms,tokens=3"
ALL_KINDS = """\
from locust import constant, task

from agentlocust import AnthropicUser, OpenAIUser


class Plain(OpenAIUser):
    model = "gpt-4o-mini"

    @task
    def ask(self):
        self.chat("Hello")


class Sdk(OpenAIUser):
    model = "gpt-4o-mini"

    @task
    def ask(self):
        try:
            self.client.chat.completions.create(model=self.model, messages=[{"role": "user", "content": "Hello"}])
        except Exception:
            pass


class Agent(AnthropicUser):
    model = "claude-3-haiku-20240307"

    @task
    def work(self):
        with self.agent_run("talk"):
            for _ in range(3):
                self.chat("Hello")


class Failing(OpenAIUser):
    model = "gpt-4o-mini@errors=500:0.5"

    @task
    def ask(self):
        self.chat("Hello")
"""
RUNS = """\
from locust import task

from agentlocust import OpenAIUser


class Agent(OpenAIUser):
    model = "gpt-4o-mini"

    @task
    def work(self):
        with self.agent_run("outer"):
            self.chat("Hello")
            with self.agent_run("inner"):
                self.chat("Hello")
"""
IN_ALL_WAYS = pytest.mark.parametrize(
    "way", [pytest.param(way, marks=[] if way in ("local", "processes") else [pytest.mark.long]) for way in WAYS]
)


@IN_ALL_WAYS
@pytest.mark.parametrize("rate", [(), ("--rate", "300/s")], ids=["closed", "open"])
def test_exactly_so_many_calls_are_made(tmp_path, mock_server, way, rate):
    """By users of `chat` and of an SDK, by runs of several calls, whether they fail or not."""
    server = mock_server(SPEC)
    args = ("--host", server.url, "--calls", "1000", *rate)
    result = play(tmp_path, *args, way=way, users=20, locustfile=ALL_KINDS)
    truth, totals = server.final_truth(), result.summary["totals"]
    assert truth["requests"] == totals["calls"] == 1000
    assert totals["failed"] == truth["failed"] > 0
    assert totals["cancelled"] == 0
    assert sum(row["count"] for row in llm_rows(result.summary)) == 1000
    assert all(truth["routes"][route]["requests"] > 50 for route in ("/v1/chat/completions", "/v1/messages"))


@IN_ALL_WAYS
def test_exactly_so_many_runs_are_made(tmp_path, mock_server, way):
    """A run inside another is part of it and not one more."""
    server = mock_server(SPEC)
    result = play(tmp_path, "--host", server.url, "--agent-runs", "50", way=way, users=12, locustfile=RUNS).expect(0)
    runs = {row["name"]: row["count"] for row in result.summary["rows"] if row["kind"] == "AGENT"}
    assert runs == {"outer": 50, "inner": 50}
    totals = result.summary["totals"]
    assert (totals["runs"], totals["runs_inside"]) == (50, 50)
    assert "all 50 runs are made" in result.output
    assert server.final_truth()["requests"] == result.summary["totals"]["calls"] == 100


@pytest.mark.parametrize(("calls", "users"), [(1, 20), (7, 20), (40, 3)])
def test_fewer_calls_than_users_or_a_few_more(tmp_path, mock_server, calls, users):
    """Two workers share what one could do alone."""
    server = mock_server(SPEC)
    args = ("--host", server.url, "--calls", str(calls))
    play(tmp_path, *args, way="processes", users=users, locustfile=chat()).expect(0)
    assert server.final_truth()["requests"] == calls


def test_a_killed_worker_leaves_its_calls_to_the_others(start, mock_server):
    """The test ends, with all calls recorded; what the dead one did and did not tell comes on top of them."""
    server = mock_server("ttft=10ms,itl=0ms,tokens=3")
    args = ("--host", server.url, "--calls", "1000")
    test = start(chat(), *args, way="processes", users=10, run_time="")
    wait_until(lambda: server.truth()["requests"] >= 200, "two hundred requests")
    test.worker_processes()[0].kill()
    result = test.finish().expect(3)
    assert result.summary["totals"]["calls"] == 1000
    assert 1000 <= server.final_truth()["requests"] < 1300  # a report a second
    assert len(result.summary["validity"]["workers_lost"]) == 1
