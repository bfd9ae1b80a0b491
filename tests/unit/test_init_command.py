"""`agentlocust init` copies an example and never overwrites one unasked."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from agentlocust import init_command
from agentlocust.errors import ConfigError
from agentlocust.init_command import copy_example, init


@pytest.fixture
def examples(tmp_path, monkeypatch):
    folder = tmp_path / "examples"
    folder.mkdir()
    (folder / "agent.py").write_text("# an agent\n")
    (folder / "chat.py").write_text("# a chat\n")
    monkeypatch.setattr(init_command, "data_dir", lambda name: tmp_path / {"locustfiles": "examples"}[name])
    return folder


def test_copies_the_agent_unless_told_otherwise(examples, tmp_path, monkeypatch):
    """`agentlocust init` alone writes agent.py and says how to run it."""
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(init, [])
    assert result.exit_code == 0
    assert (tmp_path / "agent.py").read_text() == "# an agent\n"
    assert "locust -f agent.py" in result.output


@pytest.mark.parametrize("name", ["chat", "chat.py"])
def test_an_example_is_named_with_or_without_its_suffix(examples, tmp_path, name):
    """Both spellings of an example's name find it."""
    assert copy_example(name, tmp_path).read_text() == "# a chat\n"


def test_an_existing_file_is_kept(examples, tmp_path):
    """A file of the same name stays as it was, and the error says what to do."""
    (tmp_path / "chat.py").write_text("mine")
    with pytest.raises(ConfigError, match=r"exists already.*--force"):
        copy_example("chat", tmp_path)
    assert (tmp_path / "chat.py").read_text() == "mine"


def test_force_replaces(examples, tmp_path):
    """--force replaces a file of the same name."""
    (tmp_path / "chat.py").write_text("mine")
    assert copy_example("chat", tmp_path, force=True).read_text() == "# a chat\n"


@pytest.mark.parametrize("name", ["nothing", "../agent", "", "/etc/passwd"])
def test_an_unknown_example_names_those_there_are(examples, tmp_path, name):
    """Only names of examples are accepted, and the error lists them."""
    with pytest.raises(ConfigError, match="agent, chat"):
        copy_example(name, tmp_path)
