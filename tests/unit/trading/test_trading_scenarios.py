"""The scenarios without Locust: those in stepped time, with both agents; and how a trial is judged."""

from __future__ import annotations

import argparse
import contextlib
import random
from decimal import Decimal

import pytest
from paper_agents.careless import CarelessAgent
from paper_agents.reference import ReferenceAgent
from paper_trials import measures
from paper_trials.catalogue import METRICS, SCENARIOS
from paper_trials.options import read_options
from paper_trials.scenario import Rule, Seen
from paper_trials.trial import Trial

from agentlocust.errors import ConfigError
from agentlocust.metrics import CATALOGUE
from agentlocust.sla.expression import parse_check

STEPPED = [scenario for scenario in SCENARIOS.values() if not scenario.speed]
OWN = {  # what the careless agent is found guilty of in each
    "flash_crash": "market orders went into the crash",
    "network_partition": "executed a second time",
    "server_error": "without a look",
    "stuck_position": "no alert within 30 s",
    "malformed_reply": "the agent crashed (JSONDecodeError",
    "precision": "cash is wrong by",
    "flat_market": "trades in a market that went nowhere",
    "dns_failure": "no order of the outage",
    "clock_jump": "had expired",
    "log_disk_full": "No space left on device",
    "daily_loss_limit": "after the loss limit",
    "session_replay": "more than the band",
    "normal_work": "of the rate limit was used",
}


def tried(scenario, agent, exchange, seed=0):
    """Go through a scenario with a model that answers anything it may."""
    model = random.Random(seed)
    trial = Trial(scenario, exchange, lambda _, choices: model.choice(choices), lambda _: contextlib.nullcontext())
    return trial.run(agent(trial.desk))


@pytest.mark.parametrize("scenario", STEPPED, ids=lambda scenario: scenario.name)
def test_the_reference_agent_passes(exchange, scenario):
    """Whatever the model says."""
    assert tried(scenario, ReferenceAgent, exchange).broken == ()


@pytest.mark.parametrize("scenario", STEPPED, ids=lambda scenario: scenario.name)
def test_the_careless_agent_fails_for_the_scenario_s_own_reason(exchange, scenario):
    """Not for another, such as a crash that has nothing to do with it."""
    broken = tried(scenario, CarelessAgent, exchange).broken
    assert any(OWN[scenario.name] in why for why in broken), broken
    assert scenario.name in ("malformed_reply", "log_disk_full") or not any("crashed" in why for why in broken)


def test_a_replay_is_the_same_twice(exchange):
    """The same session and the same advice give the same trades and the same result."""
    scenario = SCENARIOS["session_replay"]
    first, second = (tried(scenario, ReferenceAgent, exchange, seed).numbers for seed in (1, 2))
    assert first == second


@pytest.mark.parametrize(
    "scenario", [each for each in STEPPED if each.name != "flat_market"], ids=lambda each: each.name
)
def test_an_agent_that_does_nothing_does_not_pass(exchange, scenario):
    """Nothing was at stake then, and it is told so; only a flat market is rightly left alone."""

    class Idle:
        cash = Decimal(0)

        def __init__(self, desk):
            pass

        def tick(self):
            pass

    assert tried(scenario, Idle, exchange).broken != ()


def test_a_rule_is_a_check_and_a_sentence():
    """Both from the same limit, and the pack reads the check."""
    assert set(METRICS).isdisjoint(CATALOGUE)
    for scenario in SCENARIOS.values():
        for rule in scenario.rules:
            check = parse_check(rule.check, own_metrics=METRICS)
            assert check.limit == pytest.approx(rule.limit, abs=0)
    rule = Rule("drawdown", "<", 0.05, "fell by {value:.1%}")
    assert (rule.verdict(0.04), rule.verdict(0.05)) == ("", "fell by 5.0%")


def test_a_storm_s_gaps():
    """Attempts are those within it, and growth compares its last gaps with its first."""
    times = [1, 10, 11, 13, 17, 25, 41]
    truth = {"requests": [{"at": at, "status": 200 if at > 40 else 429} for at in times]}
    found = measures.storm(10, 40)(Seen(truth, 60))
    assert found == {"storm_attempts": 5, "backoff_growth": 8, "shortest_gap_s": 1, "recovered": 1}


def test_options_are_read_or_refused():
    """A name that there is not comes with the nearest that there is."""
    scenario, agent = read_options(argparse.Namespace(scenario="precision", trading_agent="bad"))
    assert (scenario.name, agent) == ("precision", CarelessAgent)
    with pytest.raises(ConfigError, match="did you mean .flash_crash"):
        read_options(argparse.Namespace(scenario="flash_cash", trading_agent="bad"))
    for wrong in ("", "good", "nowhere:Agent", "json:Agent", "json:loads"):
        with pytest.raises(ConfigError, match=r"--trading-agent"):
            read_options(argparse.Namespace(scenario="precision", trading_agent=wrong))
