"""The options of a trial: which scenario, and whose agent."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from typing import Any

from paper_agents.careless import CarelessAgent
from paper_agents.desk import Desk, TradingAgent
from paper_agents.reference import ReferenceAgent

from agentlocust.config import did_you_mean
from agentlocust.errors import ConfigError
from paper_trials.catalogue import SCENARIOS
from paper_trials.scenario import Scenario

AGENTS: dict[str, Callable[[Desk], TradingAgent]] = {"reference": ReferenceAgent, "bad": CarelessAgent}


def add_options(parser: Any) -> None:
    """Add `--scenario` and `--trading-agent` to Locust's options, for its web UI too."""
    group = parser.add_argument_group("trading", "a trading agent on a paper exchange")
    for option, default, told in (
        ("scenario", "flash_crash", f"one of {', '.join(SCENARIOS)}"),
        ("trading-agent", "reference", "reference, bad, or yours as module:Class"),
    ):
        dest = option.replace("-", "_")
        action = group.add_argument(
            f"--{option}", dest=dest, env_var=f"AGENT_{dest.upper()}", default=default, help=told
        )
        action.include_in_web_ui = True  # a group forgets what the parser would do


def read_options(options: argparse.Namespace) -> tuple[Scenario, Callable[[Desk], TradingAgent]]:
    """The scenario and the agent that the options name. Raises ConfigError."""
    name, agent = str(options.scenario).strip(), str(options.trading_agent).strip()
    if name not in SCENARIOS:
        hint = did_you_mean(name, SCENARIOS) or f"one of {', '.join(SCENARIOS)}"
        raise ConfigError(f"there is no scenario {name!r}", where="--scenario", hint=hint)
    return SCENARIOS[name], AGENTS.get(agent) or _imported(agent)


def _imported(named: str) -> Callable[[Desk], TradingAgent]:
    module, _, name = named.partition(":")
    hint = "write reference, bad, or module:Class, as Python would import it from here"
    if not module or not name:
        raise ConfigError(f"{named!r} names no agent", where="--trading-agent", hint=hint)
    try:
        found: Any = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{named} cannot be imported: {error}", where="--trading-agent", hint=hint) from None
    if not all(hasattr(found, part) for part in ("tick", "cash")):
        told = "give it `tick()` and a `cash` property: see paper_agents/desk.py"
        raise ConfigError(f"{named} is no trading agent", where="--trading-agent", hint=told)
    return found  # type: ignore[no-any-return]  # as much as can be known before it trades


def scenarios_markdown() -> str:
    """The README's table."""
    head = "| scenario | what happens, and what is asked of the agent | time | checks |\n|---|---|---|---|\n"
    return head + "\n".join(
        f"| `{scenario.name}` | {scenario.promise} | {f'{scenario.speed:g}x' if scenario.speed else 'stepped'} | "
        + ", ".join(f"`{rule.check}`" for rule in scenario.rules)
        + " |"
        for scenario in SCENARIOS.values()
    )
