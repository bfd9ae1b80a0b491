"""Load- and stress-testing of LLM agents with Locust.

Importing the package has no side effects; asking it for a User class registers the pack with
Locust (`agentlocust.plugin`) first.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentlocust.shapes.arrivals import constant, gamma, poisson, uniform
    from agentlocust.users.anthropic import AnthropicUser
    from agentlocust.users.base import AgentUser
    from agentlocust.users.openai import OpenAIUser
    from agentlocust.users.reply import Reply
    from agentlocust.wire.exchange import Timeouts

__version__ = "0.1.0"

__all__ = [
    "AgentUser",
    "AnthropicUser",
    "OpenAIUser",
    "Reply",
    "Timeouts",
    "constant",
    "gamma",
    "poisson",
    "uniform",
]

_HOMES = {
    "AgentUser": "agentlocust.users.base",
    "AnthropicUser": "agentlocust.users.anthropic",
    "OpenAIUser": "agentlocust.users.openai",
    "Reply": "agentlocust.users.reply",
    "Timeouts": "agentlocust.wire.exchange",
    "constant": "agentlocust.shapes.arrivals",
    "gamma": "agentlocust.shapes.arrivals",
    "poisson": "agentlocust.shapes.arrivals",
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
