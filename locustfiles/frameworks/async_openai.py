"""An agent of one's own on `AsyncOpenAI`: two researchers side by side, then a writer who reads both.

locust -f locustfiles/frameworks/async_openai.py --headless -u 20 -t 60s
"""

import asyncio

from locust import between, task
from openai import AsyncOpenAI

from agentlocust import PythonAgentUser

FIND = {"type": "object", "properties": {"words": {"type": "string"}}, "required": ["words"]}
TOOLS = [{"type": "function", "function": {"name": "search", "parameters": FIND}}]


class AsyncResearch(PythonAgentUser):
    model = "gpt-4o-mini"
    build_once = "process"  # one client for all users
    wait_time = between(0.5, 1.5)
    sla = ["p95(run_latency) < 20s", "run_error_rate < 1%", "error_rate < 1%"]

    def build(self):
        client = AsyncOpenAI(base_url=self.openai_url, api_key=self.api_key, max_retries=0)

        async def complete(messages, **more):
            reply = await client.chat.completions.create(model=self.model, messages=messages, **more)
            return reply.choices[0].message

        async def research(question):
            messages = [{"role": "user", "content": question}]
            said = await complete(messages, tools=TOOLS)
            if said.tool_calls:
                messages.append(said.model_dump(exclude_none=True))
                for call in said.tool_calls:
                    await asyncio.sleep(0.02)  # stands for a search
                    messages.append({"role": "tool", "tool_call_id": call.id, "content": "three pages were found"})
                said = await complete(messages, tools=TOOLS)
            return said.content

        async def answer(question):
            both = await asyncio.gather(
                research(f"{question} What speaks for it?"), research(f"{question} What against?")
            )
            text = ""
            stream = await client.chat.completions.create(
                model=self.model,
                messages=[{"role": "user", "content": f"{question} Weigh: {both}"}],
                stream=True,
                stream_options={"include_usage": True},
            )
            async for chunk in stream:
                text += chunk.choices[0].delta.content or "" if chunk.choices else ""
            return text

        return answer

    @task
    def report(self):
        with self.agent_run("report") as run:
            run.check(self.ask("Should a small shop sell on Sundays?"), "no answer")
