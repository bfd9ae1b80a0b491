"""The roster of named agents, with the real `locust` command: exact numbers in every mode."""

from __future__ import annotations

import json
import math
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import LOCUST, ROOT, LocustTest, clean_environment, run, wait_until

LOCUSTFILE = ROOT / "locustfiles" / "multi_agent.py"
AGENTS = ["StockAgent_A", "ForexAgent_B", "CryptoAgent_C", "ArbitrageAgent_D"]
QUICK = ["--min-delay", "0.005", "--max-delay", "0.02", "--mock", "ttft=2ms,itl=0ms,tokens=3", "--seed", "11"]
Z_99 = 2.576

Sequences = dict[str, list[tuple[int, str, str]]]


def options(directory: Path, operations: int = 100) -> list[str]:
    """The options of the example's own command line, but quick."""
    names = ["--agents", ",".join(AGENTS), "--tasks", "buy,sell,hedge,rebalance"]
    return [*names, "--operations", str(operations), "--output-dir", str(directory / "out"), *QUICK]


def sequences(directory: Path) -> Sequences:
    """Each agent's events in the order in which the log has them."""
    found: Sequences = {}
    for line in (directory / "out" / "stress_test_results.log").read_text().splitlines():
        event, agent, number, task = re.search(r"Z (\w+) agent=(\S+) operation=(\d+) task=(\S+)", line).groups()
        found.setdefault(agent, []).append((int(number), event, task))
    return found


def statistics(directory: Path) -> dict:
    """What the file says."""
    return json.loads((directory / "out" / "simulation_statistics.json").read_text())


@pytest.fixture(scope="module")
def local(tmp_path_factory) -> Path:
    """A test of 4 agents with 100 operations each, in one process."""
    directory = tmp_path_factory.mktemp("local")
    run(directory, LOCUSTFILE, *options(directory), users=4, run_time="60s").expect(0)
    return directory


def test_four_agents_make_exactly_four_hundred_operations(local):
    """Each makes its hundred; runs, statistics, log and snapshot agree."""
    figures, log = statistics(local), sequences(local)
    totals = figures["totals"]
    assert figures["complete"]
    assert totals["operations"] == 400
    assert totals["successes"] + totals["failures"] + totals["missing_data"] == 400
    assert {name: agent["operations"] for name, agent in figures["agents"].items()} == dict.fromkeys(AGENTS, 100)
    assert all([number for number, *_ in log[name]] == [*range(1, 101)] for name in AGENTS)
    memory = json.loads((local / "out" / "agent_memory_snapshot.json").read_text())["agents"]
    for name in AGENTS:
        won = [(number, task) for number, event, task in log[name] if event == "SUCCESS"]
        assert [(entry["operation"], entry["task"]) for entry in memory[name]] == won
        assert {entry["agent"] for entry in memory[name]} == {name}
    lines = (local / "out" / "stress_test_results.log").read_text().splitlines()
    times = [line.split(maxsplit=1)[0] for line in lines]
    assert len(lines) == 400
    assert figures["started"] <= times[0] <= times[-1] <= figures["ended"]
    assert times == sorted(times)
    assert {entry["time"] for name in AGENTS for entry in memory[name]} <= set(times)
    summary = json.loads(next(local.glob("results/2*/summary.json")).read_text())["totals"]
    assert (summary["runs"], summary["runs_failed"]) == (400, totals["failures"])
    assert summary["calls"] == 400 - totals["missing_data"] + totals["hand_offs"]
    assert totals["hand_offs"] > 0


def test_shares_are_as_asked(local):
    """Missing data and failures lie within their binomial 99% interval; all failures were injected."""
    totals = statistics(local)["totals"]
    for n, share in ((totals["missing_data"], 0.2), (totals["failures"], 0.1)):
        assert abs(n - 400 * share) < Z_99 * math.sqrt(400 * share * (1 - share))
    assert totals["injected_failures"] == totals["failures"]


@pytest.mark.parametrize(("way", "users"), [("processes", 4), ("distributed", 3), ("processes", 9), ("local", 1)])
def test_the_same_seed_is_the_same_sequence_in_any_mode(tmp_path, local, way, users):
    """Workers and users change nothing of what each agent does; in order, unless several users work for it."""
    run(tmp_path, LOCUSTFILE, *options(tmp_path), way=way, users=users, run_time="60s").expect(0)
    theirs = sequences(tmp_path)
    assert statistics(tmp_path)["totals"] == statistics(local)["totals"]
    assert {agent: sorted(events) for agent, events in theirs.items()} == sequences(local)
    if users <= len(AGENTS):
        assert theirs == sequences(local)


def test_plain_python_has_the_same_sequences(tmp_path, local):
    """`run_stress_test` with the example's own roster and seed: what each agent does, and how it ends, is the same."""
    program = (
        "import json, sys\n"
        f"sys.path.insert(0, {str(LOCUSTFILE.parent)!r})\n"
        "from agentlocust import run_stress_test\n"
        "assert 'locust' not in sys.modules\n"
        "from multi_agent import TradingDesk\n"
        "tasks = ['buy', 'sell', 'hedge', 'rebalance']\n"
        "figures = run_stress_test(agents=TradingDesk.roster, tasks=tasks, missing_data_prob=0.2, failure_prob=0.1,\n"
        "    operations_per_agent=100, min_delay=0, max_delay=0.001, output_dir='out', seed=11)\n"
        "print(json.dumps(figures))\n"
    )
    command = [sys.executable, "-c", program]
    environment = clean_environment("x") | {"PYTHONPATH": str(ROOT)}
    told = subprocess.run(
        command, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=60, text=True
    )
    figures = json.loads(told.stdout)
    assert figures == statistics(tmp_path)
    assert figures["totals"] == statistics(local)["totals"]
    assert {agent: sorted(events) for agent, events in sequences(tmp_path).items()} == sequences(local)


