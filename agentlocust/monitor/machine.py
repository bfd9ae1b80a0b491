"""What the whole machine does, read with a few cheap calls."""

from __future__ import annotations

from typing import Any

import psutil

Figures = dict[str, int | None]


class Machine:
    """Reads the machine again and again; rates and shares count from one reading to the next."""

    def __init__(self) -> None:
        self._at: float | None = None
        self._cpu: Any = None
        self._moved: Figures = {}

    def read(self, now: float) -> Figures:
        """The figures at `now` (monotonic seconds), None where the system does not tell, or not yet: about 0.3 ms.

        `cpu`, `steal` in thousandths of all cores together, `load` (of the last minute) in thousandths,
        memory and swap in bytes, disk and network in bytes per second. Loopback traffic is left out, disks are
        counted without their partitions.
        """
        cpu, moved, memory = psutil.cpu_times(), _moved(), psutil.virtual_memory()
        seconds = 0.0 if self._at is None else now - self._at
        busy, stolen = shares(self._cpu, cpu) if seconds > 0 else (None, None)
        figures: Figures = {
            "cpu": busy,
            "steal": stolen,
            "memory": memory.total - memory.available,
            "memory_available": memory.available,
            "swap": _swap(),
            "load": _load(),
        }
        for name, total in moved.items():
            before = self._moved.get(name)
            if total is None or before is None or seconds <= 0:
                figures[name] = None
            else:  # a disk or network card that went away takes its count with it
                figures[name] = round(max(total - before, 0) / seconds)
        self._at, self._cpu, self._moved = now, cpu, moved
        return figures


def shares(before: Any, now: Any) -> tuple[int, int]:
    """Thousandths of the machine's time that were busy, and that its host took, between two `psutil.cpu_times()`."""
    total = sum(now[:8]) - sum(before[:8])  # guest time is in user time already
    if total <= 0:
        return 0, 0
    idle = now.idle - before.idle + getattr(now, "iowait", 0.0) - getattr(before, "iowait", 0.0)
    steal = getattr(now, "steal", 0.0) - getattr(before, "steal", 0.0)
    return round((total - idle) / total * 1000), round(steal / total * 1000)


def _moved() -> Figures:
    """Bytes since boot."""
    disk = _or_none(psutil.disk_io_counters)
    cards = _or_none(lambda: psutil.net_io_counters(pernic=True)) or {}
    network = [card for name, card in cards.items() if not name.startswith("lo")]
    return {
        "disk_read": None if disk is None else disk.read_bytes,
        "disk_write": None if disk is None else disk.write_bytes,
        "net_sent": sum(card.bytes_sent for card in network) if cards else None,
        "net_recv": sum(card.bytes_recv for card in network) if cards else None,
    }


def _swap() -> int | None:
    swap = _or_none(psutil.swap_memory)
    return None if swap is None else int(swap.used)


def _load() -> int | None:
    load = _or_none(psutil.getloadavg)
    return None if load is None else round(load[0] * 1000)


def _or_none(read: Any) -> Any:
    """Containers hide some of /proc."""
    try:
        return read()
    except (psutil.Error, OSError, RuntimeError):
        return None
