"""`runs.jsonl`: the captured runs of a test, one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from agentlocust.errors import ConfigError
from agentlocust.report.files import write_text_atomically

FILE_NAME = "runs.jsonl"
MAX_BYTES = 1 << 30


def write_runs(directory: str | Path, lines: Sequence[str], scrub: Callable[[str], str]) -> Path | None:
    """Write the runs into a test's directory, for its owner's eyes only; nothing when there are none.

    Raises OSError when it cannot.
    """
    if not lines:
        return None
    path = Path(directory) / FILE_NAME
    write_text_atomically(path, "".join(f"{scrub(line)}\n" for line in lines), mode=0o600)
    return path


def read_runs(path: str | Path) -> list[dict[str, Any]]:
    """The runs in a test's directory, or in a file of its own. Raises ConfigError."""
    path = Path(path)
    if path.is_dir():
        path = path / FILE_NAME
    hint = "run the test with --capture-runs N, and give its directory"
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path} is larger than any test writes", hint=hint)
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}", hint=hint) from error
    runs = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            run = json.loads(line)
        except (ValueError, RecursionError):
            run = None
        if not isinstance(run, dict) or not isinstance(run.get("steps"), list):
            raise ConfigError("not a captured run", where=f"{path}:{number}", hint=hint)
        runs.append(run)
    if not runs:
        raise ConfigError(f"{path} holds no runs", hint=hint)
    return runs
