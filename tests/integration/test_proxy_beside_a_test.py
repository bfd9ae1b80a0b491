"""`locust … --proxy`: what a black box asks of a model is metered, joined to its runs, and kept within the budget."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from decimal import Decimal

import psutil
import pytest

from agent_services import JSON_MAPPING, Service, asker
from harness import free_port, run, wait_until

pytestmark = pytest.mark.timeout(180)

PLAN = "overloaded(status=503){name=chat}:20%"
CODE = asker(protocol="json", path="/", mapping={**JSON_MAPPING, "error": "error.message"})


def calls_of(result):
    [path] = [path for path in result.directory.glob("results/*/calls.jsonl") if not path.parent.is_symlink()]
    return [json.loads(line) for line in path.read_text().splitlines()]


def same_as_truth(result, truth):
    totals = result.summary["totals"]
    assert totals["calls"] == totals["attempts"] == truth["completed"] == truth["requests"]
    for bucket in ("input", "output", "cache_read", "reasoning"):
        assert totals["tokens"][bucket] == truth["tokens"][bucket], bucket


@pytest.mark.parametrize(
    ("passes", "way"),
    [
        ("all", "local"),
        ("all", "processes"),
        ("traceparent", "distributed"),
        pytest.param("traceparent", "local", marks=pytest.mark.long),
        pytest.param("traceparent", "processes", marks=pytest.mark.long),
        pytest.param("all", "distributed", marks=pytest.mark.long),
    ],
)
def test_the_calls_of_a_black_box_are_counted_to_the_last_token(tmp_path, mock_server, way, passes):
    """Calls, tokens and cost equal the mock's truth; every one is known to be some run's, two a run."""
    mock, port = mock_server("ttft=10ms,itl=2ms,tokens=8"), free_port()
    with Service(tmp_path, "llm_agent_service", f"http://127.0.0.1:{port}", passes) as service:
        options = (
            "--host",
            service.url,
            "--proxy",
            mock.url,
            "--proxy-port",
            str(port),
            "--sla",
            "max(run_calls) == 2",
        )
        options = (*options, "--sla", "mean(run_cost) < $0.01")
        result = run(tmp_path, CODE, *options, way=way, users=8, run_time="3s").expect(0)
        told = service.truth()
    truth = mock.final_truth()
    same_as_truth(result, truth)
    totals = result.summary["totals"]
    assert totals["runs"] == told["finished"] > 8
    assert totals["other_requests"] == totals["task_errors"] == 0
    calls = calls_of(result)
    assert {call["run_by"] for call in calls} == {"header" if passes == "all" else "traceparent"}
    runs = [call["run"] for call in calls]
    assert all(runs.count(name) == 2 for name in runs)
    assert len(set(runs)) == totals["runs"]
    [row] = {row["name"] for row in result.summary["rows"] if row["kind"] == "LLM"}
    assert row == ("ask" if passes == "all" else "proxy")
    [agent] = [row for row in result.summary["rows"] if row["kind"] == "AGENT"]
    assert agent["run_calls"]["count"] == agent["run_cost"]["count"] == totals["runs"]
    assert agent["run_calls"]["min"] == agent["run_calls"]["max"] == 2
    cost = sum(Decimal(call["cost_picousd"]) for call in calls) / 10**12
    assert Decimal(totals["cost_usd"]) == cost > 0
    assert f"listens on http://127.0.0.1:{port}" in result.output
    assert "sk-canary" not in result.output + json.dumps(result.summary) + json.dumps(calls)


def test_runs_that_pass_nothing_on_are_told_by_time_where_they_do_not_overlap(tmp_path, mock_server):
    """One user: each call is its run's by time. Eight: none is guessed where several were under way."""
    mock, port = mock_server("ttft=5ms,itl=1ms,tokens=4"), free_port()
    with Service(tmp_path, "llm_agent_service", f"http://127.0.0.1:{port}", "nothing") as service:
        options = ("--host", service.url, "--proxy", mock.url, "--proxy-port", str(port))
        result = run(tmp_path, CODE, *options, users=1, run_time="3s").expect(0)
        same_as_truth(result, mock.final_truth())
        calls = calls_of(result)
    assert {call["run_by"] for call in calls} == {"time"}
    assert {call["run_name"] for call in calls} == {"ask"}
    assert len({call["run"] for call in calls}) == result.summary["totals"]["runs"]


