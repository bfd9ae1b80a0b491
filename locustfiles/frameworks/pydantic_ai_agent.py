"""An agent of PydanticAI with a tool and a typed answer.

locust -f locustfiles/frameworks/pydantic_ai_agent.py --headless -u 20 -t 60s
"""

from locust import between, task
from openai import AsyncOpenAI
from pydantic_ai import Agent, UsageLimits
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from agentlocust import PythonAgentUser


class PydanticAISupport(PythonAgentUser):
    model = "gpt-4o-mini"
    build_once = "process"  # one client for all users
    wait_time = between(0.5, 1.5)
    sla = ["p95(run_latency) < 20s", "run_error_rate < 1%", "error_rate < 1%"]

    def build(self):
        client = AsyncOpenAI(base_url=self.openai_url, api_key=self.api_key, max_retries=0)
        llm = OpenAIChatModel(self.model, provider=OpenAIProvider(openai_client=client))
        agent = Agent(llm, instructions="You help customers of a small shop.")

        @agent.tool_plain
        def find_order(order: int) -> str:
            """Look an order up by its number."""
            return f"order {order} was paid on Monday and has not been sent"

        async def answer(question):
            result = await agent.run(question, usage_limits=UsageLimits(request_limit=6))
            return result.output

        return answer

    @task
    def where_is_it(self):
        with self.agent_run("where_is_it") as run:
            answer = self.ask("Where is order 42?")
            run.check(answer, "no answer")
