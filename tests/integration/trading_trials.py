"""Tries the trading example's commands as its README has them, with either agent."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import LINGER_S, LOCUST, ROOT, clean_environment, processes_of, wait_until

FOLDER = ROOT / "locustfiles" / "trading"
README = (FOLDER / "README.md").read_text(encoding="utf-8")
COMMANDS = {line.split()[-1]: line for line in re.findall(r"^locust -f .*$", README, re.MULTILINE)}
LASTING = ("rate_limit_storm", "delayed_replies", "sustained_rate", "double_rate")  # in scaled time
OWN_REASON = {  # what the bad agent is told in each
    "flash_crash": "market orders went into the crash",
    "rate_limit_storm": "attempts in the 30 s of the storm",
    "network_partition": "orders were executed a second time",
    "server_error": "sent after a failed one without a look",
    "stuck_position": "no alert within 30 s",
    "delayed_replies": "executed more than 5 s after they were signed",
    "malformed_reply": "the agent crashed (JSONDecodeError",
    "precision": "the agent's cash is wrong by",
    "flat_market": "trades in a market that went nowhere",
    "dns_failure": "no order of the outage went out after it",
    "clock_jump": "signed requests had expired",
    "log_disk_full": "the agent crashed (OSError: [Errno 28]",
    "daily_loss_limit": "orders were sent after the loss limit",
    "session_replay": "more than the band",
    "sustained_rate": "requests failed",
    "double_rate": "requests failed",
    "normal_work": "of the rate limit was used",
}


@dataclass(slots=True)
class Tried:
    """How a command ended; `problems` are what was wrong with that, in words."""

    exit_code: int
    output: str
    summary: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def run_command(directory: Path, command: str, *more: str, **environment: str) -> Tried:
    """Run a command of the README in a directory; nothing of it may stay alive."""
    mark = uuid.uuid4().hex
    if not (directory / "locustfiles").exists():
        (directory / "locustfiles").symlink_to(ROOT / "locustfiles")
    done = subprocess.run(
        [*LOCUST, *shlex.split(command)[1:], *more],
        cwd=directory,
        env=clean_environment(mark, environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    wait_until(lambda: not processes_of(mark), "the exchange and the mock to end", LINGER_S)
    summaries = list(directory.glob("results/latest/summary.json"))
    summary = json.loads(summaries[0].read_text()) if summaries else {}
    return Tried(done.returncode, done.stdout + done.stderr, summary)


def try_scenario(directory: Path, name: str, agent: str) -> Tried:
    """The reference agent is to pass with 0, the bad one to fail with 99 and be told the scenario's own reason."""
    more = () if agent == "reference" else ("--trading-agent", agent)
    tried = run_command(directory, COMMANDS[name], *more)
    wanted = 0 if agent == "reference" else 99
    if tried.exit_code != wanted:
        tried.problems.append(f"exit {tried.exit_code}, not {wanted}\n{tried.output}")
    if wanted and OWN_REASON[name] not in tried.output:
        tried.problems.append(f"not told {OWN_REASON[name]!r}\n{tried.output}")
    if tried.summary.get("totals", {}).get("runs") != 1:
        tried.problems.append(f"not one run\n{tried.output}")
    if tried.summary and tried.summary["test"]["duration_s"] > 30:
        tried.problems.append(f"it took {tried.summary['test']['duration_s']:.0f} s")
    return tried
