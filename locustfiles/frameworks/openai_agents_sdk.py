"""Two agents of the OpenAI Agents SDK: triage hands a refund over to a specialist with a tool.

locust -f locustfiles/frameworks/openai_agents_sdk.py --headless -u 20 -t 60s
"""

import functools

from agents import Agent, OpenAIChatCompletionsModel, RunHooks, Runner, function_tool, handoff, set_tracing_disabled
from agents.extensions.handoff_filters import remove_all_tools
from locust import between, task
from openai import AsyncOpenAI

from agentlocust import PythonAgentUser

set_tracing_disabled(True)  # a load test's traces are nobody's business at api.openai.com


@functools.cache
def model(url, key):
    """One client for all users: the fewer there are, the fewer connections."""
    return OpenAIChatCompletionsModel("gpt-4o-mini", AsyncOpenAI(base_url=url, api_key=key, max_retries=0))


@function_tool
def find_order(order: int) -> str:
    """Look an order up by its number."""
    return f"order {order} was paid on Monday and has not been sent"


class HandOffs(RunHooks):
    """Tells the run who took over."""

    def __init__(self, user):
        self.user = user

    async def on_handoff(self, context, from_agent, to_agent):
        self.user.current_run.hand_off(to_agent.name)


class OpenAIAgentsSdk(PythonAgentUser):
    model = "gpt-4o-mini"
    wait_time = between(0.5, 1.5)
    sla = ["p95(run_latency) < 20s", "run_error_rate < 1%", "error_rate < 1%"]

    def build(self):
        llm = model(self.openai_url, self.api_key)
        refunds = Agent("Refunds", instructions="You decide on refunds.", model=llm, tools=[find_order])
        to_refunds = handoff(refunds, input_filter=remove_all_tools)
        triage = Agent("Triage", instructions="You pass customers on.", model=llm, handoffs=[to_refunds])

        async def answer(question):
            result = await Runner.run(triage, question, max_turns=6, hooks=HandOffs(self))
            return result.final_output

        return answer

    @task
    def refund(self):
        with self.agent_run("refund") as run:
            answer = self.ask("I want my money back for order 42.")
            run.check(answer, "no answer")
