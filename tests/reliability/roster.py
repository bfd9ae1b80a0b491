"""The roster as a whole: exact numbers, shares and sequences, with a new seed in each run.

In every mode four agents make exactly a hundred operations each; missing data and failures lie within their binomial
99% intervals for 99% of seeds; each agent's sequence is the same in all modes.
Run: python tests/reliability/roster.py --runs 5
"""

from __future__ import annotations

import json
import re
import secrets
from math import comb
from pathlib import Path

from studies import study  # isort: skip  # puts the harness on the path

from agentlocust import run_stress_test
from harness import ROOT, run

LOCUSTFILE = ROOT / "locustfiles" / "multi_agent.py"
AGENTS = ["StockAgent_A", "ForexAgent_B", "CryptoAgent_C", "ArbitrageAgent_D"]
TASKS = "buy,sell,hedge,rebalance"
OPERATIONS = 100
TOTAL = OPERATIONS * len(AGENTS)
SHARES = {"missing_data": 0.2, "failures": 0.1}
QUICK = ("--min-delay", "0.005", "--max-delay", "0.02", "--mock", "ttft=2ms,itl=0ms,tokens=3")
SEEDS = 1000

Sequences = dict[str, list[tuple[int, str, str]]]


def interval(n: int, share: float) -> tuple[int, int]:
    """The binomial 99% interval: no more than half a percent of all outcomes lies on either side."""
    below, low, high = 0.0, -1, n
    for k in range(n + 1):
        below += comb(n, k) * share**k * (1 - share) ** (n - k)
        if low < 0 and below > 0.005:
            low = k
        if below >= 0.995:
            high = k
            break
    return low, high


def sequences(directory: Path) -> Sequences:
    """Each agent's events by number, as the log has them."""
    found: Sequences = {}
    for line in (directory / "stress_test_results.log").read_text().splitlines():
        match = re.fullmatch(r"\S+Z (\w+) agent=(\S+) operation=(\d+) task=(\S+) seconds=.*", line)
        assert match, line
        event, agent, number, task = match.groups()
        found.setdefault(agent, []).append((int(number), event, task))
    return {agent: sorted(events) for agent, events in found.items()}


def everywhere(directory: Path) -> list[str]:
    """One seed in every mode: all totals and sequences are the same, and exact."""
    seed = str(secrets.randbelow(2**31 - 1) + 1)
    seen: dict[str, tuple[object, Sequences]] = {}
    problems = []
    for way, users in (("local", 4), ("processes", 4), ("distributed", 4), ("local", 1), ("processes", 11)):
        name = f"{way} {users}"
        out = directory / name.replace(" ", "-")
        out.mkdir()
        args = ("--agents", ",".join(AGENTS), "--tasks", TASKS, "--operations", str(OPERATIONS), "--seed", seed, *QUICK)
        result = run(out, LOCUSTFILE, *args, "--output-dir", str(out / "out"), way=way, users=users, run_time="120s")
        figures = json.loads((out / "out" / "simulation_statistics.json").read_text())
        totals, agents = figures["totals"], figures["agents"]
        seen[name] = totals, sequences(out / "out")
        if result.exit_code:
            problems.append(f"{name}: exit {result.exit_code}")
        if {agent["operations"] for agent in agents.values()} != {OPERATIONS} or totals["operations"] != TOTAL:
            problems.append(f"{name}: {totals['operations']} operations")
        if result.summary["totals"]["runs"] != TOTAL:
            problems.append(f"{name}: {result.summary['totals']['runs']} runs")
    first = next(iter(seen.values()))
    problems += [f"{name} differs from the first" for name, found in seen.items() if found != first]
    print(f"    seed {seed}: {first[0]}", flush=True)
    return [f"seed {seed}: {problem}" for problem in problems]


def shares(directory: Path) -> list[str]:
    """A thousand seeds in plain Python: as many as should lie within the 99% intervals do."""
    first = secrets.randbelow(2**30) + 1
    outside = dict.fromkeys(SHARES, 0)
    for seed in range(first, first + SEEDS):
        totals = run_stress_test(AGENTS, TASKS, min_delay=0, max_delay=0, seed=seed)["totals"]
        if totals["operations"] != TOTAL:
            return [f"seed {seed}: {totals['operations']} operations"]
        for name, share in SHARES.items():
            low, high = interval(TOTAL, share)
            outside[name] += not low <= totals[name] <= high
    told = {name: f"{1 - n / SEEDS:.1%} within {interval(TOTAL, SHARES[name])}" for name, n in outside.items()}
    print(f"    {told}", flush=True)
    # The law gives 99% or a little more; three deviations below it would be a wrong law.
    return [f"{name}: {told[name]}" for name, n in outside.items() if n > 0.01 * SEEDS + 3 * (0.0099 * SEEDS) ** 0.5]


if __name__ == "__main__":
    trials = [("one seed in five modes", everywhere), (f"shares of {SEEDS} seeds", shares)]
    study(f"{len(AGENTS)} agents, {OPERATIONS} operations each", trials)
