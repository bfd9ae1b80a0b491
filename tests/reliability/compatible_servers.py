"""The examples, unchanged, against OpenAI-compatible servers that nobody here wrote.

`python tests/reliability/compatible_servers.py` installs each server from the package index into a
virtual environment of its own (kept in `--venvs`), starts it on a free loopback port, runs the real
`locust` with `chat.py` and `agent.py`, streamed and not, prints a row a run, and ends with 1 when
something was crashed on, miscounted or mislabelled. `strict` is the Users' default; `lenient` is
`strict_stream = False`, the setting for servers that send no `[DONE]`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import studies  # noqa: F401  # isort: skip  # puts the harness on the path

import foreign_servers
from foreign_servers import LITELLM_KEY, Venv
from harness import ROOT, LocustTest, MockServer, Result
from oracle import differences

MODEL = "gpt-4o-mini"
USERS = {"chat": "Chat", "agent": "Support"}
MODES = {
    "streamed": {},
    "lenient": {"strict_stream": False},
    "whole": {"stream": False},
}
VARIANT = """\
import sys

sys.path.insert(0, {folder!r})
import {example}


class Variant({example}.{user}):
{settings}
"""

# What the mock behind the gateway does, and the kinds of failure that may come of it, streamed and whole.
MISHAPS = {
    "status=429": ("rate_limited", "rate_limited"),
    "status=500": ("server_error", "server_error"),
    "status=503": ("overloaded", "overloaded"),
    "status=context_length": ("context_length", "context_length"),
    "status=content_filter": ("content_filter", "content_filter"),
    "cut=3;tokens=6": ("server_error stream_error", "server_error"),  # 500 if it dies before the gateway's first byte
    "error_after=3;tokens=6": ("stream_error", ""),
    "tokens=0": ("empty", "empty"),
    "usage=no;tokens=6": ("", ""),
    "done=no;tokens=6": ("", ""),
    "reasoning_tokens=20;cached=0.5": ("", ""),
    "bundle=4;tokens=12": ("", ""),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One run of an example against a server; `told` means the tokens were the server's own count."""

    server: str
    example: str
    mode: str
    result: Result
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        totals = self.result.summaries[0]["totals"] if self.result.summaries else {}
        tokens = totals.get("tokens", {})
        counted = f"{tokens.get('input', 0)}/{tokens.get('output', 0)}"
        usage = "estimated" if tokens.get("estimated") else "told" if tokens.get("output") else "none"
        kinds = ", ".join(f"{kind} {n}" for kind, n in failures(self.result).items()) or "-"
        return (
            f"{self.server:<20} {self.example:<35} {self.mode:<9} {totals.get('calls', 0):>5} {kinds:<19}"
            f" {counted:>11} {usage:<9} {self.result.exit_code:>4}  {'; '.join(self.problems) or 'ok'}"
        )


