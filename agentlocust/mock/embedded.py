"""The mock as a child process of a test: started, found and ended with it.

May be used in a process whose standard library gevent has patched; imports only the standard library.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from agentlocust.errors import AgentLocustError

START_TIMEOUT = 20.0
_STOP_TIMEOUT = 2.0
_LINE = re.compile(rb"listening on (http://\S+)\n")
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD", re.IGNORECASE)


class EmbeddedMock:
    """A running mock: its `url`, the `instance` that its /_truth tells, and its `pid`.

    It is in a session of its own, so that a terminal's Ctrl-C is not sent to it, and it ends by
    itself when this process does, however that ends: it reads from a pipe only this process holds.
    """

    def __init__(self, process: subprocess.Popen[bytes], url: str, instance: str, hold: int) -> None:
        self.url = url
        self.instance = instance
        self.pid = process.pid
        self._process = process
        self._hold: int | None = hold

    @classmethod
    def start(cls, spec: str = "", seed: int = 0, faults: str = "") -> EmbeddedMock:
        """Start a mock on a free port of the loopback and wait until it listens.

        Raises AgentLocustError, with what it wrote to stderr, when it ends or is silent for 20 s.
        """
        instance = secrets.token_hex(8)
        # -P: the folder a test is started in must not hide modules of the standard library.
        command = [sys.executable, "-P", "-m", "agentlocust.mock", "--with-parent", "--instance", instance]
        command += ["--seed", str(seed), f"--spec={spec}", f"--faults={faults}"]
        # Pipes of our own: Python makes them close-on-exec, so that no other child can hold them open.
        its_stdin, hold = os.pipe()
        lines, its_stdout = os.pipe()
        with tempfile.TemporaryFile() as errors:
            try:
                process = subprocess.Popen(
                    command,
                    stdin=its_stdin,
                    stdout=its_stdout,
                    stderr=errors,
                    env=_environment(),
                    start_new_session=True,
                )
                _close(its_stdout)
                mock = cls(process, _wait_for_line(lines), instance, hold)
            except BaseException:
                _close(hold)  # the child, if there is one, ends at that
                raise
            finally:
                _close(its_stdin)
                os.close(lines)
            if not mock.url:
                mock.stop()
                errors.seek(0)
                told = errors.read(4096).decode("utf-8", "replace").strip() or "it was silent"
                raise AgentLocustError(f"the embedded mock did not start: {told}")
            return mock

    def stop(self) -> None:
        """End the mock and wait for its end; more calls do nothing."""
        if self._hold is None:
            return
        _close(self._hold)
        self._hold = None
        for end in (None, self._process.terminate, self._process.kill):
            if end is not None:
                with contextlib.suppress(ProcessLookupError):
                    end()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_TIMEOUT)
                return


def _close(fd: int) -> None:
    """Close an end of a pipe now: gevent's `os.close` waits for the hub to wake, and the mock's end with it."""
    with open(fd, "wb", buffering=0):
        pass


def _wait_for_line(lines: int) -> str:
    """The address in the line the mock prints; "" when it ended or time was up before."""
    until = time.monotonic() + START_TIMEOUT
    read = b""
    while (left := until - time.monotonic()) > 0:
        if not select.select([lines], [], [], left)[0]:
            break
        part = os.read(lines, 4096)
        read += part
        found = _LINE.search(read)
        if found is not None:
            return found[1].decode()
        if not part:
            break
    return ""


def _environment() -> dict[str, str]:
    """This process's environment without keys, and with this very package first on the path."""
    kept = {name: value for name, value in os.environ.items() if not _SECRET.search(name)}
    here = str(Path(__file__).resolve().parents[2])
    kept["PYTHONPATH"] = os.pathsep.join(part for part in (here, kept.get("PYTHONPATH", "")) if part)
    return kept
