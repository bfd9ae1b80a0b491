"""The house stays as drawn: a pure core, rooms under 400 lines, import without side effects."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "agentlocust"
CONTRACTS = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
FORBIDDEN = next(contract for contract in CONTRACTS if contract["type"] == "forbidden")
WITH_LOCUST = {
    *(
        "plugin",
        "cli",
        "calibration",
        "init_command",
        "lifecycle",
        "web",
        "testing",
        "plans",
        "roster",
        "users",
        "shapes",
        "monitor",
        "wire",
    ),
}


def rooms() -> set[str]:
    """The modules and packages directly below the package."""
    files = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    return files | {path.parent.name for path in PACKAGE.glob("*/__init__.py")}


def loaded_by(names: list[str]) -> set[str]:
    """Top-level modules in a fresh interpreter once `names` are imported."""
    script = f"import sys, {', '.join(names)}; print(*{{m.partition('.')[0] for m in sys.modules}})"
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PACKAGE.parent, timeout=60)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


def test_the_contract_names_every_module_that_goes_without_locust():
    """A new room of the core cannot be forgotten in the contract that keeps Locust and gevent out."""
    assert set(FORBIDDEN["source_modules"]) == {f"agentlocust.{room}" for room in rooms() - WITH_LOCUST}


def test_core_mock_and_reports_load_neither_locust_nor_gevent():
    """What goes without Locust runs where nothing is monkey-patched, also by way of other packages."""
    assert loaded_by(FORBIDDEN["source_modules"]).isdisjoint({"locust", "gevent", "geventhttpclient"})


def test_importing_the_package_loads_nothing_heavy():
    """`import agentlocust` alone costs nothing and changes nothing."""
    heavy = {"locust", "gevent", "openai", "anthropic", "pydantic", "bokeh", "rich", "yaml"}
    assert loaded_by(["agentlocust"]).isdisjoint(heavy)


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_holds_one_idea(file):
    """No module is longer than 400 lines."""
    assert len(file.read_text().splitlines()) <= 400
