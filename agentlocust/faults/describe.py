"""What the faults and scenarios say of themselves, for a terminal and for the documentation."""

from __future__ import annotations

from agentlocust.config import did_you_mean
from agentlocust.errors import ConfigError
from agentlocust.faults.catalogue import FAULTS
from agentlocust.faults.fault import Fault
from agentlocust.faults.scenarios import SCENARIOS

_RULE = "A name alone is the scenario, if there is one; with parentheses or a share it is the fault."


def list_text() -> str:
    """Every fault, by where it comes from, and every scenario."""
    lines: list[str] = []
    group = ""
    for fault in FAULTS.values():
        if fault.group != group:
            group = fault.group
            lines += [*([""] if lines else []), f"{group}:"]
        lines.append(f"  {fault.name:<22}{fault.asks}")
    lines += ["", "scenarios:"]
    lines += [f"  {scenario.name:<22}{scenario.asks}" for scenario in SCENARIOS.values()]
    return "\n".join([*lines, "", _RULE])


def one_text(name: str) -> str:
    """One of them, with its keys. Raises ConfigError for an unknown one."""
    if name not in FAULTS and name not in SCENARIOS:
        hint = did_you_mean(name, [*FAULTS, *SCENARIOS]) or "`agentlocust faults` lists them"
        raise ConfigError(f"there is no fault {name[:40]!r}", hint=hint)
    lines = []
    if name in SCENARIOS:
        lines += [f"scenario {name}: {SCENARIOS[name].asks}", f"  {SCENARIOS[name].line}"]
    if name in FAULTS:
        fault = FAULTS[name]
        lines += [f"fault {name}(): {fault.asks}"]
        lines += [f"  {key.name:<14}{key.meaning} ({key.default})" for key in fault.keys]
    return "\n".join(lines)


def faults_markdown() -> str:
    """The tables of the documentation: faults, then scenarios."""
    lines = ["| fault | of | what it does | keys (defaults) |", "|---|---|---|---|"]
    lines += [
        f"| `{fault.name}` | {fault.group} | {fault.asks} | {_keys(fault)} |".replace("|  |", "| |")
        for fault in FAULTS.values()
    ]
    lines += ["", "| scenario | what it is | as a line |", "|---|---|---|"]
    lines += [f"| `{scenario.name}` | {scenario.asks} | `{scenario.line}` |" for scenario in SCENARIOS.values()]
    return "\n".join(lines) + "\n"


def _keys(fault: Fault) -> str:
    return ", ".join(f"`{key.name}={key.default}` {key.meaning}" for key in fault.keys)
