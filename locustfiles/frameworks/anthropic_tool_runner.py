"""Anthropic's tool runner, in both ways: sync, and async with streamed replies.

locust -f locustfiles/frameworks/anthropic_tool_runner.py --headless -u 20 -t 60s
"""

from anthropic import Anthropic, AsyncAnthropic, beta_async_tool, beta_tool
from locust import between, task

from agentlocust import PythonAgentUser

LIMITS = {"max_tokens": 300, "max_iterations": 6}


def find_order(order: int) -> str:
    """Look an order up.

    Args:
        order: its number
    """
    return f"order {order} was paid on Monday and has not been sent"


async def find_order_async(order: int) -> str:
    return find_order(order)


class ToolRunner(PythonAgentUser):
    abstract = True
    model = "claude-haiku-4-5"
    key_variable = "ANTHROPIC_API_KEY"
    build_once = "process"  # one client for all users
    wait_time = between(0.5, 1.5)
    sla = ["p95(run_latency) < 20s", "run_error_rate < 1%", "error_rate < 1%"]

    @task
    def where_is_it(self):
        with self.agent_run("where_is_it") as run:
            answer = self.ask("Where is order 42?")
            run.check(answer, "no answer")


def text_of(message):
    return "".join(block.text for block in message.content if block.type == "text")


class ToolRunnerSync(ToolRunner):
    def build(self):
        client = Anthropic(base_url=self.anthropic_url, api_key=self.api_key, max_retries=0)

        def answer(question):
            asked = [{"role": "user", "content": question}]
            runner = client.beta.messages.tool_runner(
                model=self.model, tools=[beta_tool(find_order)], messages=asked, **LIMITS
            )
            return text_of(runner.until_done())

        return answer


class ToolRunnerAsync(ToolRunner):
    def build(self):
        client = AsyncAnthropic(base_url=self.anthropic_url, api_key=self.api_key, max_retries=0)
        find = beta_async_tool(find_order_async, name="find_order", description="Look an order up.")

        async def answer(question):
            asked = [{"role": "user", "content": question}]
            runner = client.beta.messages.tool_runner(
                model=self.model, tools=[find], messages=asked, stream=True, **LIMITS
            )
            async for stream in runner:
                message = await stream.get_final_message()
            return text_of(message)

        return answer