def test_without_users_every_agent_has_one(tmp_path):
    """All agents of the roster work at once although nobody wrote -u."""
    command = [*LOCUST, "-f", str(LOCUSTFILE), "--headless", *options(tmp_path, 3)]
    subprocess.run(command, cwd=tmp_path, env=clean_environment("x"), check=True, capture_output=True, timeout=60)
    assert json.loads(next(tmp_path.glob("results/2*/summary.json")).read_text())["phases"][-1]["users"] == 4


def test_operations_of_a_lost_worker_are_made_by_the_others(tmp_path, start):
    """A killed worker invalidates the test, and still every agent makes exactly its number."""
    slow = ["--min-delay", "0.1", "--max-delay", "0.1"]  # six seconds at least: nobody is done before the kill
    test = start(LOCUSTFILE, *options(tmp_path, 60), *slow, way="processes", users=4, run_time="60s")
    wait_until(lambda: "All users spawned" in test.output(), "the users")
    time.sleep(1)  # some operations are made, some reported
    test.worker_processes()[0].send_signal(signal.SIGKILL)
    test.finish().expect(3)
    figures = statistics(tmp_path)
    assert figures["complete"]
    assert {name: agent["operations"] for name, agent in figures["agents"].items()} == dict.fromkeys(AGENTS, 60)


def test_a_test_cut_short_says_what_was_made(tmp_path):
    """The files hold what was made until then, and that it is not all."""
    # Long enough for the users' first calls on a busy machine, far too short for all operations.
    run(tmp_path, LOCUSTFILE, *options(tmp_path, 2000), users=4, run_time="5s").expect(0)
    figures = statistics(tmp_path)
    assert not figures["complete"]
    assert 0 < figures["totals"]["operations"] == sum(len(events) for events in sequences(tmp_path).values()) < 8000


@pytest.mark.parametrize("way", ["local", "processes"])
def test_files_that_cannot_be_written_lose_nothing_else(tmp_path, way):
    """Exit 4 and one sentence; the summary and its files are there, with every run."""
    (tmp_path / "out").write_text("no directory")
    result = run(tmp_path, LOCUSTFILE, *options(tmp_path, 5), way=way, users=4, run_time="60s").expect(4)
    assert "the roster's files could not be written" in result.stderr
    assert "Traceback" not in result.output
    assert "a report could not be written" in result.stdout
    assert "exit 4" in result.stdout
    assert result.summary["totals"]["runs"] == 20
    assert result.summary["verdict"]["exit_code"] == 4
    assert (tmp_path / "out").read_text() == "no directory"


def test_a_failing_model_is_told_apart_from_injected_failures(tmp_path):
    """What the target failed is a failure that was not injected, and the example's SLA fails."""
    bad = ["--mock", "ttft=2ms,itl=0ms,tokens=3,errors=500:0.5"]
    run(tmp_path, LOCUSTFILE, *options(tmp_path, 20), *bad, users=4, run_time="60s").expect(99)
    totals = statistics(tmp_path)["totals"]
    assert totals["operations"] == 80
    assert 0 < totals["injected_failures"] < totals["failures"]
    log = (tmp_path / "out" / "stress_test_results.log").read_text()
    assert re.search(r"FAILURE .* injected=no reason=.*call failed", log)


def test_in_the_web_ui_each_test_is_a_new_deal(tmp_path, start):
    """Two tests from one UI make their own operations each, as the form asks."""
    test = start(LOCUSTFILE, *options(tmp_path, 5), way="web", users=4)
    test.wait_for_ui()
    for number, operations in ((1, 5), (2, 7)):
        test.swarm(agentlocust_operations=operations)
        wait_until(lambda number=number: len(test.summary_files()) >= number, "the summary")
        assert statistics(tmp_path)["totals"]["operations"] == 4 * operations
    test.signal(signal.SIGINT, group=False)
    test.finish()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--agents", "A,A"], "--agents: 'A' is named twice"),
        (["--operations", "0"], "--operations"),
        (["--missing-data", "0.8", "--failure", "0.8"], "--failure"),
        (["--tasks", "nothing_it_does"], "--tasks"),
        (["--output-dir", " "], "--output-dir"),
    ],
)
def test_bad_options_are_refused_before_anything_starts(tmp_path, wrong, said):
    """Exit code 2, one sentence, no traceback."""
    result = run(tmp_path, LOCUSTFILE, *options(tmp_path), *wrong).expect(2)
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_the_web_uis_form_is_looked_at_too(tmp_path, start):
    """What makes no sense starts no test and is said in one sentence; the next one starts."""
    test = start(LOCUSTFILE, *options(tmp_path, 5), way="web", users=4)
    test.wait_for_ui()
    test.ask_to_swarm(agentlocust_operations=0)
    wait_until(lambda: "the test cannot start: --operations" in test.output(), "the refusal")
    test.swarm(agentlocust_operations=5)
    wait_until(test.summary_files, "the summary")
    test.signal(signal.SIGINT, group=False)
    assert "Traceback" not in test.finish().output


def test_settings_come_from_the_environment_too(tmp_path):
    """AGENTLOCUST_OPERATIONS and the like."""
    env = {"AGENTLOCUST_AGENTS": "X,Y,Z", "AGENTLOCUST_TASKS": "buy", "AGENTLOCUST_OPERATIONS": "4"}
    env |= {"AGENTLOCUST_OUTPUT_DIR": str(tmp_path / "out")}
    with LocustTest(tmp_path, LOCUSTFILE, *QUICK, users=3, run_time="60s", env=env) as test:
        test.finish().expect(0)
    assert statistics(tmp_path)["totals"]["operations"] == 12
