"""Files that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentlocust.errors import ConfigError
from agentlocust.report import files
from agentlocust.report.files import write_text_atomically
from agentlocust.report.json import read_summary


def test_the_text_is_written_with_the_mode_of_an_ordinary_file(tmp_path: Path) -> None:
    """What was given is what is read, by everyone who may read new files here."""
    path = tmp_path / "new" / "report.md"
    write_text_atomically(path, "é\r\n…")
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    assert path.read_bytes() == "é\r\n…".encode()
    assert path.stat().st_mode == ordinary.stat().st_mode


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk costs the new text, never the old one."""
    path = tmp_path / "summary.json"
    write_text_atomically(path, "old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_text_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text", ["", "{", '{"schema": 2, "test": {}}', "[]", '{"schema": 1}'])
def test_what_is_not_a_summary_is_refused_with_its_place(tmp_path: Path, text: str) -> None:
    """Another file, a torn one or another version gives one clear error."""
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(ConfigError, match=r"summary\.json.*not a summary of a test"):
        read_summary(tmp_path)


def test_a_missing_summary_is_refused(tmp_path: Path) -> None:
    """A directory without a summary is named."""
    with pytest.raises(ConfigError, match="cannot read .*No such file"):
        read_summary(tmp_path)
