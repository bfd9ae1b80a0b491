"""Faults under an agent's own HTTP client: official SDKs, synchronous and not, that know nothing of us."""

from __future__ import annotations

import pytest

# Each way asks one thing a run; what it raised is its error's class.
AGENT = """\
import anthropic
import httpx2
import openai
from locust import constant, task
from agentlocust import PythonAgentUser

MESSAGES = [{"role": "user", "content": "hi"}]

class Agent(PythonAgentUser):
    wait_time = constant(0.01)
    sla = ["error_rate < 1%", "run_error_rate <= 100%"]

    def ask_it(self, name, ask):
        try:
            with self.agent_run(name):
                ask()
        except (openai.OpenAIError, anthropic.AnthropicError, httpx2.HTTPError):
            pass  # of a stream that breaks, the SDKs let some of the client's own exceptions out

    @task
    def sync(self):
        client = openai.OpenAI(base_url=self.openai_url, api_key="k", max_retries=0, timeout=5)
        def ask():
            for _ in client.chat.completions.create(model="m", messages=MESSAGES, stream=True):
                pass
        self.ask_it("sync", ask)
        client.close()

    @task
    def whole(self):
        client = openai.OpenAI(base_url=self.openai_url, api_key="k", max_retries=0, timeout=5)
        self.ask_it("whole", lambda: client.responses.create(model="m", input="hi"))
        client.close()

    @task
    def asynchronous(self):
        async def ask():
            async with anthropic.AsyncAnthropic(base_url=self.anthropic_url, api_key="k", max_retries=0) as client:
                stream = await client.messages.create(model="m", max_tokens=50, messages=MESSAGES, stream=True)
                async for _ in stream:
                    pass
        self.ask_it("asynchronous", lambda: self.run_async(ask()))
"""
NAMES = {"sync", "whole", "asynchronous"}


def kinds(start, plan: str, *more: str) -> dict[str, dict[str, int]]:
    """The kinds of failure of each way, all of which a fault of the plan explains."""
    options = ("--mock", "ttft=2ms,itl=1ms,tokens=8", "--faults", plan, "--calls", "36", *more)
    result = start(AGENT, *options, users=3, run_time="").finish()
    rows = [row for row in result.expect(0).summary["rows"] if row["kind"] == "LLM"]
    assert {row["name"] for row in rows} == NAMES, result.output
    assert all(row["failures"] == row["injected_failures"] for row in rows), rows
    assert sum(row["injected"] for row in rows) == sum(row["count"] for row in rows)
    return {row["name"]: row["failures"] for row in rows}


PLANS = {
    "cut(after=3)": ("truncated_stream", "reset"),
    "overloaded()": ("overloaded", "overloaded"),
    "packet_loss()": ("reset", "reset"),
    "timeout(limit=4ms)": ("timeout", "timeout"),
    "dns_failure()": ("dns", "dns"),
    "latency(delay=5ms), drip(gap=2ms):100%, model_switched()": (None, None),
}
AT_THE_MOCK = ("cut(after=3)", "overloaded()", "dns_failure()")  # one of each kind on every change; all with -m long


@pytest.mark.parametrize(
    ("plan", "place"),
    [
        *((plan, "transport") for plan in PLANS),
        *(pytest.param(plan, "mock", marks=[] if plan in AT_THE_MOCK else [pytest.mark.long]) for plan in PLANS),
    ],
)
def test_an_agent_s_own_client_is_struck_alike(start, plan, place):
    """Every attempt is struck and marked; each failure is the one that the real trouble is."""
    found = kinds(start, plan, "--faults-at", place)
    streamed, whole = PLANS[plan]
    for name, failures in found.items():
        expected = whole if name == "whole" else streamed
        if place == "mock" and plan.startswith(("dns", "timeout")):
            assert set(failures) <= {"reset", "protocol", "truncated_stream"}  # a server can only break off
        else:
            assert set(failures) == ({expected} if expected else set())
