"""The table in the faults' README of what the official SDKs do is what they do."""

from __future__ import annotations

from pathlib import Path

import pytest

import fault_outcomes

README = Path(__file__).parents[2] / "agentlocust" / "faults" / "README.md"


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What came of each fault, over real sockets."""
    with fault_outcomes.harness.MockServer(
        tmp_path_factory.mktemp("mock"), fault_outcomes.SPEC, fault_outcomes.plan(), fault_outcomes.SEED
    ) as mock:
        return fault_outcomes.outcomes(mock.url)


@pytest.mark.parametrize("name", fault_outcomes.NAMES)
def test_the_readme_says_what_the_sdks_do(found, name):
    """Line by line; `python tests/integration/fault_outcomes.py` prints the table anew."""
    (line,) = [line for line in fault_outcomes.table(found).splitlines() if line.startswith(f"| `{name}` |")]
    assert line in README.read_text().splitlines()
