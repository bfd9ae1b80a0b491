"""Starts the real `locust` command as users do, in every mode, and sees to it that nothing is left behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from agentlocust.units import parse_duration

ROOT = Path(__file__).parents[2]
LOCUST = (sys.executable, "-m", "locust")
WAYS = ("local", "processes", "distributed", "web")
MARK = "AGENTLOCUST_TEST_ID"  # inherited by every process of a test, also by the mock in its own session
LINGER_S = 3.0  # the mock ends last
SETTINGS = ("AGENTLOCUST_", "AGENT_", "LOCUST_", "MCP_", "OPENAI_", "ANTHROPIC_")


def free_port() -> int:
    """A TCP port of the loopback interface that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(true: Callable[[], object], what: str, timeout_s: float = 30.0) -> None:
    """Return once `true()` is truthy; AssertionError naming `what` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, f"waited {timeout_s:g} s for {what}"
        time.sleep(0.05)  # other processes have to move, there is nothing to wait on


def clean_environment(mark: str, extra: dict[str, str] | None = None) -> dict[str, str]:
    """This process's environment without anyone's settings or keys, and with the mark of one test."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
    path = os.pathsep.join(filter(None, (str(ROOT), environment.get("PYTHONPATH"))))
    # A busy machine must not turn tests of other things red; those of the generator's health say false.
    own = {"PYTHONPATH": path, "NO_COLOR": "1", "AGENTLOCUST_ALLOW_SATURATED": "true", MARK: mark}
    return {**environment, **own, **(extra or {})}


def spawn(command: Sequence[str], directory: Path, environment: dict[str, str], log: str) -> subprocess.Popen[bytes]:
    """Start a command as the leader of its own session and process group, output in files of `directory`.

    Files and not pipes: an orphan that holds a pipe open would hang the test instead of failing it.
    """
    with (directory / f"{log}.stdout").open("wb") as out, (directory / f"{log}.stderr").open("wb") as err:
        return subprocess.Popen(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
            preexec_fn=_hear_signals,  # noqa: PLW1509  # runs before any thread of ours exists in the child
        )


