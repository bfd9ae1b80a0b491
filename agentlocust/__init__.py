"""Load- and stress-testing of LLM agents with Locust.

Importing the package has no side effects; asking it for a User class registers the pack with
Locust (`agentlocust.plugin`) first.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentlocust.dialects.agents.events import AgentEvent, EventKind
    from agentlocust.roster.members import Member
    from agentlocust.roster.stress import run_stress_test
    from agentlocust.roster.user import RosterUser
    from agentlocust.shapes.arrivals import constant, gamma, poisson, uniform
    from agentlocust.users.anthropic import AnthropicUser
    from agentlocust.users.base import AgentUser
    from agentlocust.users.http_agent import HttpAgentUser
    from agentlocust.users.http_agent_reply import AgentReply
    from agentlocust.users.judge import Judge
    from agentlocust.users.mcp_agent import McpUser
    from agentlocust.users.openai import OpenAIUser
    from agentlocust.users.python_agent import PythonAgentUser
    from agentlocust.users.reply import Reply
    from agentlocust.wire.exchange import Timeouts

__version__ = "0.1.0"

__all__ = [
    "AgentEvent",
    "AgentReply",
    "AgentUser",
    "AnthropicUser",
    "EventKind",
    "HttpAgentUser",
    "Judge",
    "McpUser",
    "Member",
    "OpenAIUser",
    "PythonAgentUser",
    "Reply",
    "RosterUser",
    "Timeouts",
    "constant",
    "gamma",
    "poisson",
    "run_stress_test",
    "uniform",
]

_HOMES = {
    "AgentEvent": "agentlocust.dialects.agents.events",
    "AgentReply": "agentlocust.users.http_agent_reply",
    "AgentUser": "agentlocust.users.base",
    "AnthropicUser": "agentlocust.users.anthropic",
    "EventKind": "agentlocust.dialects.agents.events",
    "HttpAgentUser": "agentlocust.users.http_agent",
    "Judge": "agentlocust.users.judge",
    "McpUser": "agentlocust.users.mcp_agent",
    "Member": "agentlocust.roster.members",
    "OpenAIUser": "agentlocust.users.openai",
    "PythonAgentUser": "agentlocust.users.python_agent",
    "Reply": "agentlocust.users.reply",
    "RosterUser": "agentlocust.roster.user",
    "Timeouts": "agentlocust.wire.exchange",
    "constant": "agentlocust.shapes.arrivals",
    "gamma": "agentlocust.shapes.arrivals",
    "poisson": "agentlocust.shapes.arrivals",
    "run_stress_test": "agentlocust.roster.stress",
    "uniform": "agentlocust.shapes.arrivals",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'agentlocust' has no attribute {name!r}")
    if name.endswith("User"):
        importlib.import_module("agentlocust.plugin")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
