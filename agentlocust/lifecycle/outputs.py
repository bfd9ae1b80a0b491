"""What a finished test leaves behind: its directory, and the summary that is printed last."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from agentlocust.redact import Scrubber
from agentlocust.report.files import write_text_atomically
from agentlocust.report.runs import write_runs
from agentlocust.sla import decide
from agentlocust.summary import Summary, dump_summary
from agentlocust.summary.model import CheckResult

if TYPE_CHECKING:
    from agentlocust.lifecycle.load_test import LoadTest

logger = logging.getLogger(__name__)


class Outputs:
    """Writes each test's files and prints its summary, at once or when the process quits."""

    def __init__(self, scrubber: Scrubber, stream: TextIO, *, print_last: bool) -> None:
        self._scrubber = scrubber
        self._stream = stream
        self._print_last = print_last
        self._unprinted: list[str] = []

    def write(self, test: LoadTest, summary: Summary, results: Sequence[CheckResult]) -> int:
        """Write the test's directory, queue or print its summary. Returns the test's exit code."""
        folder = None
        if test.settings.out is not None:
            try:
                folder = _own_folder(test.settings.out, test.id)
                text = self._scrubber.scrub(dump_summary(summary))
                write_text_atomically(folder / "summary.json", text)
                write_runs(folder, test.ledger.captured.lines(), self._scrubber.scrub)
                if test.proxied is not None:
                    calls = "".join(f"{line}\n" for line in test.proxied.lines())
                    write_text_atomically(folder / "calls.jsonl", self._scrubber.scrub(calls))
                _point_latest(test.settings.out, folder)
            except OSError as error:
                logger.error("agentlocust: the report could not be written: %s", error)  # noqa: TRY400  # a full disk is no bug
                summary.verdict = decide(summary, results, report_failed=True)
        from agentlocust.report.console import render  # rich: 2.7 MB that a start, and a worker, do without

        self._unprinted.append(self._scrubber.scrub(render(summary, f"{folder}/" if folder is not None else "")))
        if not self._print_last:
            self.print_rest()
        assert summary.verdict is not None
        return summary.verdict.exit_code

    def print_rest(self) -> None:
        """Print what has not been printed."""
        for text in self._unprinted:
            self._stream.write(f"\n{text}")
        self._stream.flush()
        self._unprinted.clear()


def _own_folder(out: Path, name: str) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    for number in range(1, 1000):
        folder = out / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise FileExistsError(f"{out / name} and 998 like it exist")


def _point_latest(out: Path, folder: Path) -> None:
    temporary = out / f".latest-{os.getpid()}"
    try:
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(folder.name)
        temporary.replace(out / "latest")
    except OSError as error:  # a file system without links: a convenience less, not a failed report
        logger.debug("no link to the latest test: %s", error)
