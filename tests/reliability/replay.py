"""Records a session against the mock and replays it at 1x and 10x: same texts, tokens and order, times within 10 ms.

    python tests/reliability/replay.py [--calls 40] [--rounds 1]

Each call is made over a bare connection, one after the other: so the times compared are those of the proxy's
cassette and the replay's pieces, not of a client's queue. A round fails on the first difference; exit code 1.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from harness import MockServer, clean_environment, spawn, wait_until
from proxy_server import CLI, ProxyServer, connect, request

WITHIN_S = 0.010
SPEC = "ttft=lognormal(60ms,0.4),itl=uniform(2ms,14ms),tokens=24"


@dataclass(frozen=True, slots=True)
class Heard:
    """One reply: its status, its body's lines, and the seconds from the request's end to each of its packets."""

    status: int
    body: bytes
    times: tuple[float, ...]


class Replay:
    """`agentlocust mock --replay` in a process of its own."""

    def __init__(self, directory: Path, cassette: Path, speed: str) -> None:
        name = f"replay-{speed}-{time.monotonic_ns()}"
        self._out = directory / f"{name}.stdout"
        command = [*CLI, "mock", "--replay", str(cassette), "--speed", speed]
        self.process: subprocess.Popen[bytes] = spawn(command, directory, clean_environment(name), name)
        wait_until(self._address, "the replay to listen")
        self.url = self._address()

    def _address(self) -> str:
        assert self.process.poll() is None, self._out.with_suffix(".stderr").read_text()
        found = re.search(r"listening on (http://\S+)\n", self._out.read_text())
        return found[1] if found else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(10)


def call(url: str, path: str, body: dict[str, object]) -> Heard:
    """Ask once and note when each piece of the reply's content came."""
    data = request("POST", path, json.dumps(body).encode(), "Authorization: Bearer sk-canary-0123456789")
    content, times, buffer = b"", [], b""
    with connect(url, 30) as connection:
        connection.sendall(data)
        began = time.monotonic()
        while b"\r\n\r\n" not in buffer:
            buffer += connection.recv(65536)
        head, _, buffer = buffer.partition(b"\r\n\r\n")
        sized = re.search(rb"(?i)content-length: (\d+)", head)
        left = int(sized[1]) if sized else -1
        while True:
            if left >= 0:
                content += buffer
                if len(content) >= left:
                    times.append(time.monotonic() - began)
                    break
                buffer = b""
            else:
                done = False
                while (found := re.match(rb"([0-9a-f]+)\r\n", buffer)) is not None:
                    size = int(found[1], 16)
                    if len(buffer) < found.end() + size + 2:
                        break
                    if not size:
                        done = True
                        break
                    content += buffer[found.end() : found.end() + size]
                    times.append(time.monotonic() - began)
                    buffer = buffer[found.end() + size + 2 :]
                if done:
                    break
            part = connection.recv(65536)
            assert part, "the reply was cut"
            buffer += part
    return Heard(int(head.split()[1]), content, tuple(times))


def session(calls: int, seed: int) -> list[tuple[str, dict[str, object]]]:
    """Requests of both providers, streamed and not, some of them twice."""
    drawn = random.Random(seed)
    found: list[tuple[str, dict[str, object]]] = []
    for n in range(calls):
        messages = [{"role": "user", "content": f"question {n % (calls * 3 // 4)}"}]
        stream = drawn.random() < 0.7
        if drawn.random() < 0.5:
            asked: dict[str, object] = {"model": "gpt-4o-mini", "messages": messages, "stream": stream}
            found.append(("/v1/chat/completions", asked))
        else:
            asked = {"model": "claude-sonnet-4-5", "max_tokens": 24, "messages": messages, "stream": stream}
            found.append(("/v1/messages", asked))
    return found


def play(url: str, asked: list[tuple[str, dict[str, object]]]) -> list[Heard]:
    """The whole session, in order."""
    return [call(url, path, body) for path, body in asked]


def differences(first: list[Heard], second: list[Heard], speed: float) -> tuple[list[str], list[float]]:
    """What is not the same, and how far each piece is from when it should have come (seconds)."""
    problems, errors = [], []
    for n, (was, now) in enumerate(zip(first, second, strict=True)):
        if (was.status, was.body) != (now.status, now.body):
            problems.append(f"reply {n} differs")
        errors += [abs(was.times[-1] / speed - now.times[-1]), abs(was.times[0] / speed - now.times[0])]
        if len(was.times) == len(now.times):
            errors += [abs(b - a / speed) for a, b in zip(was.times, now.times, strict=True)]
    return problems, errors


def main() -> int:
    """Rounds of record and replay; prints a line each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--calls", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    worst = 0
    for number in range(options.rounds):
        asked = session(options.calls, number)
        with tempfile.TemporaryDirectory() as folder:
            directory = Path(folder)
            cassette = directory / "session.jsonl"
            with (
                MockServer(directory, SPEC) as mock,
                ProxyServer(directory, mock.url, "--record", str(cassette)) as proxy,
            ):
                recorded = play(proxy.url, asked)
                proxy.records(len(asked))
            for speed in ("1", "10"):
                with Replay(directory, cassette, speed) as replay:
                    again = play(replay.url, asked)
                problems, errors = differences(recorded, again, float(speed))
                errors.sort()
                p99 = errors[int(len(errors) * 0.99)]
                late = speed == "1" and p99 > WITHIN_S
                worst |= bool(problems) or late
                print(
                    f"round {number} at {speed:>2}x: {len(again)} replies, {len(problems)} differ, "
                    f"times off by {errors[len(errors) // 2] * 1e3:.2f} ms (p50), {p99 * 1e3:.2f} ms (p99), "
                    f"{errors[-1] * 1e3:.2f} ms (most)",
                    flush=True,
                )
                for problem in problems[:5]:
                    print(f"  {problem}")
            secret = "sk-canary" in cassette.read_text()
            worst |= secret
            print(f"  {'A KEY IS IN THE CASSETTE' if secret else 'no key in the cassette'}")
    return worst


if __name__ == "__main__":
    sys.exit(main())
