"""`agentlocust init`: an example locustfile in the current folder, to start from."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from agentlocust.datafiles import data_dir
from agentlocust.errors import ConfigError


def copy_example(name: str, folder: Path, *, force: bool = False) -> Path:
    """Copy the example `name` (with or without `.py`) into `folder` and return its new path.

    Raises ConfigError when there is no such example, or when the file exists and `force` is False.
    """
    examples = {path.stem: path for path in sorted(data_dir("locustfiles").glob("*.py"))}
    example = examples.get(name.removesuffix(".py"))
    if example is None:
        raise ConfigError(f"no example named {name!r}", hint=f"one of: {', '.join(examples)}")
    target = folder / example.name
    if target.exists() and not force:
        raise ConfigError(f"{target.name} exists already", hint="--force replaces it")
    shutil.copyfile(example, target)
    return target


@click.command("init")
@click.argument("example", default="agent")
@click.option("--force", is_flag=True, help="Replace a file of the same name.")
def init(example: str, force: bool) -> None:
    """Copy an EXAMPLE locustfile (agent, unless named) into this folder."""
    target = copy_example(example, Path.cwd(), force=force)
    click.echo(f"Wrote {target.name}. Run it, with no key and nothing to pay:")
    click.echo(f"  locust -f {target.name} --headless -u 10 -t 20s")