def failures(result: Result) -> dict[str, int]:
    """How many calls failed, by kind."""
    found: dict[str, int] = {}
    for summary in result.summaries:
        for row in summary["rows"]:
            if row["kind"] == "LLM":
                for kind, number in row["failures"].items():
                    found[kind] = found.get(kind, 0) + number
    return found


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs: its name and version, and the mock behind it where it is a gateway."""

    name: str
    url: str
    key: str = ""
    mock: MockServer | None = None

    def run(
        self, example: str, mode: str, *, kinds: str = "", spec: str = "", key: str = "", run_time: str = "5s"
    ) -> Row:
        """Run an example. Every call must fail in one of `kinds`, or none where there are none.

        `spec` is what the mock behind a gateway does; a `key` of its own is one the server does not know.
        """
        settings = {**MODES[mode], **({"model": f"{MODEL}@{spec}"} if spec else {})}
        if self.mock is not None:
            self.mock.reset()
        with tempfile.TemporaryDirectory(prefix="agentlocust-") as folder:
            with LocustTest(
                Path(folder),
                self._locustfile(example, settings),
                "--host",
                self.url,
                users=3,
                run_time=run_time,
                stop_timeout="30",
                env={"OPENAI_API_KEY": key or self.key} if key or self.key else None,
            ) as test:
                result = test.finish(90)
            problems = self._problems(result, kinds.split(), spec)
        return Row(self.name, f"{example} {'unknown key' if key else spec}", mode, result, problems)

    def _locustfile(self, example: str, settings: dict[str, Any]) -> str | Path:
        folder = ROOT / "locustfiles"
        if not settings:
            return folder / f"{example}.py"
        lines = "\n".join(f"    {name} = {value!r}" for name, value in settings.items())
        return VARIANT.format(folder=str(folder), example=example, user=USERS[example], settings=lines)

    def _problems(self, result: Result, kinds: list[str], spec: str) -> list[str]:
        problems = []
        if "Traceback" in result.output:
            problems.append("a traceback was printed")
        if len(result.summaries) != 1:
            return [*problems, f"{len(result.summaries)} summaries"]
        totals = result.summary["totals"]
        found = failures(result)
        if not totals["calls"]:
            problems.append("no call")
        if not set(found) <= set(kinds) or sum(found.values()) != (totals["calls"] if kinds else 0):
            problems.append(f"expected {' or '.join(kinds) or 'no failure'}")
        expected = (1, 99) if kinds else (0, 99)  # a whole reply has no TTFT, which agent.py checks
        if result.exit_code not in expected:
            problems.append(f"exit code not in {expected}")
        if self.mock is None or spec.startswith(("usage=no", "done=no")):  # what the gateway makes up is not the truth
            if not kinds and not totals["tokens"]["output"]:
                problems.append("replies without a token")
        elif not kinds:
            problems += differences(result.summary, self.mock.truth())
        if self.mock is None and totals["tokens"]["estimated"]:
            problems.append("estimated, though the server told")
        return problems


def gateway(venvs: Path, directory: Path) -> Generator[Row, None, None]:
    """LiteLLM's proxy in front of our mock: the totals must be the mock's, each mishap must be named."""
    venv = Venv(venvs / "litellm", "litellm[proxy]")
    name = f"litellm {venv.version('litellm')}"
    models = [MODEL, *(f"{MODEL}@{spec}" for spec in MISHAPS)]
    with (
        MockServer(directory, "ttft=100ms,itl=5ms") as mock,
        foreign_servers.litellm(venv, directory, mock.url, models) as url,
    ):
        warm_up(url, LITELLM_KEY)
        server = Server(name, url, LITELLM_KEY, mock)
        for example in USERS:
            for mode in ("streamed", "whole"):
                yield server.run(example, mode)
        for spec, (streamed, whole) in MISHAPS.items():
            yield server.run("chat", "streamed", spec=spec, kinds=streamed, run_time="2s")
            yield server.run("chat", "whole", spec=spec, kinds=whole, run_time="2s")
        yield server.run(
            "chat", "streamed", spec="tokens=1", kinds="bad_request", run_time="2s"
        )  # it has no such model
        # A comma makes two models of a name: 200, and a JSON array with an error for each.
        yield server.run("chat", "whole", spec="tokens=1,itl=0", kinds="protocol", run_time="2s")
        # To a key that it does not know it answers 400, "No connected db.", as it keeps its keys in one.
        yield server.run("chat", "streamed", key="sk-unknown", kinds="bad_request", run_time="2s")


def inference(venvs: Path, directory: Path) -> Generator[Row, None, None]:
    """`transformers serve` on a tiny model: no [DONE], several tokens a chunk, half characters."""
    venv = Venv(venvs / "transformers", "torch==2.13.0", "transformers[serving]", "accelerate")
    name = f"transformers {venv.version('transformers')}"
    with foreign_servers.transformers_serve(venv, directory, MODEL) as url:
        warm_up(url)
        server = Server(name, url)
        for example in USERS:
            yield server.run(example, "streamed", kinds="truncated_stream")
            yield server.run(example, "lenient")
            yield server.run(example, "whole")


def portal(venvs: Path, directory: Path) -> Generator[Row, None, None]:
    """200 with an HTML body, as a captive portal answers."""
    with foreign_servers.html_portal() as url:
        server = Server("an HTML page", url)
        for example in USERS:
            for mode in ("streamed", "whole"):
                yield server.run(example, mode, kinds="protocol", run_time="2s")


def warm_up(url: str, key: str = "") -> None:
    """Have a server load what it loads at its first call."""
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key or 'none'}"}
    urllib.request.urlopen(urllib.request.Request(f"{url}/v1/chat/completions", body, headers), timeout=60).close()


SERVERS: dict[str, Callable[[Path, Path], Generator[Row, None, None]]] = {
    "portal": portal,
    "transformers": inference,
    "litellm": gateway,
}


def main() -> None:
    """Run what was asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = Path.home() / ".cache" / "agentlocust" / "compatible-servers"
    parser.add_argument("--venvs", type=Path, default=cache, help="where the servers' environments are kept")
    parser.add_argument("--only", choices=SERVERS, help="one server only")
    options = parser.parse_args()
    print(
        f"{'server':<20} {'example':<35} {'mode':<9} {'calls':>5} {'failed':<19}"
        f" {'tokens i/o':>11} {'usage':<9} {'exit':>4}"
    )
    wrong = 0
    for name, rows in SERVERS.items():
        if options.only in (None, name):
            with (
                tempfile.TemporaryDirectory(prefix="agentlocust-") as folder,
                contextlib.closing(rows(options.venvs, Path(folder))) as found,
            ):
                for row in found:
                    print(row, flush=True)
                    wrong += bool(row.problems)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
