"""An agent of one's own, written in Python with `AsyncOpenAI` and one tool: every call it makes is measured.

locust -f locustfiles/python_agent.py --headless -u 10 -t 30s
"""

from locust import between, task
from openai import AsyncOpenAI

from agentlocust import PythonAgentUser

ORDER = {"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]}
TOOLS = [{"type": "function", "function": {"name": "find_order", "parameters": ORDER}}]
MAX_TURNS = 6


class Support(PythonAgentUser):
    model = "gpt-4o-mini"
    build_once = "process"  # one client for all users
    wait_time = between(0.5, 1.5)
    sla = ["p95(run_latency) < 20s", "run_error_rate < 1%"]

    def build(self):
        client = AsyncOpenAI(base_url=self.openai_url, api_key=self.api_key, max_retries=0)

        async def answer(question):
            messages = [{"role": "user", "content": question}]
            for _ in range(MAX_TURNS):
                reply = await client.chat.completions.create(model=self.model, messages=messages, tools=TOOLS)
                said = reply.choices[0].message
                if not said.tool_calls:
                    return said.content
                messages.append(said.model_dump(exclude_none=True))
                for call in said.tool_calls:
                    found = "paid on Monday, not sent yet"  # stands for a look-up
                    messages.append({"role": "tool", "tool_call_id": call.id, "content": found})
            return ""

        return answer

    @task
    def where_is_it(self):
        with self.agent_run("where_is_it") as run:
            answer = self.ask("Where is order 42?")
            run.check(answer, "no answer")