def test_attempts_of_a_call_are_one_call(tmp_path, mock_server):
    """Errors that the agent's SDK tries again are attempts; the calls are as many as the agent made or gave up."""
    mock, port = mock_server("ttft=1ms,itl=0,tokens=3,errors=503:30%,retry_after=50ms"), free_port()
    with Service(tmp_path, "llm_agent_service", f"http://127.0.0.1:{port}", "all", "4") as service:
        options = ("--host", service.url, "--proxy", mock.url, "--proxy-port", str(port))
        result = run(tmp_path, CODE, *options, users=4, run_time="4s")
        told = service.truth()
    truth, totals = mock.final_truth(), result.summary["totals"]
    assert totals["attempts"] == truth["requests"] > truth["completed"]
    assert totals["calls"] - totals["failed"] == truth["completed"] == told["calls"]
    assert totals["calls"] == told["calls"] + told.get("status_503", 0)


OWN = """\
from contextlib import suppress

from locust import constant, task
from openai import APIStatusError, OpenAI

from agentlocust import OpenAIUser, PythonAgentUser


class Chat(OpenAIUser):
    model = "gpt-4o-mini"
    fixed_count = 2
    wait_time = constant(0.02)
    max_tokens = 50
    sla = ["error_rate < 1%"]  # injected failures are none of it

    @task
    def ask(self):
        self.chat("Hello")

    @task
    def ask_by_sdk(self):
        asked = [{"role": "user", "content": "Hello"}]
        with suppress(APIStatusError):
            self.client.chat.completions.create(model=self.model, messages=asked, max_tokens=50)


class Agent(PythonAgentUser):
    model = "gpt-4o-mini"
    fixed_count = 2
    wait_time = constant(0.02)

    def build(self):
        client = OpenAI(base_url=self.openai_url, api_key=self.api_key)

        def answer(prompt):
            asked = [{"role": "user", "content": prompt}]
            reply = client.chat.completions.create(model=self.model, messages=asked, max_tokens=50)
            return reply.choices[0].message.content

        return answer

    @task
    def talk(self):
        self.ask("Hello", name="agent")
"""


@pytest.mark.parametrize("more", [(), ("--budget", "$0.0006"), ("--faults", PLAN, "--faults-at", "proxy")])
def test_what_our_own_users_ask_of_the_proxy_is_counted_once(tmp_path, mock_server, more):
    """By them: calls, tokens and money are the mock's truth, and no money is set aside twice."""
    mock, port = mock_server("ttft=5ms,itl=1ms,tokens=8"), free_port()
    options = ("--host", f"http://127.0.0.1:{port}", "--proxy", mock.url, "--proxy-port", str(port), *more)
    result = run(tmp_path, OWN, *options, users=4, run_time="3s").expect(5 if "--budget" in more else 0)
    truth, totals = mock.final_truth(), result.summary["totals"]
    assert totals["calls"] - totals["injected_failed"] == truth["completed"] == truth["requests"] > 20
    if "--faults" in more:
        assert totals["injected_failed"] == result.summary["faults"]["counts"]["overloaded"] > 0
    assert totals["tokens"]["input"] == truth["tokens"]["input"]
    assert totals["tokens"]["output"] == truth["tokens"]["output"]
    assert {row["name"] for row in result.summary["rows"] if row["kind"] == "LLM"} == {"chat", "agent"}
    assert calls_of(result) == []
    assert "requests of the test's own users, counted by them" in result.output
    if "--budget" in more:
        assert Decimal("0.0005") < Decimal(totals["cost_usd"]) <= Decimal("0.0006")


