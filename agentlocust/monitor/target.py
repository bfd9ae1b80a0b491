"""What a watched target uses: sums over its processes and all their children.

Read in the sampler's child process. What the system refuses to tell is None. Network traffic of one
process is told by no system without root: the machine's stands in for it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from agentlocust.monitor.pace import Pace
from agentlocust.monitor.wanted import Wanted, alive, matching

TREE_SHARE = 0.002  # of a core, to look for new children
SOCKETS_SHARE = 0.0025  # to count sockets: 3 ms for a thousand
SEARCH_SHARE = 0.01  # to look for a target that died
FIGURES = ("cpu", "disk_read", "disk_write", "memory", "threads", "fds", "connections", "processes")
_LINUX = sys.platform == "linux"

Figures = dict[str, int | None]
Event = dict[str, Any]


class Target:
    """One `--watch`, read again and again. `read` never raises because a process ended or refuses."""

    def __init__(self, wanted: Wanted, generator: int) -> None:
        self._wanted = wanted
        self._generator = generator
        self._roots = matching(wanted, generator)
        self._missing = 0  # roots that died and were not found again
        self._gone_before = not self._roots
        self._members: dict[psutil.Process, _Used | None] = {}  # as last read
        self._tree, self._sockets, self._search = Pace(TREE_SHARE), Pace(SOCKETS_SHARE), Pace(SEARCH_SHARE)
        self._read_at: float | None = None

    def read(self, now: float) -> tuple[Figures, list[Event]]:
        """The sums at `now` (monotonic seconds), and who died or came back since the last reading.

        `cpu` is in thousandths of one core, `memory` in bytes (pages that processes share are counted in
        each), `disk_read` and `disk_write` in bytes per second; `connections` are open sockets. What is
        too slow for every reading is left out of most.
        """
        events = self._look_after_roots(now)
        if not self._roots:
            self._members, self._read_at = {}, None
            return {**dict.fromkeys(FIGURES), "processes": 0}, events
        if events or self._tree.due(now):
            self._tree.run(now, self._find_members)
        since = None if self._read_at is None else now - self._read_at
        sums = _Sums()
        for process, before in list(self._members.items()):
            try:
                used = _Used.of(process)
                sums.add(used, before or used.before(since or 0.0, time.time() - process.create_time()))
            except psutil.NoSuchProcess:  # a zombie too
                del self._members[process]
                continue
            self._members[process] = used
        figures = sums.figures(since, len(self._members))
        if self._sockets.due(now):
            figures["connections"] = self._sockets.run(now, self._count_sockets)
        self._read_at = now
        return figures, events

    def _look_after_roots(self, now: float) -> list[Event]:
        events = []
        if self._gone_before:
            self._gone_before, self._missing = False, 1
            events.append(self._event(now, "died", 0, "it was gone before the first reading"))
        for process in [root for root in self._roots if not alive(root)]:
            self._roots.remove(process)
            self._missing += 1
            events.append(self._event(now, "died", process.pid, "exit code unknown: only its parent is told"))
        # A PID never comes back: who has it next is somebody else.
        if self._missing and self._wanted.kind != "pid" and self._search.due(now):
            for process in self._search.run(now, lambda: matching(self._wanted, self._generator)):
                if process not in self._roots:
                    self._roots.append(process)
                    self._missing = max(self._missing - 1, 0)
                    events.append(self._event(now, "came back", process.pid, ""))
        return events

    def _event(self, now: float, what: str, pid: int, detail: str) -> Event:
        return {"t": now, "what": what, "label": self._wanted.label, "pid": pid, "detail": detail}

    def _find_members(self) -> None:
        found = list(self._roots)
        for root in self._roots:
            try:
                found += root.children(recursive=True)
            except psutil.Error:
                continue
        self._members = {process: self._members.get(process) for process in found if process.pid != os.getpid()}

    def _count_sockets(self) -> int | None:
        counts = [_sockets(process) for process in self._members]
        return None if any(count is None for count in counts) else sum(count or 0 for count in counts)


class _Used:
    """What one process has used and holds; None is unknown."""

    __slots__ = ("cpu", "fds", "memory", "threads", "was_read", "written")

    def __init__(self) -> None:
        self.cpu: float | None = 0.0
        self.was_read: int | None = 0
        self.written: int | None = 0
        self.memory: int | None = None
        self.threads: int | None = None
        self.fds: int | None = None

    @classmethod
    def of(cls, process: psutil.Process) -> _Used:
        """Read it: about 0.06 ms. Raises NoSuchProcess when it ended, zombie or not."""
        used = cls()
        with process.oneshot():
            if _told(process.status) == psutil.STATUS_ZOMBIE:
                raise psutil.ZombieProcess(process.pid)
            used.cpu = _told(lambda: sum(process.cpu_times()[:2]))
            used.memory = _told(lambda: process.memory_info().rss)
            used.threads = _told(process.num_threads)
            used.was_read, used.written = _told(lambda: process.io_counters()[2:4]) or (None, None)  # not on macOS
            used.fds = _told(lambda: open_fds(process))
        return used

    def before(self, since: float, age: float) -> _Used:
        """What a process of that age, seen for the first time, had used `since` seconds ago: if it was always alike."""
        share = max(1 - since / age, 0.0) if age > 0 else 0.0
        then = _Used()
        then.cpu = None if self.cpu is None else self.cpu * share
        then.was_read = None if self.was_read is None else round(self.was_read * share)
        then.written = None if self.written is None else round(self.written * share)
        return then


class _Sums:
    """Sums over a tree: unknown as soon as one part is, since a sum of some would pass for all."""

    def __init__(self) -> None:
        self._grown: dict[str, float | None] = {"cpu": 0.0, "disk_read": 0.0, "disk_write": 0.0}
        self._held: Figures = {"memory": 0, "threads": 0, "fds": 0}

    def add(self, now: _Used, before: _Used) -> None:
        """One process, with its reading before."""
        grown = (
            ("cpu", now.cpu, before.cpu),
            ("disk_read", now.was_read, before.was_read),
            ("disk_write", now.written, before.written),
        )
        for name, after, was in grown:
            sum_ = self._grown[name]
            self._grown[name] = None if sum_ is None or after is None or was is None else sum_ + max(after - was, 0)
        for name, held in (("memory", now.memory), ("threads", now.threads), ("fds", now.fds)):
            sum_ = self._held[name]
            self._held[name] = None if sum_ is None or held is None else sum_ + held

    def figures(self, since: float | None, processes: int) -> Figures:
        """All of it, rates over the `since` seconds from the last reading (None: this is the first)."""
        rates: Figures = dict.fromkeys(self._grown)
        if since:
            for name, grown in self._grown.items():
                scale = 1000 if name == "cpu" else 1
                rates[name] = None if grown is None else round(grown * scale / since)
        return {**rates, **self._held, "processes": processes}


def _told(read: Callable[[], Any]) -> Any:
    """What the system tells, None when it refuses or cannot."""
    try:
        return read()
    except psutil.NoSuchProcess:
        raise
    except (psutil.Error, OSError, AttributeError, NotImplementedError):
        return None


def open_fds(process: psutil.Process) -> int:
    """How many file descriptors a process has open. Raises psutil.Error or OSError when it may not be asked."""
    if _LINUX:
        # Since Linux 6.2 the folder's size is their number, in 3 µs not 0.4 ms for each thousand.
        size = Path(f"/proc/{process.pid}/fd").stat().st_size
        if size:
            return size
    return process.num_fds()


def _sockets(process: psutil.Process) -> int | None:
    """Open sockets of every kind on Linux, internet ones elsewhere; 0 for a process that just ended."""
    try:
        if not _LINUX:
            return len(process.net_connections("inet"))
        # Four times as fast as the tables of connections, which list the whole machine's.
        folder = f"/proc/{process.pid}/fd/"
        return sum(_is_socket(folder + name) for name in os.listdir(folder))  # noqa: PTH208  # half the time
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return 0
    except (psutil.Error, OSError):
        return None


def _is_socket(path: str) -> bool:
    try:
        return os.readlink(path).startswith("socket:")  # noqa: PTH115  # as above
    except OSError:
        return False
