"""All faults, by name, and what their names say of a failure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module

from agentlocust.failures import FailureKind
from agentlocust.faults.fault import Fault

_ORDER = (
    *("latency", "bandwidth", "refused", "timeout", "reset", "dns_failure", "packet_loss"),
    *("rate_limit", "overloaded", "server_error", "auth", "context_length", "quota"),
    *("slow_first_token", "stall", "drip", "cut", "no_terminal", "malformed", "error_event"),
    *("duplicate", "reorder", "split_utf8", "no_usage", "bundle"),
    *("empty", "length", "filter", "refusal", "invalid_arguments", "truncated_arguments", "unknown_tool"),
    *("wrong_tool_result", "missing_data", "model_switched"),
    *("clock_skew", "disk_full", "memory_pressure", "cpu_pressure"),
)


def _fault(name: str) -> Fault:
    found: Fault = import_module(f"agentlocust.faults.{name}").FAULT
    return found


FAULTS: Mapping[str, Fault] = {name: _fault(name) for name in _ORDER}


def explains(faults: Iterable[str], kind: FailureKind) -> bool:
    """True when one of these faults can be the cause of a failure of that kind."""
    return any(name in FAULTS and kind in FAULTS[name].fails_as for name in faults)
