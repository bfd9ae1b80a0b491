"""What every test shares: no monkey-patching, and no settings or keys from the developer's shell."""

from __future__ import annotations

import os

# Locust patches the standard library when imported, which breaks pytest-xdist in the middle of its
# work. Tests here use gevent's own sockets; the patched process is tested as the real `locust` command.
os.environ["LOCUST_SKIP_MONKEY_PATCH"] = "1"

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is, and nothing of the law that is tested.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

SETTINGS = ("AGENTLOCUST_", "AGENT_", "LOCUST_", "MCP_", "OPENAI_", "ANTHROPIC_")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith(SETTINGS) and name != "LOCUST_SKIP_MONKEY_PATCH":
            monkeypatch.delenv(name)


def pytest_collection_finish():
    """Refuse to run once a test module has patched the standard library for all the others."""
    from gevent import monkey

    if monkey.is_module_patched("threading"):
        msg = "a test module imported something that monkey-patches; run that code in a process of its own"
        raise pytest.UsageError(msg)