def _hear_signals() -> None:
    # A background job of a shell inherits SIGINT ignored, and Locust would never see it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def processes_of(mark: str) -> list[psutil.Process]:
    """The living processes that inherited the mark."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _kill(mark: str) -> None:
    processes = processes_of(mark)
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, timeout=10)


def get(url: str, *, decode: bool = True) -> Any:
    """What a loopback URL answers: JSON unless told not to decode it."""
    with urllib.request.urlopen(url, timeout=10) as reply:
        return json.load(reply) if decode else reply.read()


def post(url: str, *, decode: bool = True, **form: object) -> Any:
    """What a loopback URL answers to a form: JSON unless told not to decode it."""
    with urllib.request.urlopen(url, urllib.parse.urlencode(form).encode(), timeout=60) as reply:
        return json.load(reply) if decode else reply.read()


class MockServer:
    """`agentlocust mock` in a process of its own, whose truth outlives the test it answers."""

    def __init__(self, directory: Path, spec: str = "", faults: str = "", seed: int = 0) -> None:
        self._mark = uuid.uuid4().hex
        self._log = f"mock-{self._mark}"
        self._directory = directory
        environment = clean_environment(self._mark)
        command = (sys.executable, "-m", "agentlocust.mock", "--spec", spec, "--faults", faults)
        command += ("--seed", str(seed))
        self._process = spawn(command, directory, environment, self._log)
        try:
            wait_until(self._address, "the mock to listen")
            self.url = self._address()
        except BaseException:
            self.close()
            raise

    def _address(self) -> str:
        output = (self._directory / f"{self._log}.stdout").read_text()
        if self._process.poll() is not None:
            errors = (self._directory / f"{self._log}.stderr").read_text()
            msg = f"the mock ended with {self._process.returncode}:\n{output}{errors}"
            raise AssertionError(msg)
        found = re.search(r"agentlocust mock listening on (http://\S+)\n", output)
        return found[1] if found else ""

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def kill(self) -> None:
        """End it as the kernel does when memory runs out."""
        self._process.kill()
        self._process.wait()

    def truth(self) -> dict[str, Any]:
        """The exact counters of all it answered."""
        counters: dict[str, Any] = get(f"{self.url}/_truth")
        return counters

    def final_truth(self) -> dict[str, Any]:
        """The counters once nobody is being answered: a client that went away is noticed a moment later."""
        wait_until(lambda: self.truth()["concurrent"]["now"] == 0, "the mock to notice that its clients have gone", 10)
        return self.truth()

    def reset(self) -> None:
        """Forget what was answered so far."""
        urllib.request.urlopen(f"{self.url}/_truth/reset", b"", timeout=10).close()

    def close(self) -> None:
        """Stop it."""
        self._process.terminate()
        try:
            self._process.wait(10)
        finally:
            _kill(self._mark)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Result:
    """How a test ended: the exit codes, all it printed and wrote."""

    exit_code: int
    worker_exit_codes: tuple[int, ...]
    stdout: str
    stderr: str
    duration_s: float
    directory: Path
    summaries: list[dict[str, Any]] = field(default_factory=list)

    @property
    def output(self) -> str:
        """All that was printed, by workers too."""
        return self.stdout + self.stderr

    @property
    def summary(self) -> dict[str, Any]:
        """The Summary of the one test."""
        assert len(self.summaries) == 1, f"{len(self.summaries)} summaries\n{self.output}"
        return self.summaries[0]

    def expect(self, exit_code: int) -> Self:
        """Itself, once its exit code is the one given; AssertionError with the output otherwise."""
        assert self.exit_code == exit_code, f"exit {self.exit_code}, not {exit_code}\n{self.output}"
        return self


class LocustTest:
    """One real `locust` command, with its workers, in a directory of its own.

    `way` is one of WAYS; `web`, and any other with `ui`, serves Locust's UI and waits for `swarm()`.
    `autostart` makes the others start themselves in a UI that quits by itself, instead of headless.
    Without `users`, or `run_time`, the options are left out: a shape has its own.
    """

    def __init__(
        self,
        directory: Path,
        locustfile: str | Path,
        *args: str,
        way: str = "local",
        users: int | None = 5,
        run_time: str = "2s",
        stop_timeout: str = "10",
        autostart: bool = False,
        ui: bool = False,
        workers: int = 2,
        expect_workers: int | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.mark = uuid.uuid4().hex
        self.web_url = ""
        self._environment = clean_environment(self.mark, env)
        self._users = users
        path = directory / "locustfile_under_test.py"
        if isinstance(locustfile, Path):
            path = locustfile
        else:
            path.write_text(locustfile)
        base = [*LOCUST, "-f", str(path)]
        load = ["-s", stop_timeout, *args]
        if users is not None:
            load += ["-u", str(users), "-r", "100"]
        lasting = ["-t", run_time] if run_time else []
        ui = ui or way == "web"
        if ui or autostart:
            port = str(free_port())
            self.web_url = f"http://127.0.0.1:{port}"
            load += ["--web-host", "127.0.0.1", "--web-port", port]
        if autostart:
            load += ["--autostart", "--autoquit", "1", *lasting]
        elif not ui:
            load += ["--headless", *lasting]
        self._worker_command: list[str] = []
        if way == "processes":
            # A port of its own: the usual one may be another test's.
            port = str(free_port())
            load += ["--processes", "2", "--master-bind-port", port, "--master-port", port]
        elif way == "distributed":
            port = str(free_port())
            load += ["--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port]
            load += ["--expect-workers", str(workers if expect_workers is None else expect_workers)]
            self._worker_command = [*base, "--worker", "--master-host", "127.0.0.1", "--master-port", port]
        self._started = time.monotonic()
        self.main = spawn([*base, *load], directory, self._environment, "main")
        self.workers: list[subprocess.Popen[bytes]] = []
        for _ in range(workers if self._worker_command else 0):
            self.add_worker()

    # -- while it runs -----------------------------------------------------------------------

    def add_worker(self) -> None:
        """Start one more worker, in `distributed`."""
        log = f"worker{len(self.workers)}"
        self.workers.append(spawn(self._worker_command, self.directory, self._environment, log))

    def signal(self, number: int, *, group: bool) -> None:
        """Send a signal to the master alone, or to its whole process group as a terminal does."""
        if group:
            os.killpg(self.main.pid, number)
        else:
            self.main.send_signal(number)

    def wait_for_ui(self) -> None:
        """Return once the web UI answers."""
        wait_until(self._ui_answers, "the web UI")

    def _ui_answers(self) -> bool:
        assert self.main.poll() is None, f"locust ended with {self.main.returncode}\n{self._read('*')}"
        try:
            get(f"{self.web_url}/stats/requests")
        except OSError:
            return False
        return True

    def swarm(self, **form: object) -> None:
        """Start a test as the UI's button does."""
        reply = self.ask_to_swarm(**form)
        assert reply["success"], reply

    def ask_to_swarm(self, **form: object) -> Any:
        """What the UI answers to its button, whether it starts a test or not."""
        users, rate = (1, 1) if self._users is None else (self._users, 100)  # an untouched form says 1 and 1
        return post(f"{self.web_url}/swarm", **{"user_count": users, "spawn_rate": rate, **form})

    def stop(self, tests: int = 1) -> None:
        """Stop the test as the UI's button does; return once the summary of the `tests`-th is written."""
        assert post(f"{self.web_url}/stop")["success"]
        wait_until(lambda: len(self.summary_files()) >= tests, "summary.json")

    def requests(self) -> int:
        """The requests that the UI's table shows."""
        rows = get(f"{self.web_url}/stats/requests")["stats"]
        return sum(row["num_requests"] for row in rows if row["name"] == "Aggregated")

    def summary_files(self) -> list[Path]:
        """The `summary.json` of each test that ended, oldest first."""
        files = (path for path in self.directory.glob("results/*/summary.json") if not path.parent.is_symlink())
        return sorted(files, key=lambda path: path.stat().st_mtime_ns)

    def worker_processes(self) -> list[psutil.Process]:
        """The processes that run users for a master, started by `--processes` or by hand."""
        if self.workers:
            return [psutil.Process(worker.pid) for worker in self.workers]
        master = psutil.Process(self.main.pid)
        return [child for child in master.children() if "agentlocust.mock" not in " ".join(child.cmdline())]

    def wait_for_workers(self, number: int = 2) -> None:
        """Return once the UI knows that many workers."""
        wait_until(lambda: len(get(f"{self.web_url}/stats/requests").get("workers", ())) >= number, "the workers")

    def output(self) -> str:
        """All that it and its workers have printed so far."""
        return self._read("*")

    def commands(self) -> str:
        """The command lines of all its living processes."""
        return "\n".join(self._command(process) for process in processes_of(self.mark))

    # -- its end -----------------------------------------------------------------------------

    def finish(self, timeout_s: float = 60.0) -> Result:
        """Wait for the end; AssertionError when it takes longer or leaves a process behind."""
        try:
            self.main.wait(timeout_s)
            duration_s = time.monotonic() - self._started
            codes = tuple(worker.wait(10) for worker in self.workers)
            wait_until(lambda: not processes_of(self.mark), "every process of the test to end", LINGER_S)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            msg = f"{error}\nstill alive:\n{self.commands()}\n{self._read('*')}"
            raise AssertionError(msg) from error
        finally:
            self.kill()
        return Result(
            exit_code=self.main.returncode,
            worker_exit_codes=codes,
            stdout=self._read("*.stdout"),
            stderr=self._read("*.stderr"),
            duration_s=duration_s,
            directory=self.directory,
            summaries=[json.loads(path.read_text()) for path in self.summary_files()],
        )

    def kill(self) -> None:
        """End every process of the test, whatever it is doing."""
        for process in (self.main, *self.workers):
            if process.poll() is None:
                process.kill()
                process.wait()
        _kill(self.mark)

    @staticmethod
    def _command(process: psutil.Process) -> str:
        try:
            return " ".join(process.cmdline())
        except psutil.Error:
            return "(gone by now)"

    def _read(self, pattern: str) -> str:
        stems = ("main", *(f"worker{n}" for n in range(len(self.workers))))
        files = (path for stem in stems for path in sorted(self.directory.glob(f"{stem}.std*")) if path.match(pattern))
        return "".join(path.read_text(errors="replace") for path in files)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.kill()


def run(directory: Path, locustfile: str | Path, *args: str, way: str = "local", **settings: Any) -> Result:
    """A whole test from start to end; in `web` it runs for two seconds and is ended by SIGINT, as people do."""
    with LocustTest(directory, locustfile, *args, way=way, **settings) as test:
        if way == "web":
            test.wait_for_ui()
            test.swarm()
            time.sleep(2)  # the length of the test
            test.stop()
            test.signal(signal.SIGINT, group=False)
        return test.finish(60.0 + parse_duration(settings.get("run_time") or "0s"))
