"""The `agentlocust` command: one small function a subcommand, each importing what it needs when run."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agentlocust.errors import AgentLocustError, ConfigError
from agentlocust.gonogo.command import gonogo
from agentlocust.init_command import init
from agentlocust.runs_command import runs

if TYPE_CHECKING:
    from agentlocust.faults.plan import FaultPlan


class _Commands(click.Group):
    """A group whose commands end with one message: exit code 2 when the user's input is bad, 1 when all else fails."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            click.echo(f"agentlocust: {error}", err=True)
            ctx.exit(2)
        except AgentLocustError as error:
            click.echo(f"agentlocust: {error}", err=True)
            ctx.exit(1)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Load-test LLM agents with Locust."""


main.add_command(gonogo)
main.add_command(init)
main.add_command(runs)


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=0, show_default=True, help="Port to listen on; 0 is a free one.")
@click.option("--spec", default="", help="How it behaves: ttft=200ms,itl=20ms,tokens=64,...")
@click.option("--seed", type=click.IntRange(min=0), help="What its answers are drawn from; drawn if absent.")
@click.option("--faults", default="", help="What goes wrong with its replies on purpose: a line or a file.")
@click.option("--replay", type=click.Path(path_type=Path), help="Serve what `agentlocust proxy --record` wrote.")
@click.option("--speed", type=float, default=1.0, show_default=True, help="How many times as fast as recorded.")
def mock(host: str, port: int, spec: str, seed: int | None, faults: str, replay: Path | None, speed: float) -> None:
    """Serve a mock LLM that speaks OpenAI's and Anthropic's APIs, or a recorded session again."""
    from agentlocust.mock.serve import serve, serve_cassette

    if replay is not None:
        for option, given in (("--spec", spec), ("--faults", faults)):
            if given:
                raise ConfigError("a cassette says how it behaves", where=option, hint=f"leave {option} out")
        serve_cassette(host, port, replay, speed, secrets.token_hex(8))
        return
    _faults_of_server(faults)
    chosen = secrets.randbits(32) if seed is None else seed
    serve(host, port, spec, chosen, secrets.token_hex(8), faults=faults)


@main.command()
@click.option("--upstream", required=True, help="Where requests go: https://api.openai.com")
@click.option("--tool", multiple=True, metavar="NAME=URL", help="A tool's API, served below /NAME/; repeatable.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=0, show_default=True, help="Port to listen on; 0 is a free one.")
@click.option("--budget", multiple=True, metavar="USD", help="$2, $0.50/min or $0.05/run; repeatable.")
@click.option("--record", type=click.Path(path_type=Path), help="Write a cassette that `mock --replay` serves.")
@click.option("--texts", type=click.Choice(["keep", "hash"]), default="keep", show_default=True, help="In a cassette.")
@click.option("--calls", type=click.Path(path_type=Path), help="Append a line of figures for each request to a file.")
@click.option("--pricing", multiple=True, type=click.Path(path_type=Path), help="A price file of your own.")
@click.option("--timeout", default="600s", show_default=True, help="How long the upstream may take to answer.")
@click.option("--faults", default="", help="What goes wrong with what passes on purpose: a line or a file.")
@click.option("--seed", type=click.IntRange(min=0), help="What its faults are drawn from; drawn if absent.")
def proxy(
    upstream: str,
    tool: tuple[str, ...],
    host: str,
    port: int,
    budget: tuple[str, ...],
    record: Path | None,
    texts: str,
    calls: Path | None,
    pricing: tuple[Path, ...],
    timeout: str,
    faults: str,
    seed: int | None,
) -> None:
    """Stand before an LLM API or a tool's, meter what passes, keep it within a budget, record it."""
    from agentlocust.budget import Budget
    from agentlocust.proxy.serve import Plan, serve
    from agentlocust.proxy.tools import read_tools
    from agentlocust.units import parse_duration
    from agentlocust.wire.target import Target

    plan = Plan(
        Target.parse(upstream, where="--upstream"),
        host,
        port,
        tools=read_tools(tool),
        budget=Budget.parse(budget),
        pricing=pricing,
        record=record,
        texts=texts,
        calls=calls,
        timeout_s=parse_duration(timeout),
        faults=_faults_of_server(faults),
        seed=secrets.randbits(32) if seed is None else seed,
    )
    serve(plan)


@main.command()
@click.argument("model")
@click.option("--input", "input_tokens", type=click.IntRange(0, 10**12), default=0, help="All input, cached included.")
@click.option("--output", "output_tokens", type=click.IntRange(0, 10**12), default=0, help="All output tokens.")
@click.option("--cached", type=click.IntRange(0, 10**12), default=0, help="Input read from the cache.")
@click.option("--cache-write", type=click.IntRange(0, 10**12), default=0, help="Input written to the cache.")
@click.option("--tier", default="standard", show_default=True, help="Or batch, flex, priority, fast.")
@click.option("--pricing", multiple=True, type=click.Path(path_type=Path), help="A price file of your own.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def price(model: str, **options: Any) -> None:
    """Say what a call of MODEL costs, line by line, and where the price comes from."""
    from agentlocust.pricing.quote import quote

    click.echo(quote(model, **options))


@main.command()
def options() -> None:
    """Show the options that a locustfile with agentlocust adds to `locust`.

    Locust's own --help is printed before it has read a locustfile, so it cannot show them.
    """
    from agentlocust.lifecycle.options import help_text

    click.echo(help_text())


@main.command()
@click.argument("name", default="")
def shapes(name: str) -> None:
    """List the load shapes for --shape, or the keys of one of them."""
    from agentlocust.shapes.spec import NAMES, keys_text

    if not name:
        for kind in NAMES.values():
            click.echo(f"{kind.name:<16} {kind.asks}")
        return
    click.echo(keys_text(name))


@main.command()
@click.argument("name", default="")
def faults(name: str) -> None:
    """List the faults and scenarios for --faults, or the keys of one of them."""
    from agentlocust.faults.describe import list_text, one_text

    click.echo(one_text(name) if name else list_text())


@main.command()
@click.option(
    "--ttft", type=click.FloatRange(1, 60_000), default=200.0, show_default=True, help="The mock's TTFT, milliseconds."
)
@click.option(
    "--itl",
    type=click.FloatRange(0.1, 10_000),
    default=20.0,
    show_default=True,
    help="The mock's time between tokens, milliseconds.",
)
@click.option(
    "--seconds", type=click.FloatRange(3, 3600), default=8.0, show_default=True, help="How long each load is held."
)
@click.option("--out", default="results", show_default=True, type=click.Path(path_type=Path), help="Where it is kept.")
def calibrate(ttft: float, itl: float, seconds: float, out: Path) -> None:
    """Rate this machine: the load one worker can make before its numbers stop being true."""
    from agentlocust.calibration.run import calibrate as run
    from agentlocust.calibration.table import HEAD, rating_line, step_line
    from agentlocust.rating import save_rating

    click.echo(HEAD)
    rating = run(ttft, itl, seconds, lambda step: click.echo(step_line(step)))
    click.echo(rating_line(rating))
    click.echo(f"kept in {save_rating(rating, out)}")


def _faults_of_server(text: str) -> FaultPlan:
    """The plan of the mock or the proxy. Raises ConfigError for one that only the agent's own process can carry out."""
    from agentlocust.faults.plan import FaultPlan

    plan = FaultPlan.parse(text)
    for rule in plan.rules:
        if rule.local:
            what = f"{rule.fault.name} strikes the process that runs the agent, and no server"
            raise ConfigError(what, where="--faults", hint="give it to locust")
    return plan
