"""`agentlocust gonogo CHECKLIST`: one verdict over all the evidence, for a person and for a pipeline."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from agentlocust.errors import ConfigError

READY = {"money": Path(__file__).parent / "money.yaml"}
REPORT_FAILED = 4


@click.command()
@click.argument("checklist", type=click.Path(path_type=Path), required=False)
@click.option("--markdown", type=click.Path(path_type=Path), help="Also write it as Markdown.")
@click.option("--html", type=click.Path(path_type=Path), help="Also write it as a page of HTML.")
@click.option("--init", "kind", type=click.Choice(tuple(READY)), help="Print a ready checklist instead.")
@click.pass_context
def gonogo(ctx: click.Context, checklist: Path | None, markdown: Path | None, html: Path | None, kind: str) -> None:
    """Judge every item of a CHECKLIST by its evidence: GO (exit code 0) or NO-GO (99).

    Paths in the checklist are relative to its own folder.
    """
    if kind:
        if checklist is not None or markdown is not None or html is not None:
            raise ConfigError("--init prints a checklist and judges none", where="--init")
        click.echo(READY[kind].read_text(encoding="utf-8"), nl=False)
        return
    if checklist is None:
        raise ConfigError("which checklist?", hint="agentlocust gonogo --init money > checklist.yaml makes one")
    from rich.console import Console
    from rich.text import Text

    from agentlocust.gonogo import outputs
    from agentlocust.gonogo.checklist import load_checklist
    from agentlocust.gonogo.finding import Scene
    from agentlocust.gonogo.judge import decide
    from agentlocust.report.files import write_text_atomically

    wanted = load_checklist(checklist)
    decision = decide(wanted, Scene(checklist.parent, datetime.now(UTC), wanted.max_age, dict(os.environ)))
    failed = False
    for path, text in ((markdown, outputs.markdown), (html, outputs.html)):
        if path is not None:
            try:
                write_text_atomically(path, text(decision))
            except OSError as error:
                failed = True
                click.echo(f"agentlocust: {path} was not written: {error.strerror or error}", err=True)
    lines = outputs.decision_lines(decision)
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        console = Console(markup=False, highlight=False, emoji=False, soft_wrap=True)
        for line in lines:
            console.print(Text(line.text, style=line.style))
    else:
        encoding = sys.stdout.encoding or "utf-8"
        for line in lines:
            click.echo(line.text.encode(encoding, "replace").decode(encoding))
    ctx.exit(decision.exit_code or (REPORT_FAILED if failed else 0))
