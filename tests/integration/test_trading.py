"""The trading example: the commands of its README, with an agent that keeps the rules and one that breaks them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap

import psutil
import pytest

from harness import ROOT, clean_environment, run, wait_until
from trading_trials import COMMANDS, FOLDER, LASTING, OWN_REASON, README, run_command, try_scenario

SCENARIOS = [pytest.param(name, marks=pytest.mark.long if name in LASTING else ()) for name in COMMANDS]
HANGS = """\
    class Hangs:
        cash = 0

        def __init__(self, desk):
            self.desk = desk

        def tick(self):
            while True:
                self.desk.clock.sleep(1)
"""
MINE = """\
    from paper_agents.reference import ReferenceAgent


    class Mine(ReferenceAgent):
        def tick(self):
            super().tick()
            if self.cash < 100_000:
                raise RuntimeError("I have bought something")
"""


def requests_are_tool_calls_and_advice_is_calls(summary):
    """What the agent did is in the summary as any agent's is."""
    tools = {row["name"]: row["count"] for row in summary["rows"] if row["kind"] == "TOOL"}
    assert tools["GET /ticker"] == 240
    assert tools["POST /orders"] >= 1
    assert summary["totals"]["calls"] >= 1
    assert summary["totals"]["failed"] == 0


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_reference_agent_passes(tmp_path, name):
    """The README's command ends with 0 in less than 30 s, and leaves no process behind."""
    tried = try_scenario(tmp_path, name, "reference")
    assert tried.problems == []
    if name == "flash_crash":
        requests_are_tool_calls_and_advice_is_calls(tried.summary)


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_bad_agent_fails(tmp_path, name):
    """The same command with the bad agent ends with 99 and says what the agent did."""
    assert try_scenario(tmp_path, name, "bad").problems == []


def test_an_agent_of_ones_own_is_tried(tmp_path):
    """A class beside the results, named module:Class, is what trades; its exceptions are its crashes."""
    (tmp_path / "my_desk.py").write_text(textwrap.dedent(MINE))
    tried = run_command(tmp_path, COMMANDS["server_error"], "--trading-agent", "my_desk:Mine")
    assert tried.exit_code == 99
    assert "the agent crashed (RuntimeError: I have bought something)" in tried.output


def test_the_agent_may_be_named_by_the_environment(tmp_path):
    """Options have variables, for CI."""
    tried = run_command(tmp_path, COMMANDS["precision"], AGENT_TRADING_AGENT="bad")
    assert tried.exit_code == 99


@pytest.mark.parametrize("way", ["processes", "distributed"])
def test_a_worker_tries_the_scenario_that_the_master_was_told(tmp_path, way):
    """The run is made once, wherever, with the master's options; it is judged by the master."""
    told = ("--agent-runs", "1", "--scenario", "stuck_position", "--trading-agent", "bad")
    result = run(tmp_path, FOLDER / "trading_agent.py", *told, way=way, users=1, run_time="").expect(99)
    assert result.summary["totals"]["runs"] == 1
    assert OWN_REASON["stuck_position"] in result.output


@pytest.mark.parametrize(
    ("option", "wrong", "told"),
    [("--scenario", "flash_cash", "flash_crash"), ("--trading-agent", "nowhere:Agent", "cannot be imported")],
)
def test_a_wrong_option_ends_with_2(tmp_path, option, wrong, told):
    """Before anything is started."""
    tried = run_command(tmp_path, COMMANDS["flash_crash"], option, wrong)
    assert tried.exit_code == 2
    assert told in tried.output
    assert "Traceback" not in tried.output


@pytest.mark.long
def test_an_agent_that_never_comes_back_is_ended(tmp_path):
    """It is told how long it took, and the test ends."""
    (tmp_path / "my_desk.py").write_text(textwrap.dedent(HANGS))
    tried = run_command(tmp_path, COMMANDS["flat_market"], "--trading-agent", "my_desk:Hangs")
    assert tried.exit_code == 99
    assert "the agent took longer than 28 s" in tried.output


def test_the_exchange_ends_with_whoever_started_it(tmp_path):
    """Also when that is killed."""
    script = "import time; from paper_exchange.process import ExchangeProcess; it = ExchangeProcess();"
    script += "print(it.pid, flush=True); time.sleep(60)"
    environment = clean_environment("none", {"PYTHONPATH": str(FOLDER)})
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment)
    with parent:
        exchange = psutil.Process(int(parent.stdout.readline()))
        with pytest.raises(psutil.TimeoutExpired):
            exchange.wait(0.5)
        parent.kill()
    wait_until(lambda: not exchange.is_running(), "the exchange to end", 5)


def test_the_readme_s_table_is_the_catalogue():
    """Every scenario has its row, its command and its bad agent's sentence."""
    script = (
        "import json; from paper_trials.options import *; print(json.dumps([list(SCENARIOS), scenarios_markdown()]))"
    )
    environment = clean_environment("none", {"PYTHONPATH": f"{ROOT}:{FOLDER}"})
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    names, table = json.loads(done.stdout)
    assert list(COMMANDS) == names == list(OWN_REASON)
    assert README.split("<!-- scenarios -->\n")[1].split("\n<!-- /scenarios -->")[0] == table


def test_no_module_is_long():
    """The locustfile is an example of under 80 lines, what supports it stays under 300 a module."""
    assert len((FOLDER / "trading_agent.py").read_text().splitlines()) < 80
    assert (
        "locust -f locustfiles/trading/trading_agent.py " in (FOLDER / "trading_agent.py").read_text().split('"""')[1]
    )
    lengths = {path.name: len(path.read_text().splitlines()) for path in FOLDER.glob("*/*.py")}
    assert len(lengths) > 15
    assert [name for name, lines in lengths.items() if lines >= 300] == []


def test_no_host_but_the_loopback_is_named():
    """Nothing here can reach a real exchange."""
    urls = {url for path in FOLDER.rglob("*.py") for url in re.findall(r"https?://[^\s\"'{}]+", path.read_text())}
    assert urls <= {"http://127.0.0.1:"}
