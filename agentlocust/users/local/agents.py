"""Which code is the agent's: all that is neither Python's own nor the load generator's."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

GENERATOR = frozenset(
    {
        *("agentlocust", "locust", "locust_cloud", "gevent", "geventhttpclient", "greenlet", "zope", "zmq", "msgpack"),
        *("flask", "werkzeug", "flask_login", "flask_cors", "psutil", "pytest", "_pytest", "pluggy", "hypothesis"),
        *("xdist", "execnet", "configargparse"),
    }
)


def is_agents(name: str) -> bool:
    """True for the name of a module of the agent's, or of what it is made with."""
    top = name.partition(".")[0]
    return top not in GENERATOR and top not in sys.stdlib_module_names


def modules() -> Iterator[ModuleType]:
    """The agent's modules, as far as they are imported."""
    known: list[tuple[str, object]] = list(sys.modules.items())
    for name, module in known:
        if isinstance(module, ModuleType) and is_agents(name):
            yield module
