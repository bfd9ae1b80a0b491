"""Starts the services of `services/`, each a process of its own, and the Users that ask them."""

from __future__ import annotations

import importlib.util
import re
import sys
import textwrap
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness import _kill, clean_environment, get, spawn, wait_until

SERVICES = Path(__file__).with_name("services")
NEEDS = {
    "a2a_service": ("a2a", "starlette"),
    "ag_ui_service": ("ag_ui",),
    "mcp_service": ("mcp",),
    "langgraph_service": ("langgraph", "langchain_core", "starlette"),
    "plain_service": ("websockets",),
}

# Where things are in what `plain_service` streams.
MAPPING: dict[str, Any] = {
    "text": {"path": "delta", "when": {"type": "text"}},
    "reasoning": {"path": "delta", "when": {"type": "thinking"}},
    "tool_call": {"when": {"type": "tool"}, "id": "id", "name": "name", "arguments": "input"},
    "tool_result": {"when": {"type": "tool_result"}, "id": "id", "text": "output"},
    "usage": "usage",
    "session": "session_id",
    "done": {"type": "end"},
    "error": "error.message",
}
JSON_MAPPING: dict[str, Any] = {"text": "answer", "session": "session", "usage": "usage"}


def missing(service: str) -> str:
    """Which package a service needs and this environment has not; "" when it has all."""
    return next((name for name in NEEDS[service] if importlib.util.find_spec(name) is None), "")


class Service:
    """One service in a process of its own, with its truth."""

    def __init__(self, directory: Path, name: str, *args: str) -> None:
        self._mark = uuid.uuid4().hex
        self._log = directory / f"{name}-{self._mark}"
        self.url = ""
        command = (sys.executable, str(SERVICES / f"{name}.py"), *args)
        self._process = spawn(command, directory, clean_environment(self._mark), self._log.name)
        try:
            wait_until(self._listens, f"{name} to listen", 60)
        except BaseException:
            self.close()
            raise

    def _listens(self) -> bool:
        output = self._log.with_name(f"{self._log.name}.stdout").read_text()
        errors = self._log.with_name(f"{self._log.name}.stderr").read_text()
        assert self._process.poll() is None, f"the service ended:\n{output}{errors}"
        found = re.search(r"listening on (http://\S+)\n", output)
        self.url = found[1] if found else ""
        return bool(self.url)

    def truth(self) -> dict[str, int]:
        """What it counted itself."""
        counted: dict[str, int] = get(f"{self.url}/_truth")
        return counted

    def close(self) -> None:
        """Stop it."""
        self._process.kill()
        self._process.wait(10)
        _kill(self._mark)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def asker(body: str = 'self.ask("Where is order 42?")', wait: float = 0.2, **settings: object) -> str:
    """A locustfile whose User has these settings and does this."""
    lines = "\n".join(f"    {name} = {value!r}" for name, value in settings.items())
    head = (
        "from locust import constant, task\n\nfrom agentlocust import HttpAgentUser\n\n\nclass Asker(HttpAgentUser):\n"
    )
    task = f"\n    wait_time = constant({wait})\n\n    @task\n    def go(self):\n"
    return head + lines + task + textwrap.indent(textwrap.dedent(body), " " * 8) + "\n"


def tool_caller(wait: float = 0.2, **settings: object) -> str:
    """A locustfile whose User lists an MCP server's tools and calls two of them."""
    lines = "\n".join(f"    {name} = {value!r}" for name, value in settings.items())
    return textwrap.dedent("""\
        from locust import constant, task

        from agentlocust import McpUser


        class Caller(McpUser):
            {settings}
            wait_time = constant({wait})

            def on_start(self):
                assert {{tool["name"] for tool in self.tools()}} == {{"add", "look_up"}}

            @task
            def go(self):
                assert self.call_tool("add", {{"a": 2, "b": 3}}).text == "5"
                assert self.call_tool("look_up", {{"order": 42}}).text == "order 42 is on its way"
    """).format(settings=lines.strip() or "path = '/mcp'", wait=wait)
