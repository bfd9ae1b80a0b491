"""The generator's own vital signs, one reading a second."""

from __future__ import annotations

import time
from typing import Any

import gevent
import psutil

from agentlocust.health import Second
from agentlocust.monitor.lag import LagProbe
from agentlocust.monitor.machine import shares
from agentlocust.monitor.target import open_fds
from agentlocust.sketch import Sketch
from agentlocust.wire.clock import arrivals, keep_stamping
from agentlocust.wire.connection import open_sockets

_LEAST_S = 0.5  # of a last second: CPU over less says little


class GeneratorMonitor:
    """Reads lag, CPU, sockets and memory of this process each second of a test."""

    def __init__(self) -> None:
        keep_stamping()
        self._probe = LagProbe()
        self._process = psutil.Process()
        self._seconds: list[Second] = []
        self._lag = Sketch()
        self._begun = self._before = self._cpu = 0.0  # `_before`: of the last reading
        self._machine: Any = None
        self._second = 0  # the next one to tell of
        self._greenlet: gevent.Greenlet | None = None

    def begin(self) -> None:
        """A test starts: forget the one before."""
        self.end()
        self._seconds = []
        self._lag = Sketch()
        arrivals.take()
        self._second = 0
        self._cpu, self._machine = _process_cpu(self._process), psutil.cpu_times()
        self._begun = self._before = time.monotonic()
        self._probe.start()
        self._greenlet = gevent.spawn(self._read_each_second)

    def end(self) -> None:
        """The test is over: nothing more is read, the rest is there to take."""
        if self._greenlet is None:
            return
        self._greenlet.kill(block=False)
        self._greenlet = None
        if time.monotonic() - self._before >= _LEAST_S:
            self._read()
        else:
            self._lag.merge(self._probe.take())
        self._probe.stop()

    def take(self) -> dict[str, Any]:
        """What was read since the last take, as ints."""
        seconds, self._seconds = self._seconds, []
        lag, self._lag = self._lag, Sketch()
        return {
            "seconds": [second.encode() for second in seconds],
            "lag": lag.encode(),
            "stamps": arrivals.take(),
        }

    def _read_each_second(self) -> None:
        while True:
            gevent.sleep(max(self._begun + self._second + 1 - time.monotonic(), 0.01))
            self._read()

    def _read(self) -> None:
        """Tell of the second that ended, or of all of them when the hub was blocked for longer."""
        now = time.monotonic()
        lag = self._probe.take()
        cpu, machine = _process_cpu(self._process), psutil.cpu_times()
        busy, stolen = shares(self._machine, machine)
        vitals = (
            round(lag.percentile(99)) if lag.count else 0,
            lag.max,
            round((cpu - self._cpu) / (now - self._before) * 1000),
            busy,
            stolen,
            open_sockets(),
            self._process.memory_info().rss,
            self._process.num_threads(),
            _fds(self._process),
        )
        end = max(round(now - self._begun), self._second + 1)
        self._seconds += [Second(second, *vitals) for second in range(self._second, end)]
        self._lag.merge(lag)
        self._cpu, self._machine, self._before, self._second = cpu, machine, now, end


def _process_cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _fds(process: psutil.Process) -> int:
    try:
        return open_fds(process)
    except (psutil.Error, OSError):  # a sandbox may forbid it
        return 0
