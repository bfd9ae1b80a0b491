"""`agentlocust runs DIR`: the runs that a test captured, and one of them as a waterfall."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click

from agentlocust.errors import ConfigError


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), default=Path("results/latest"))
@click.option("--run", "number", type=click.IntRange(min=1), help="Show this one of the list as a waterfall.")
@click.option(
    "--sort", type=click.Choice(("slowest", "dearest", "failed")), help="In this order; else as they were kept."
)
def runs(directory: Path, number: int | None, sort: str | None) -> None:
    """Show the agent runs that a test kept with --capture-runs (DIRECTORY: its own, or the latest)."""
    from rich.console import Console
    from rich.text import Text

    from agentlocust.report.runs import read_runs
    from agentlocust.report.waterfall import list_lines, ordered, waterfall_lines

    found = ordered(read_runs(directory), sort or "")
    if number is not None and number > len(found):
        raise ConfigError(f"there is no run {number}", where="--run", hint=f"from 1 to {len(found)}")
    width = shutil.get_terminal_size((100, 24)).columns
    lines = list_lines(found, width)
    if number is not None or len(found) == 1:
        lines = waterfall_lines(found[(number or 1) - 1], width)
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        encoding = sys.stdout.encoding or "utf-8"
        for line in lines:
            click.echo(line.text.encode(encoding, "replace").decode(encoding))
        return
    console = Console(markup=False, highlight=False, emoji=False, soft_wrap=True)
    for line in lines:
        console.print(Text(line.text, style=line.style))
