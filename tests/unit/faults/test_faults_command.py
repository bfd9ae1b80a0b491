"""`agentlocust faults`, and a mock with a plan."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from agentlocust.cli import main


def test_it_lists_faults_and_scenarios():
    """With the rule that tells them apart."""
    result = CliRunner().invoke(main, ["faults"])
    assert result.exit_code == 0
    assert "rate_limit_storm" in result.output
    assert "split_utf8" in result.output
    assert "with parentheses" in result.output


def test_it_tells_of_one_with_its_keys():
    """Both things of that name."""
    result = CliRunner().invoke(main, ["faults", "rate_limit"])
    assert "scenario rate_limit" in result.output
    assert "retry_after" in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["faults", "cuts"], "did you mean 'cut'"),
        (["mock", "--faults", "cuts()"], "did you mean 'cut'"),
        (["mock", "--faults", "clock_skew"], "no server"),
    ],
)
def test_what_cannot_be_ends_with_2(arguments, words):
    """One message, no traceback."""
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert words in result.output
