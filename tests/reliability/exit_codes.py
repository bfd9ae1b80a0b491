"""Exit codes, in every mode, headless and in a UI that starts and quits: `python tests/reliability/exit_codes.py`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from studies import study  # isort: skip  # puts the harness on the path

from harness import run
from sample_locustfiles import CHAT_SPEC, chat

WAYS = ("local", "processes", "distributed")
IN_REQUEST = """
    @events.request.add_listener
    def crash(**kwargs):
        raise RuntimeError("a listener's bug")
"""
ON_START = """
    @events.test_start.add_listener
    def crash(environment, **kwargs):
        if isinstance(environment.runner, {runner}):
            raise RuntimeError("a listener's bug")
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table of exit codes: what is run, and what the process has to end with."""

    code: int
    text: str
    spec: str = CHAT_SPEC
    with_workers_only: bool = False


FINE = "p95(ttft) < 30s"
ROWS = {
    "pass, failed requests": Row(0, chat("error_rate < 90%", FINE), f"{CHAT_SPEC},errors=server_error:0.3"),
    "failed check": Row(99, chat("p95(ttft) < 1ms")),
    "misspelt metric": Row(2, chat("p95(tfft) < 1s")),
    "90% failed, no error check": Row(99, chat(FINE), f"{CHAT_SPEC},errors=server_error:0.9"),
    "task raises": Row(99, chat(FINE, body='self.chat("Hello"); raise ValueError("a bug of mine")')),
    "no request": Row(3, chat(FINE, body="gevent.sleep(0.1)")),
    "listener, where users run": Row(3, chat(FINE, extra=IN_REQUEST)),
    "listener, master": Row(3, chat(FINE, extra=ON_START.format(runner="MasterRunner")), with_workers_only=True),
    "listener, worker": Row(3, chat(FINE, extra=ON_START.format(runner="WorkerRunner")), with_workers_only=True),
}


def ends_with(directory: Path, row: Row, way: str, *, autostart: bool) -> list[str]:
    """The exit code is the row's and nobody is left behind, both checked by the harness."""
    result = run(directory, row.text, "--mock", row.spec, way=way, autostart=autostart)
    workers_wrong = row.code == 2 and way == "distributed" and any(code != 2 for code in result.worker_exit_codes)
    if result.exit_code != row.code or workers_wrong:
        return [f"exit {result.exit_code}, workers {result.worker_exit_codes}, not {row.code}"]
    requests = sum(summary["totals"]["calls"] for summary in result.summaries)
    return [f"{requests} requests before the refusal"] if row.code == 2 and requests else []


if __name__ == "__main__":
    trials = [
        (f"{name}, {way}{' autoquit' if autostart else ''}", partial(ends_with, row=row, way=way, autostart=autostart))
        for name, row in ROWS.items()
        for way in WAYS
        for autostart in (False, True)
        if way != "local" or not row.with_workers_only
    ]
    study("Exit codes", trials)
