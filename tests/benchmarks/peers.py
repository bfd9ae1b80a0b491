"""The same work by every tool: N streams kept open against `agentlocust mock`, each tool in turn.

    python tests/benchmarks/peers.py --install [--tools aiperf,evalscope] [--venvs DIR]    # once; needs the network
    python tests/benchmarks/peers.py [--streams 64,256] [--repeat 3] [--seconds 5,40]      # then, also offline

Streaming chat, 64 tokens a reply, TTFT 50 ms, 5 ms between tokens, a fresh mock for every run. Each tool is found as
DIR/<tool>/bin/<tool> or on PATH, and runs with its defaults but for what makes the work the same. agentlocust is a
whole headless `locust` run with everything recorded. All start every stream at once; the long run is so long that
these first calls, which wait in line for a connection, are under 1% of it.

- achieved: the slope of what the mock completed while every stream was busy, of the ideal N / (TTFT + 63 x ITL).
- TTFT: as the tool reports it, and how far that is from the mock's own books (percentiles of those within 1%).
- CPU: of the tool's whole process tree, the long run less the short one, divided by the difference in requests, so
  that start and report drop out; a token is a 64th of a request (a 30th for inference-perf, whose chat never asks
  for more).
- memory: of the largest process, and the most that all processes held together (shared pages counted in each).

With --repeat each column is the median. A tool that is not found is left out, and said so.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from peer_tools import ITL_MS, START_S, TOKENS, TOOLS, TTFT_MS, Work, found, install, version_of

from harness import MockServer, clean_environment, processes_of, spawn  # the harness of the integration tests

OFFLINE = {"NO_PROXY": "127.0.0.1", "DO_NOT_TRACK": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


@dataclass(frozen=True, slots=True)
class Run:
    """One run: what the mock saw (tokens are those of a reply), what the tool said, what it cost."""

    requests: int
    unsuccessful: int
    tokens: float
    achieved: float
    ttft: tuple[float, float]
    true_ttft: tuple[float, float]
    cpu_s: float
    largest_mb: float
    together_mb: float


@dataclass(frozen=True, slots=True)
class Row:
    """A tool at one load: share of the ideal, milliseconds, microseconds a token, megabytes."""

    achieved: float
    ttft_p50: float
    ttft_p50_bias: float
    ttft_p99: float
    ttft_p99_bias: float
    cpu_ms: float
    cpu_us: float
    largest_mb: float
    together_mb: float


# -- one run ----------------------------------------------------------------------------------


def reap(out: str, command: Sequence[str]) -> int:
    """Run a command as the one that inherits its orphans; write what it and all its descendants used.

    Only what was waited for is in RUSAGE_CHILDREN: a tool's daemons would be left out if init reaped them.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    code = subprocess.call(command)
    deadline = time.monotonic() + 10
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.05)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    cpu_s = used.ru_utime + used.ru_stime
    Path(out).write_text(json.dumps({"cpu_s": cpu_s, "largest_mb": used.ru_maxrss * unit / 1e6}))
    return code


def memory_of(process: psutil.Process) -> float:
    """Megabytes of all its descendants together."""
    total = 0
    with contextlib.suppress(psutil.Error):
        for child in process.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                total += child.memory_info().rss
    return total / 1e6


def slope(seen: list[tuple[float, int]], streams: int) -> float:
    """Completed requests a second while every stream was busy; a line, as they end in bursts at first."""
    last = seen[-1][1]
    steady = [(at, count) for at, count in seen if streams <= count <= last - streams]
    if len({at for at, _ in steady}) < 3:
        return math.nan
    times, counts = zip(*steady, strict=True)
    return statistics.linear_regression(times, counts).slope


