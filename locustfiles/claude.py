"""An Anthropic model with a tool.

locust -f locustfiles/claude.py --headless -u 5 -t 10s
"""

import gevent
from locust import between, task

from agentlocust import AnthropicUser

TOOLS = [
    {
        "name": "weather",
        "description": "The weather in a city, now",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    }
]


class Claude(AnthropicUser):
    model = "claude-haiku-4-5"
    wait_time = between(0.5, 1.5)
    sla = ["p95(ttft) < 800ms", "mean(run_cost) < $0.01"]

    @task
    def umbrella(self):
        with self.agent_run("umbrella") as run:
            reply = self.chat("Do I need an umbrella in Oslo today?", tools=TOOLS)
            while reply.tool_calls:
                for call in reply.tool_calls:
                    with run.tool(call.name) as tool:
                        gevent.sleep(0.1)
                        tool.result = f"light rain in {call.arguments.get('city', 'Oslo')}"
                reply = self.chat(run.messages, tools=TOOLS)
            run.check(reply.text, "no answer")
