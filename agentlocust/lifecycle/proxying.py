"""The proxy beside a test: a process on the node that judges the test, its records joined into the ledger."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import re
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gevent
from gevent import os as gevent_os

from agentlocust.budget import Budget
from agentlocust.errors import AgentLocustError, ConfigError
from agentlocust.proxy.record import Attempt
from agentlocust.proxy.tools import read_tools
from agentlocust.redact import terminal_safe
from agentlocust.wire.target import Target

logger = logging.getLogger(__name__)

PROXY = "proxy"  # as the Treasury knows it
START_S = 20.0
LAST_S = 5.0  # in which its last records come
_KEPT = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "TIKTOKEN_CACHE_DIR")
_TOOL = re.compile(r"[\w-]+=")
_LISTENS = re.compile(r"listening on (http://\S+)")


@dataclass(frozen=True, slots=True)
class ProxyPlan:
    """Where the proxy passes requests on to, and the port it is to listen on (0: a free one)."""

    upstream: str = ""
    tools: tuple[str, ...] = ()
    port: int = 0

    def __bool__(self) -> bool:
        return bool(self.upstream)


def read_proxy(options: argparse.Namespace) -> ProxyPlan:
    """What `--proxy` and `--proxy-port` ask for. Raises ConfigError."""
    given = [text.strip() for text in options.agentlocust_proxy if text.strip()]
    port = int(options.agentlocust_proxy_port)
    if not 0 <= port <= 65535:
        raise ConfigError(f"{port} is no port", where="--proxy-port", hint="from 0 (a free one) to 65535")
    upstreams = [text for text in given if not _TOOL.match(text)]
    tools = tuple(text for text in given if _TOOL.match(text))
    read_tools(tools, "--proxy")
    if len(upstreams) > 1:
        raise ConfigError("two upstreams", where="--proxy", hint="tools' APIs are named: --proxy search=http://…")
    if not upstreams:
        if tools:
            raise ConfigError("tools alone", where="--proxy", hint="name the models' API too: --proxy https://…")
        if port:
            raise ConfigError("a port for no proxy", where="--proxy-port", hint="add --proxy https://…")
        return ProxyPlan()
    Target.parse(upstreams[0], where="--proxy")
    return ProxyPlan(upstreams[0], tools, port)


class Proxying:
    """A proxy's process. `take` gets each record, `told` each word of its guard, `lost` is called if it dies.

    It is in a session of its own and ends with this process, however that ends, as the embedded mock does.
    """

    def __init__(
        self,
        plan: ProxyPlan,
        budget: Budget,
        pricing: tuple[Path, ...],
        take: Callable[[Attempt], None],
        told: Callable[[dict[str, Any]], None],
        lost: Callable[[], None],
        *,
        faults: str = "",
        seed: int = 0,
    ) -> None:
        self.url = ""
        self.pid = 0
        self._take, self._told, self._lost = take, told, lost
        asked = {
            "upstream": plan.upstream,
            "host": "127.0.0.1",
            "port": plan.port,
            "tools": list(plan.tools),
            "budget": asdict(budget),
            "faults": faults,
            "seed": seed,
            "pricing": [str(path.absolute()) for path in pricing],
        }
        self._start(json.dumps(asked))

    def _start(self, asked: str) -> None:
        its_stdin, self._hold = os.pipe()
        self._lines, its_stdout = os.pipe()
        with tempfile.TemporaryFile() as errors:
            try:
                # -P: the folder a test is started in must not hide modules of the standard library.
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "agentlocust.proxy", asked],
                    stdin=its_stdin,
                    stdout=its_stdout,
                    stderr=errors,
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
            self.pid = self._process.pid
            self._stopping = False
            self.url, rest = _wait_for_line(self._lines)
            if not self.url:
                self._stopping = True
                self._end()
                errors.seek(0)
                said = errors.read(4096).decode("utf-8", "replace").strip() or "it was silent"
                raise AgentLocustError(f"the proxy did not start: {said}")
        gevent_os.make_nonblocking(self._lines)
        gevent_os.make_nonblocking(self._hold)
        self._reader = gevent.spawn(self._read, rest)

    def order(self, **order: Any) -> None:
        """Tell the proxy something."""
        data = json.dumps(order).encode() + b"\n"
        with contextlib.suppress(OSError):
            while data:
                data = data[gevent_os.nb_write(self._hold, data) :]

    def stop(self) -> None:
        """End it, once its last records have come; more calls do nothing."""
        if self._stopping:
            return
        self._stopping = True
        # gevent's `os.close` waits for the hub to wake, and the proxy's end with it. Not so here.
        gevent.get_hub().loop.closing_fd(self._hold)
        with open(self._hold, "wb", buffering=0):  # noqa: PTH123  # a descriptor has no path
            self._hold = -1
        self._reader.join(LAST_S)
        self._reader.kill()
        self._end()

    def _end(self) -> None:
        for fd in (self._hold, self._lines):
            with contextlib.suppress(OSError):
                if fd >= 0:
                    os.close(fd)
        for end in (None, self._process.terminate, self._process.kill):
            if end is not None:
                with contextlib.suppress(ProcessLookupError):
                    end()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(2.0)
                return

    def _read(self, rest: bytes) -> None:
        try:
            while part := gevent_os.nb_read(self._lines, 65536):
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    self._hear(line)
                    gevent.sleep(0)
        except OSError as error:
            logger.error("agentlocust: the proxy cannot be heard: %s", error)  # noqa: TRY400  # no bug of ours
        if not self._stopping:
            self._lost()

    def _hear(self, line: bytes) -> None:
        try:
            told = json.loads(line)
            if "purse" in told:
                self._told(told["purse"])
            else:
                self._take(Attempt.decode(told))
        except (ValueError, KeyError, TypeError) as error:
            logger.error("agentlocust: a record of the proxy's was lost: %s", terminal_safe(str(error)))  # noqa: TRY400  # its text says all


def _wait_for_line(lines: int) -> tuple[str, bytes]:
    until = time.monotonic() + START_S
    read = b""
    while (left := until - time.monotonic()) > 0 and select.select([lines], [], [], left)[0]:
        part = os.read(lines, 4096)
        read += part
        if b"\n" in read:
            first, _, rest = read.partition(b"\n")
            found = _LISTENS.search(first.decode("utf-8", "replace"))
            return (found[1], rest) if found is not None else ("", b"")
        if not part:
            break
    return "", b""


def _environment() -> dict[str, str]:
    """The little it needs, with this very package first on the path: keys pass it inside requests only."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    here = str(Path(__file__).resolve().parents[2])
    kept["PYTHONPATH"] = os.pathsep.join(part for part in (here, os.environ.get("PYTHONPATH", "")) if part)
    return kept