@pytest.mark.parametrize("way", ["local", "distributed"])
def test_a_black_box_is_judged_by_its_windows(tmp_path, mock_server, way):
    """How its SDK bears an outage at the proxy is told as of any other agent: its calls, its tries, its waits."""
    mock, port = mock_server("ttft=10ms,itl=1ms,tokens=4"), free_port()
    with Service(tmp_path, "llm_agent_service", f"http://127.0.0.1:{port}", "all", "6") as service:
        options = ("--host", service.url, "--proxy", mock.url, "--proxy-port", str(port), "--faults-at", "proxy")
        options = (*options, "--faults", "overloaded(retry_after=1s)@3s-5s", "--sla", "availability > 99%")
        result = run(tmp_path, CODE, *options, way=way, users=8, run_time="10s").expect(0)
    [window], totals = result.summary["resilience"]["windows"], result.summary["totals"]
    spans = [window[name] for name in ("before", "during", "after")]
    assert sum(span["calls"] for span in spans) == totals["calls"]
    assert all(span["calls"] for span in spans)
    assert totals["calls"] + window["retries"]["attempts"] - window["retries"]["intended"] == totals["attempts"]
    assert window["retries"]["behaviour"] == "honours Retry-After", window["sentence"]
    assert window["target_back_s"] <= 1.5
    assert window["usual_rate"] > 10
    assert window["runs"] >= 8


@pytest.mark.parametrize("way", ["local", "processes"])
def test_a_black_box_is_kept_within_the_budget(tmp_path, mock_server, way):
    """The money is never exceeded, what does not fit is a 402 that is not tried again, and the test ends with 5."""
    mock, port = mock_server("ttft=5ms,itl=1ms,tokens=20"), free_port()
    with Service(tmp_path, "llm_agent_service", f"http://127.0.0.1:{port}", "all", "3") as service:
        options = ("--host", service.url, "--proxy", mock.url, "--proxy-port", str(port), "--budget", "$0.0008")
        result = run(tmp_path, CODE, *options, way=way, users=4, run_time="20s").expect(5)
        told = service.truth()
    truth, budget = mock.final_truth(), result.summary["budget"]
    assert Decimal(result.summary["totals"]["cost_usd"]) <= Decimal("0.0008")
    assert Decimal("0.0006") < Decimal(budget["spent_usd"]) <= Decimal("0.0008")
    assert truth["completed"] == told["calls"] > 20
    assert told["status_402"] > 0
    assert "through the proxy, and for nothing else" in result.output


def kill_the_proxy(test):
    """As the kernel does when memory runs out."""
    processes = psutil.Process(test.main.pid).children()
    [proxy] = [process for process in processes if "agentlocust.proxy" in " ".join(process.cmdline())]
    os.kill(proxy.pid, signal.SIGKILL)


def said_of_it(result):
    """The end of the proxy is in the output, in the reasons why the test is not valid, and in no exit code but 3."""
    result.expect(3)
    assert re.search(r"the proxy ended \d s into the test", result.output)
    assert any("the proxy ended" in reason for reason in result.summary["validity"]["reasons"])


@pytest.mark.parametrize("way", ["local", "processes", "distributed"])
def test_a_proxy_that_is_killed_leaves_a_test_that_says_so(tmp_path, mock_server, start, way):
    """Runs fail from then on, what was measured before stays, and the test ends in time and is not valid."""
    mock, port = mock_server("ttft=10ms,itl=2ms,tokens=8"), free_port()
    with Service(tmp_path, "llm_agent_service", f"http://127.0.0.1:{port}", "all") as service:
        options = ("--host", service.url, "--proxy", mock.url, "--proxy-port", str(port))
        test = start(CODE, *options, way=way, users=4, run_time="6s")
        wait_until(lambda: mock.truth()["completed"] > 40, "some calls")
        time.sleep(0.3)
        kill_the_proxy(test)
        result = test.finish()
        told = service.truth()
    said_of_it(result)
    truth, totals = mock.final_truth(), result.summary["totals"]
    assert totals["runs_failed"] == told["unreachable"] > 0
    assert totals["runs"] == told["finished"] + told["unreachable"]
    assert truth["completed"] - 8 <= totals["calls"] <= truth["completed"]  # at most those that ended that instant


