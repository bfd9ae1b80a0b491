"""A support agent that plans, calls two tools whose latency varies, and answers; with an SLA.

locust -f locustfiles/agent.py --headless -u 10 -t 20s
"""

import gevent
from locust import between, task

from agentlocust import OpenAIUser

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "find_order",
            "description": "Look an order up by its number",
            "parameters": {
                "type": "object",
                "properties": {"order": {"type": "integer", "minimum": 1}},
                "required": ["order"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "track_parcel",
            "description": "Where a parcel is now",
            "parameters": {
                "type": "object",
                "properties": {"carrier": {"enum": ["post", "courier"]}, "parcel": {"type": "string"}},
                "required": ["carrier", "parcel"],
            },
        },
    },
]


class Support(OpenAIUser):
    model = "gpt-4o-mini"
    system = "You help customers of a small shop. Look things up before you answer."
    wait_time = between(1, 2)
    sla = ["p95(ttft) < 800ms", "p95(run_latency) < 15s", "error_rate < 1%", "mean(run_cost) < $0.02"]
    goodput = {"ttft": "500ms", "latency": "4s"}

    @task
    def where_is_my_order(self):
        with self.agent_run("where_is_my_order") as run:
            reply = self.chat("Where is order 42? It should have come on Monday.", tools=TOOLS)
            turns = 1
            while reply.tool_calls and turns < 6:
                for call in reply.tool_calls:
                    with run.tool(call.name) as tool:
                        tool.result = self.work(call.name, **call.arguments)
                reply = self.chat(run.messages, tools=TOOLS)
                turns += 1
            run.check(reply.text, "no answer")

    def work(self, tool, **arguments):
        """Stands for the agent's own systems: a database, then a slow carrier."""
        slow = 0.05 if tool == "find_order" else 0.2
        gevent.sleep(self.random.lognormvariate(0, 0.5) * slow)
        return {"tool": tool, "found": True, **arguments}
