"""What the README says is so: its commands and locustfiles run, its tables are the code's."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from agentlocust.faults.catalogue import FAULTS
from agentlocust.faults.plan import FaultPlan
from agentlocust.faults.scenarios import SCENARIOS
from agentlocust.metrics import catalogue_markdown
from agentlocust.mock import behaviour, pressure
from agentlocust.shapes.spec import NAMES, shapes_markdown
from agentlocust.sla import load_checks
from harness import ROOT, clean_environment, free_port, run

README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(r"(?:<!-- (?P<mark>[^>]*) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)```", re.DOTALL)
BLOCKS = [match.groupdict() for match in FENCE.finditer(README)]
SET_UP = ("command: run", "command: test")  # .ci/run runs these two, in fresh environments


def of(language):
    """The blocks of a language, as test parameters."""
    found = [block for block in BLOCKS if block["language"] == language]
    return [
        pytest.param(block, id=(block["mark"] or f"{language}{n}").replace(" ", "-")) for n, block in enumerate(found)
    ]


def test_every_block_is_of_a_kind_that_some_test_runs():
    """No block of the README stands untested."""
    assert {block["language"] for block in BLOCKS} == {"text", "sh", "python", "yaml"}
    marks = [block["mark"] for block in BLOCKS if block["language"] == "sh"]
    assert all(mark and (mark.startswith(("command: ", "not run: "))) for mark in marks), marks
    assert set(SET_UP) <= set(marks)


@pytest.mark.parametrize("block", of("python"))
def test_a_locustfile_runs(tmp_path, block):
    """Each locustfile of the README passes against the mock."""
    result = run(tmp_path, block["text"], "--mock", "ttft=10ms,itl=1ms,tokens=8", users=2).expect(0)
    assert result.summary["totals"]["calls"] + result.summary["totals"]["runs"] > 0


@pytest.mark.parametrize("block", of("sh"))
def test_a_command_runs(tmp_path, block):
    """Each command of the README ends with 0, copied as it stands."""
    if block["mark"] in SET_UP or block["mark"].startswith("not run: "):
        pytest.skip("run elsewhere, or not to be run here: it says why")
    shutil.copytree(ROOT / "locustfiles", tmp_path / "locustfiles")
    environment = clean_environment(uuid.uuid4().hex)
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    command = block["text"].replace("--processes 2", f"--processes 2 {own_ports()}")
    for port in sorted(set(re.findall(r"\b8[07]\d\d\b", command))):
        command = command.replace(port, str(free_port()))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", of("yaml"))
def test_a_file_is_valid(tmp_path, block):
    """Each file of the README is accepted for what it says it is."""
    name = block["mark"].removeprefix("file: ")
    path = tmp_path / name
    path.write_text(block["text"])
    readers = {"sla.yaml": lambda: load_checks([path]), "faults.yaml": lambda: FaultPlan.load(path).rules}
    assert len(readers[name]()) >= 3


def test_the_metric_table_is_the_catalogue():
    """The README's metrics are those that checks know."""
    table = README.split("<!-- metrics -->\n")[1].split("\n<!-- /metrics -->")[0]
    assert table.strip() == catalogue_markdown().strip()


def test_the_shapes_and_their_keys_are_the_code_s():
    """The page about shapes lists exactly what --shape knows, and the README names each."""
    page = (ROOT / "agentlocust" / "shapes" / "README.md").read_text(encoding="utf-8")
    table = page.split("<!-- keys -->\n")[1].split("\n<!-- /keys -->")[0]
    assert table.strip() == shapes_markdown().strip()
    assert [name for name in NAMES if f"`{name}`" not in README] == []


def test_every_fault_and_scenario_is_told():
    """The README names each."""
    assert [name for name in (*FAULTS, *SCENARIOS) if f"`{name}`" not in README] == []


def test_every_key_of_the_mock_is_told():
    """The README's table of the mock leaves none of its keys out."""
    keys = [*behaviour._READERS, *pressure.READERS]
    assert len(keys) > 30
    assert [key for key in keys if f"`{key}`" not in README] == []


def test_the_option_table_is_complete():
    """Every option of the pack is in the README with its environment variable."""
    command = str(Path(sys.executable).parent / "agentlocust")
    environment = clean_environment(uuid.uuid4().hex)
    help_text = subprocess.run([command, "options"], capture_output=True, text=True, check=True, env=environment).stdout
    variables = re.findall(r"\[env var: (AGENTLOCUST_\w+)\]", re.sub(r"\s+", " ", help_text))
    assert "AGENTLOCUST_SLA" in variables
    for variable in variables:
        option = "--" + variable.removeprefix("AGENTLOCUST_").lower().replace("_", "-")
        assert re.search(rf"\| `{option}\b[^|]*\| `{variable}` \|", README), option


def own_ports():
    """Options that keep a test away from Locust's well-known port."""
    port = free_port()
    return f"--master-bind-port {port} --master-port {port}"
