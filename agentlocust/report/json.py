"""`summary.json`: the Summary as it is."""

from __future__ import annotations

from pathlib import Path

from agentlocust.errors import ConfigError
from agentlocust.report.files import write_text_atomically
from agentlocust.summary import Summary, dump_summary, parse_summary

FILE_NAME = "summary.json"


def write_summary(summary: Summary, directory: str | Path) -> Path:
    """Write `summary.json` into a test's directory. Raises OSError when it cannot."""
    path = Path(directory) / FILE_NAME
    write_text_atomically(path, dump_summary(summary))
    return path


def read_summary(path: str | Path) -> Summary:
    """Read a test's directory or its `summary.json`. Raises ConfigError."""
    path = Path(path)
    if path.is_dir():
        path = path / FILE_NAME
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}", hint="give a test's directory") from error
    return parse_summary(text, str(path))
