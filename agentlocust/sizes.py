"""Bytes as people write them: `500MB`, `1.5GiB`, read and shown in one place."""

from __future__ import annotations

import re
from decimal import Decimal

from agentlocust.errors import ConfigError

_BYTES_IN = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([A-Za-z]*)\Z")
_EXAMPLES = "write 500MB, 2GB or 1.5GiB"


def parse_size(raw: str) -> float:
    """Bytes from `500MB` or `1.5GiB`. Raises ConfigError, also for a bare number."""
    found = _SIZE.match(raw.strip())
    if found is None:
        raise ConfigError(f"{raw!r} is not a size in bytes", hint=_EXAMPLES)
    if not found[2]:
        raise ConfigError(f"{raw!r} has no unit", hint=f"write {raw}MB or {raw}GB")
    if found[2] not in _BYTES_IN:
        raise ConfigError(f"{raw!r} is not a size in bytes", hint=_EXAMPLES)
    return float(Decimal(found[1]) * _BYTES_IN[found[2]])


def show_size(size: float) -> str:
    """`512 B`, `4.1 kB`, `120 MB`, `1.25 GB`: three digits."""
    if size < 0:
        return "-" + show_size(-size)
    for name in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.0f} B" if name == "B" else f"{size:.{_decimals(size)}f} {name}"
        size /= 1000
    return f"{size:,.{_decimals(size)}f} TB"


def _decimals(size: float) -> int:
    return 2 if size < 9.995 else 1 if size < 99.95 else 0
