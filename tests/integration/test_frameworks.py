"""The framework examples under load: what was measured is what the mock served, run by run."""

from __future__ import annotations

import pytest

from framework_trials import EXAMPLES, FOLDER, missing, try_example


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_run_of_an_example_is_charged_what_it_cost(tmp_path, name):
    """Calls, attempts, tokens and dollars equal the mock's truth, in all and for each run by the mark in its prompt."""
    if reason := missing(name):
        pytest.skip(reason)
    trial = try_example(tmp_path, name)
    assert trial.problems == []
    assert len(trial.runs) >= 10
    assert max(one["calls"] for one in trial.runs) >= 2
    assert sum(one["tools"] for one in trial.runs) > 0


def test_hand_offs_are_in_the_run(tmp_path):
    """The agent that took over is named, and its calls are the run's."""
    if reason := missing("openai_agents_sdk"):
        pytest.skip(reason)
    trial = try_example(tmp_path, "openai_agents_sdk", users=2, run_time="5s")
    assert trial.problems == []
    assert {tuple(one["hand_offs"]) for one in trial.runs} == {("Refunds",)}


def test_every_example_is_tried():
    """No file in the folder is left out, none is long, each opens with the command that runs it."""
    assert {path.stem for path in FOLDER.glob("*.py")} == set(EXAMPLES)
    for path in FOLDER.glob("*.py"):
        text = path.read_text()
        assert len(text.splitlines()) < 80
        assert f"locust -f locustfiles/frameworks/{path.name} " in text.split('"""')[1]
