"""The generator's side of the watch: starts the sampler, reads its lines, ends it.

Only the master, or a test of one process, has one. Everything slow happens in the sampler's process;
here a line costs about 0.1 ms of the hub.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gevent
from gevent import os as gevent_os

from agentlocust.errors import ConfigError
from agentlocust.monitor.scrape import Scrape
from agentlocust.monitor.wanted import Wanted

DEFAULT_INTERVAL_S = 1.0
LEAST_INTERVAL_S = 0.1
_MOST_INTERVAL_S = 60.0
_STOP_TIMEOUT = 1.0
_CHUNK = 65536
# What the sampler needs of the environment: no key can be in it.
_KEPT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")

Reading = dict[str, Any]


class Watch:
    """Reads the machine, targets, servers and GPUs each `interval_s` seconds, and hands each reading to `tell`.

    A reading is a line of the sampler, see there; `tell` runs in a greenlet of its own and must be quick.
    When the sampler breaks, the last reading holds that as an event and no more come: a test goes on.
    Raises ConfigError for an interval below 0.1 s or above a minute.
    """

    def __init__(
        self,
        tell: Callable[[Reading], None],
        *,
        interval_s: float = DEFAULT_INTERVAL_S,
        targets: Sequence[Wanted] = (),
        scrapes: Sequence[Scrape] = (),
        gpu: bool = False,
    ) -> None:
        if not LEAST_INTERVAL_S <= interval_s <= _MOST_INTERVAL_S:
            raise ConfigError(f"an interval of {interval_s:g} s", where="--watch-interval", hint="from 100ms to 60s")
        self._tell = tell
        self._asked: dict[str, Any] = {
            "interval": interval_s,
            "watch": [[target.label, target.kind, target.value] for target in targets],
            "scrape": [[one.scheme, one.host, one.port, one.path, one.metrics] for one in scrapes],
            "gpu": gpu,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._hold = self._lines = -1
        self._greenlet: gevent.Greenlet | None = None

    @property
    def pid(self) -> int | None:
        """The sampler's, while it runs."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the sampler and return at once; more calls while it runs do nothing. Raises OSError."""
        if self._process is not None:
            return
        # -P: the folder a test is started in must not hide modules of the standard library.
        command = [sys.executable, "-P", "-m", "agentlocust.monitor.sampler"]
        # Pipes of our own: Python makes them close-on-exec, so that no other child can hold them open.
        its_stdin, self._hold = os.pipe()
        self._lines, its_stdout = os.pipe()
        try:
            # A session of its own: a terminal's Ctrl-C is not sent to it.
            self._process = subprocess.Popen(
                command,
                stdin=its_stdin,
                stdout=its_stdout,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                start_new_session=True,
            )
        except BaseException:
            os.close(self._hold)
            os.close(self._lines)
            raise
        finally:
            os.close(its_stdin)
            os.close(its_stdout)
        asked = json.dumps({"parent": os.getpid(), **self._asked}) + "\n"
        gevent_os.make_nonblocking(self._lines)
        gevent_os.make_nonblocking(self._hold)
        self._greenlet = gevent.spawn(self._read, self._lines, self._hold, asked.encode())

    def stop(self) -> None:
        """End the sampler and wait for its end; more calls do nothing."""
        process, self._process = self._process, None
        if process is None:
            return
        if self._greenlet is not None:
            self._greenlet.kill()
            self._greenlet = None
        with contextlib.suppress(OSError):
            os.write(self._hold, b"stop\n")  # a fork of this process might hold the pipe open
        os.close(self._hold)
        os.close(self._lines)
        for end in (None, process.terminate, process.kill):
            if end is not None:
                with contextlib.suppress(ProcessLookupError):
                    end()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_TIMEOUT)
                return

    def _read(self, lines: int, hold: int, asked: bytes) -> None:
        told = ""
        try:
            while asked:
                asked = asked[gevent_os.nb_write(hold, asked) :]
            rest = b""
            while part := gevent_os.nb_read(lines, _CHUNK):
                *whole, rest = (rest + part).split(b"\n")
                for line in whole:
                    reading = json.loads(line)
                    told = reading.get("error", told)
                    if "t" in reading:
                        self._tell(reading)
                    gevent.sleep(0)  # after a long block many lines wait: the hub's others go between
        except (OSError, ValueError) as error:
            told = f"{type(error).__name__}: {error}"
        event = {"t": time.monotonic(), "what": "monitor ended", "label": "", "pid": 0, "detail": told}
        self._tell({"t": event["t"], "subjects": {}, "events": [event]})


def _environment() -> dict[str, str]:
    """The little it needs, with this very package first on the path."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    here = str(Path(__file__).resolve().parents[2])
    kept["PYTHONPATH"] = os.pathsep.join(part for part in (here, os.environ.get("PYTHONPATH", "")) if part)
    return kept
