"""Locustfiles that tests run, as text."""

from __future__ import annotations

import textwrap

# Tools, cache, reasoning and two providers: every bucket of tokens is used.
AGENTS = textwrap.dedent("""\
    from locust import constant, task

    from agentlocust import AnthropicUser, OpenAIUser

    SCHEMA = {"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]}


    class OpenAISupport(OpenAIUser):
        model = "gpt-4o-mini"
        sla = ["error_rate < 1%"]
        wait_time = constant(0.02)
        tools = [{"type": "function", "function": {"name": "lookup", "parameters": SCHEMA}}]

        @task
        def refund(self):
            with self.agent_run("refund") as run:
                reply = self.chat("Where is order 42?", tools=self.tools)
                while reply.tool_calls:
                    for call in reply.tool_calls:
                        with run.tool(call.name) as tool:
                            tool.result = "on its way"
                    reply = self.chat(run.messages, tools=self.tools)
                run.check(bool(reply.text), "no answer")


    class ClaudeSupport(AnthropicUser):
        model = "claude-3-haiku-20240307"
        wait_time = constant(0.02)
        tools = [{"name": "lookup", "input_schema": SCHEMA}]

        @task
        def refund(self):
            with self.agent_run("claude refund") as run:
                reply = self.chat("Where is order 42?", tools=self.tools, max_tokens=200)
                while reply.tool_calls:
                    for call in reply.tool_calls:
                        with run.tool(call.name) as tool:
                            tool.result = "on its way"
                    reply = self.chat(run.messages, tools=self.tools, max_tokens=200)
""")
AGENTS_SPEC = "ttft=20ms,itl=1ms,tokens=12,reasoning_tokens=4,cached=0.5,cache_write=0.25"
# OpenAI's calls are whole in half a second; Anthropic's have 2 s from token to token and are always cut.
SLOW_AGENTS = AGENTS.replace('model = "claude-3-haiku-20240307"', 'model = "claude-3-haiku-20240307@itl=2s"')
SLOW_SPEC = "ttft=100ms,itl=50ms,tokens=10"


def chat(*sla: str | dict[str, object], body: str = 'self.chat("Hello")', extra: str = "") -> str:
    """The smallest User, with its SLA, the body of its task and code after it."""
    head = textwrap.dedent(f"""\
        import gevent
        from locust import constant, events, task
        from locust.runners import MasterRunner, WorkerRunner

        from agentlocust import OpenAIUser


        class Chat(OpenAIUser):
            model = "gpt-4o-mini"
            sla = {list(sla)!r}
            wait_time = constant(0.02)

            @task
            def ask(self):
                {body}
    """)
    return head + "\n\n" + textwrap.dedent(extra)


CHAT_SPEC = "ttft=10ms,itl=1ms,tokens=5"