def run(name: str, command: Sequence[str], streams: int, seconds: int) -> Run:
    """One run of one tool against a mock of its own; RuntimeError with the end of its output if it fails."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        directory = Path(folder)
        spec = f"ttft={TTFT_MS}ms,itl={ITL_MS}ms,tokens={TOKENS}"
        mock = stack.enter_context(MockServer(directory, spec))
        work = Work(mock.url, streams, seconds, directory)
        arguments = [str(argument) for argument in TOOLS[name].command(work)]
        environment = clean_environment(mark := uuid.uuid4().hex, OFFLINE)
        if name != "agentlocust":
            environment["PYTHONPATH"] = ""
        usage = directory / "usage.json"
        reaper = [sys.executable, __file__, "--reap", str(usage), *command, *arguments]
        process = spawn(reaper, directory, environment, name)
        stack.callback(end, process, mark)
        seen, together = watch(process, mock, time.monotonic() + 2 * START_S + 6 * seconds)
        if process.returncode != 0:
            output = "".join(
                (directory / f"{name}.{kind}").read_text(errors="replace") for kind in ("stdout", "stderr")
            )
            state = "did not end in time" if process.returncode is None else f"ended with {process.returncode}"
            message = f"{state}:\n{output[-3000:]}"
            raise RuntimeError(message)
        truth = mock.final_truth()
        used = json.loads(usage.read_text())
        told = TOOLS[name].ttft(directory)
    seen.append((time.monotonic(), truth["completed"]))
    tokens = truth["tokens"]["output"] / (truth["completed"] or 1)
    return Run(
        requests=truth["requests"],
        unsuccessful=truth["failed"] + truth["aborted"],
        tokens=tokens,
        achieved=slope(seen, streams) * (TTFT_MS + (tokens - 1) * ITL_MS) / 1000 / streams,
        ttft=told,
        true_ttft=(truth["ttft_s"]["p50"] * 1000, truth["ttft_s"]["p99"] * 1000),
        together_mb=together,
        **used,
    )


def watch(process: subprocess.Popen[bytes], mock: MockServer, deadline: float) -> tuple[list[tuple[float, int]], float]:
    """What the mock had completed, five times a second until the end, and the most memory seen in any second."""
    seen: list[tuple[float, int]] = []
    together, tree = 0.0, psutil.Process(process.pid)
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(TimeoutError):  # a mock that is far behind answers when it can
            seen.append((time.monotonic(), mock.truth()["completed"]))
        if len(seen) % 5 == 0:
            together = max(together, memory_of(tree))
        time.sleep(0.2)
    return seen, together


def end(process: subprocess.Popen[bytes], mark: str) -> None:
    """Nothing of a tool outlives its run."""
    for left in processes_of(mark):
        with contextlib.suppress(psutil.Error):
            left.kill()
    process.wait()


# -- the table --------------------------------------------------------------------------------


def measure(name: str, command: Sequence[str], streams: int, sizes: Sequence[int]) -> Row:
    """A short and a long run; the second's times, and the difference of their costs."""
    short, long = (run(name, command, streams, seconds) for seconds in sizes)
    if long.unsuccessful:
        print(f"{name}: {long.unsuccessful} of {long.requests} requests failed or were given up", file=sys.stderr)
    if long.tokens != TOKENS:
        print(f"{name}: its replies had {long.tokens:g} tokens, for it asked for no more", file=sys.stderr)
    cpu_ms = (long.cpu_s - short.cpu_s) / (long.requests - short.requests) * 1000
    (p50, p99), (true_p50, true_p99) = long.ttft, long.true_ttft
    bias = (p50 - true_p50, p99 - true_p99)
    cost = (cpu_ms, cpu_ms / long.tokens * 1000, long.largest_mb, long.together_mb)
    return Row(long.achieved, p50, bias[0], p99, bias[1], *cost)


def main() -> None:
    """Measure what was asked for and print a row at a time."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--tools", default=",".join(TOOLS))
    parser.add_argument("--streams", default="64,256")
    parser.add_argument("--seconds", default="5,40", help="of a short and a long run, whole")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--venvs", type=Path, default=cache / "agentlocust-peers", help="a folder a tool: %(default)s")
    parser.add_argument("--install", action="store_true", help="set up missing aiperf and evalscope there, and end")
    options = parser.parse_args()
    names, venvs = options.tools.split(","), options.venvs.resolve()
    if unknown := set(names) - set(TOOLS):
        parser.error(f"no such tool: {', '.join(sorted(unknown))}; there are {', '.join(TOOLS)}")
    if options.install:
        install(names, venvs)
        return
    sizes = [int(size) for size in options.seconds.split(",")]
    print(
        "tool             version  streams  achieved    TTFT p50 (bias)       TTFT p99 (bias)    "
        "CPU ms/request  us/token    memory, largest/all"
    )
    for name in names:
        command = found(name, venvs)
        if command is None:
            print(f"{name:<16} left out: not in {venvs} nor on PATH")
            continue
        version = version_of(name, command)
        for streams in map(int, options.streams.split(",")):
            try:
                rows = [measure(name, command, streams, sizes) for _ in range(options.repeat)]
            except (OSError, LookupError, RuntimeError, TypeError, ValueError) as error:  # or it wrote something else
                print(f"{name:<16} {version:>7}{streams:>9}  failed", flush=True)
                print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
                continue
            row = Row(*(statistics.median(values) for values in zip(*map(astuple, rows), strict=True)))
            print(
                f"{name:<16} {version:>7}{streams:>9}{row.achieved:>10.1%}"
                f"{row.ttft_p50:>9.1f} ({row.ttft_p50_bias:+.1f}) ms{row.ttft_p99:>11.1f} ({row.ttft_p99_bias:+.1f}) ms"
                f"{row.cpu_ms:>13.2f}{row.cpu_us:>12.1f}{row.largest_mb:>12.0f} / {row.together_mb:.0f} MB",
                flush=True,
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--reap"]:
        sys.exit(reap(sys.argv[2], sys.argv[3:]))
    main()
