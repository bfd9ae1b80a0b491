"""`run_stress_test`: the roster without Locust."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import pytest

from agentlocust.errors import ConfigError
from agentlocust.roster.members import read_roster
from agentlocust.roster.operations import Event, draw
from agentlocust.roster.stress import run_stress_test

AGENTS = ["StockAgent_A", "ForexAgent_B", "CryptoAgent_C", "ArbitrageAgent_D"]
TASKS = ["buy", "sell", "hedge", "rebalance"]
QUICK = {"min_delay": 0.0, "max_delay": 0.001, "seed": 7}


def test_every_agent_makes_its_operations_as_drawn(tmp_path):
    """Counts are exact and the log has each agent's sequence in order, as the seed has it."""
    figures = run_stress_test(agents=AGENTS, tasks=TASKS, operations_per_agent=50, output_dir=tmp_path, **QUICK)
    assert figures["totals"]["operations"] == 200
    assert figures["complete"]
    assert json.loads((tmp_path / "simulation_statistics.json").read_text()) == figures
    roster = read_roster(AGENTS, TASKS, operations=50)
    lines = (tmp_path / "stress_test_results.log").read_text().splitlines()
    assert len(lines) == 200
    for index, name in enumerate(AGENTS):
        own = [line.split() for line in lines if f" agent={name} " in line]
        drawn = [draw(roster, index, number, 7) for number in range(1, 51)]
        assert sorted((int(words[3].removeprefix("operation=")), words[1], words[4]) for words in own) == [
            (o.number, o.planned.upper(), f"task={o.task}") for o in drawn
        ]


def test_without_a_directory_nothing_is_written(tmp_path, monkeypatch):
    """The statistics are returned all the same."""
    monkeypatch.chdir(tmp_path)
    assert run_stress_test(agents="A", tasks="buy", operations_per_agent=3, **QUICK)["totals"]["operations"] == 3
    assert list(tmp_path.iterdir()) == []


def test_agents_work_at_once():
    """Three agents whose work waits for all three get through."""
    together = threading.Barrier(3, timeout=20)
    figures = run_stress_test(
        agents="A,B,C",
        tasks="buy",
        operations_per_agent=4,
        missing_data_prob=0,
        failure_prob=0,
        work=lambda operation, data: together.wait(),
        **QUICK,
    )
    assert figures["totals"]["successes"] == 12


def test_what_the_work_raises_is_a_failure_of_its_own(tmp_path):
    """It is no injected one, and its text is scrubbed."""

    def work(operation, data):
        raise RuntimeError("key sk-abcdefghijklmnop refused\x1b[31m")

    figures = run_stress_test(
        agents="A", tasks="buy", operations_per_agent=20, failure_prob=0.5, work=work, output_dir=tmp_path, **QUICK
    )
    totals = figures["totals"]
    assert totals["failures"] == 20 - totals["missing_data"]
    assert 0 < totals["injected_failures"] < totals["failures"]
    log = (tmp_path / "stress_test_results.log").read_text()
    assert "sk-abcdefgh" not in log
    assert "\x1b" not in log
    assert "RuntimeError" in log


def test_a_drawn_seed_is_told():
    """A test without a seed can be repeated."""
    first = run_stress_test(agents="A", tasks="buy,sell", operations_per_agent=9, max_delay=0.001, min_delay=0)
    settings = {**QUICK, "seed": first["seed"]}
    again = run_stress_test(agents="A", tasks="buy,sell", operations_per_agent=9, **settings)
    assert again["agents"]["A"]["tasks"] == first["agents"]["A"]["tasks"]


@pytest.mark.parametrize("wrong", [{"operations_per_agent": 0}, {"seed": -1}, {"agents": ""}, {"failure_prob": 2}])
def test_arguments_that_make_no_test_are_refused(wrong):
    """With the name of the argument."""
    with pytest.raises(ConfigError) as refused:
        run_stress_test(**{"agents": "A", "tasks": "buy", **wrong})
    assert refused.value.where == next(iter(wrong))


def test_the_callers_process_is_left_as_it_was():
    """Neither Locust nor gevent is imported, so nothing is patched."""
    program = (
        "import sys\n"
        "from agentlocust.roster.stress import run_stress_test\n"
        "run_stress_test(agents='A', tasks='buy', operations_per_agent=2, min_delay=0, max_delay=0)\n"
        "print({'gevent', 'locust', 'agentlocust.plugin'} & set(sys.modules))\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_no_operation_is_both():
    """Every event is one of three, and they add up."""
    totals = run_stress_test(agents=AGENTS, tasks=TASKS, operations_per_agent=25, **QUICK)["totals"]
    assert totals["successes"] + totals["failures"] + totals["missing_data"] == totals["operations"] == 100
    assert set(Event) == {"success", "failure", "missing_data"}
