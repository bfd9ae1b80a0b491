"""Memory that is taken, and processors that are busy, beside the agent."""

from __future__ import annotations

import contextlib
import subprocess
import sys

_PAGE = 4096
# It ends by itself when its parent is gone.
_BURN = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(100_000))\n"


class MemoryPressure:
    """So many bytes, really used, between `begin` and `end`."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._taken: bytearray | None = None

    def begin(self) -> None:
        """Take it; as much as there is, if there is not that much."""
        with contextlib.suppress(MemoryError):
            taken = bytearray(self._size)
            taken[::_PAGE] = b"\x01" * len(range(0, self._size, _PAGE))
            self._taken = taken

    def end(self) -> None:
        """Give it back."""
        self._taken = None


class CpuPressure:
    """So many processes that only compute, between `begin` and `end`."""

    def __init__(self, cores: int) -> None:
        self._cores = cores
        self._burners: list[subprocess.Popen[bytes]] = []

    def begin(self) -> None:
        """Start them."""
        for _ in range(self._cores):
            burner = subprocess.Popen([sys.executable, "-S", "-c", _BURN], stdin=subprocess.DEVNULL, close_fds=True)
            self._burners.append(burner)

    def end(self) -> None:
        """End them."""
        while self._burners:
            burner = self._burners.pop()
            burner.kill()
            burner.wait()
