"""A tool-calling agent of smolagents, which ends by calling its `final_answer` tool.

locust -f locustfiles/frameworks/smolagents_tools.py --headless -u 20 -t 60s
"""

from locust import between, task
from smolagents import LogLevel, OpenAIModel, ToolCallingAgent, tool

from agentlocust import PythonAgentUser


@tool
def find_order(order: int) -> str:
    """Look an order up.

    Args:
        order: its number
    """
    return f"order {order} was paid on Monday and has not been sent"


class SmolagentsSupport(PythonAgentUser):
    model = "gpt-4o-mini"
    wait_time = between(0.5, 1.5)
    sla = ["p95(run_latency) < 30s", "run_error_rate < 1%", "error_rate < 1%"]

    def build(self):
        """An agent of its own for each user: it remembers its steps."""
        llm = OpenAIModel(self.model, api_base=self.openai_url, api_key=self.api_key, client_kwargs={"max_retries": 0})
        return ToolCallingAgent([find_order], llm, max_steps=6, verbosity_level=LogLevel.OFF).run

    @task
    def where_is_it(self):
        with self.agent_run("where_is_it") as run:
            answer = self.ask("Where is order 42?")
            run.check(answer is not None, "no answer")