@pytest.mark.parametrize("way", ["local", "distributed"])
def test_nothing_is_lost_with_a_proxy_that_is_killed(tmp_path, mock_server, start, way):
    """All that had ended by then is in every output, to the last token: it dies while nobody asks."""
    mock, port = mock_server("ttft=10ms,itl=2ms,tokens=8"), free_port()
    with Service(tmp_path, "llm_agent_service", f"http://127.0.0.1:{port}", "all") as service:

        def quiet():
            truth, told = mock.truth(), service.truth()
            return truth["completed"] >= 12 and truth["completed"] == 2 * told["finished"] == 2 * told["started"]

        options = ("--host", service.url, "--proxy", mock.url, "--proxy-port", str(port))
        code = CODE.replace("constant(0.2)", "constant(1.0)")
        test = start(code, *options, way=way, users=2, run_time="9s")
        wait_until(quiet, "nobody to ask")
        kill_the_proxy(test)
        result = test.finish()
        told = service.truth()
    said_of_it(result)
    same_as_truth(result, mock.final_truth())
    calls, totals = calls_of(result), result.summary["totals"]
    assert len(calls) == totals["calls"] == told["calls"]
    assert sum(call["tokens"]["output"] for call in calls) == totals["tokens"]["output"]
    assert Decimal(totals["cost_usd"]) == sum(Decimal(call["cost_picousd"]) for call in calls) / 10**12 > 0
    assert totals["runs_failed"] == told["unreachable"] > 0
    assert f"{totals['calls']:,}" in result.stdout
    [written] = {path.parent for path in tmp_path.glob("results/*/summary.json") if not path.parent.is_symlink()}
    assert {"summary.json", "calls.jsonl"} <= {path.name for path in written.iterdir()}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--proxy", "ftp://x"), "not an http"),
        (("--proxy", "http://a", "--proxy", "http://b"), "two upstreams"),
        (("--proxy", "search=http://a"), "tools alone"),
        (("--proxy-port", "8080"), "a port for no proxy"),
        (("--proxy", "http://a", "--proxy-port", "70000"), "is no port"),
        (("--proxy", "http://user:pw@a"), "user name or password"),
    ],
)
def test_nonsense_is_refused_before_anything_starts(tmp_path, options, said):
    """Exit code 2, and what is wrong in a sentence."""
    result = run(tmp_path, CODE, "--host", "http://127.0.0.1:1", *options).expect(2)
    assert said in result.output


def test_a_port_that_is_taken_is_a_test_that_cannot_start(tmp_path, mock_server):
    """Said, with exit code 2."""
    mock = mock_server("tokens=1")
    port = mock.url.rpartition(":")[2]
    result = run(tmp_path, CODE, "--host", mock.url, "--proxy", mock.url, "--proxy-port", port).expect(2)
    assert "cannot listen" in result.output


def test_it_ends_by_itself_where_nothing_else_wakes_the_hub():
    """The proxy hears that it may go, and needs no signal."""
    program = (
        "from gevent import monkey; monkey.patch_all()\n"
        "from agentlocust.budget import Budget\n"
        "from agentlocust.lifecycle import proxying\n"
        "proxying.LAST_S = 20.0\n"
        "plan = proxying.ProxyPlan('http://127.0.0.1:9')\n"
        "proxy = proxying.Proxying(plan, Budget(), (), print, print, lambda: print('lost'))\n"
        "proxy._process.terminate = proxy._process.kill = lambda: print('told to')\n"
        "proxy._reader.rawlink(lambda reader: print('heard its end', reader.value))\n"
        "proxy.stop()\n"
        "print(proxy._process.returncode)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "heard its end None\n0\n"
