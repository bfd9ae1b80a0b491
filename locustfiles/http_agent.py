"""An agent that is a service, asked over several turns by users who read, think, and sometimes leave.

locust -f locustfiles/http_agent.py --headless -u 10 -t 20s

Without --host the embedded mock answers, an agent behind OpenAI's chat API. For an agent of your own, name
its protocol: "a2a", "ag-ui", "langgraph", "openai-responses". Or say where things are in what it sends, with
protocol = "json", "sse", "ndjson" or "websocket" and a mapping such as

    mapping = {
        "request": {"question": "{text}", "conversation": "{session}"},
        "text": "delta",
        "tool_call": {"id": "tool.id", "name": "tool.name", "arguments": "tool.input"},
        "usage": {"input": "tokens.in", "output": "tokens.out"},
        "session": "conversation",
        "done": {"end": True},
        "error": "error.message",
    }

Its key, if it asks for one, goes in AGENT_API_KEY.
"""

from locust import between, task

from agentlocust import HttpAgentUser


class ShopAssistant(HttpAgentUser):
    protocol = "openai-chat"
    model = "gpt-4o-mini"
    system = "You help the customers of a small shop."
    think_time = between(0.5, 2)
    wait_time = between(1, 2)
    abandon = {"share": 0.1, "after": "4s"}
    sla = ["p95(run_ttfo) < 2s", "p95(run_latency) < 15s", "run_error_rate < 1%"]

    @task(3)
    def order_and_return(self):
        with self.session() as session:
            reply = session.ask("Where is order 42?", name="where", check=lambda reply: len(reply.text) > 0)
            if reply.ok:
                session.think()
                session.ask("It came broken. How do I send it back?", name="return")

    @task
    def opening_hours(self):
        self.ask("When are you open on Saturdays?", name="hours")
