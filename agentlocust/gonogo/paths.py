"""Finds and reads the files that a checklist names."""

from __future__ import annotations

from glob import has_magic
from itertools import islice
from pathlib import Path

from agentlocust.errors import ConfigError

MAX_MATCHES = 10_000


def matching(folder: Path, pattern: str) -> list[Path]:
    """What the path or pattern names, relative to `folder`, in order of names; at most 10,000."""
    if not has_magic(pattern):
        path = folder / pattern
        return [path] if path.exists() else []
    root = folder
    if Path(pattern).is_absolute():
        root = Path(Path(pattern).anchor)
        pattern = str(Path(pattern).relative_to(root))
    return sorted(islice(root.glob(pattern), MAX_MATCHES))


def read_bounded(path: Path, limit: int) -> bytes:
    """The file. Raises ConfigError when it cannot be read or holds more than `limit` bytes."""
    try:
        with path.open("rb") as file:
            raw = file.read(limit + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {path.name}: {error.strerror or error}") from error
    if len(raw) > limit:
        raise ConfigError(f"{path.name} is larger than {limit // 1_000_000} MB")
    return raw
