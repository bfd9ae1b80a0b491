"""What load a test is to make, as options and User classes ask for it."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from agentlocust.errors import ConfigError
from agentlocust.records import MAIN_PHASE
from agentlocust.shapes.arrivals import Law, parse_rates
from agentlocust.shapes.dataset import Dataset, load_dataset
from agentlocust.shapes.patterns import BUILTIN, load_patterns
from agentlocust.shapes.prompts import PromptSpec
from agentlocust.shapes.spec import parse_shape
from agentlocust.shapes.stage import Finding, Load, Program, Seen, Shape, Stage
from agentlocust.shapes.trace import Trace, load_trace
from agentlocust.units import parse_duration
from agentlocust.users.base import AgentUser

POOL_S = 10.0  # open loop without --users: as many as hold the rate when a task takes this long
LEAST_POOL, MOST_POOL = 10, 1000
OVERTIME_S = 60.0  # after a trace's end, for arrivals that have found no free user


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """The load of a test. `shape` is None when Locust drives it alone, by -u, -r and -t.

    In the open loop `shares` holds each User class's part of the rate (their sum is 1), `laws` how
    its arrivals are spaced, and `pool` the users who serve them; `traces` has each class's recorded
    ones. `sizes` are those asked for of prompts and of replies. `notes` are what people should know of
    the files.
    """

    shape: Shape | None = None
    shares: Mapping[str, float] = field(default_factory=dict)
    laws: Mapping[str, Law] = field(default_factory=dict)
    pool: int = 0
    run_time_s: float = 0.0
    calls: int = 0
    runs: int = 0
    traces: Mapping[str, Trace] = field(default_factory=dict)
    dataset: Dataset | None = None
    sizes: tuple[str, str] = ("", "")
    notes: tuple[str, ...] = ()

    @property
    def driven(self) -> bool:
        """True when the pack drives the load, not Locust."""
        return self.shape is not None

    @property
    def open_loop(self) -> bool:
        """True when tasks begin at a rate."""
        return bool(self.shares or self.traces)


def read_load(options: argparse.Namespace, users: Sequence[type[AgentUser]]) -> LoadPlan:
    """The load that options ask for, else the classes' own. Raises ConfigError."""
    calls, runs = int(options.agentlocust_calls), int(options.agentlocust_agent_runs)
    for number, option in ((calls, "--calls"), (runs, "--agent-runs")):
        if number < 0:
            raise ConfigError(f"{number} is not a number of them", where=option, hint="write 1000, or 0 for no end")
    if calls and runs:
        raise ConfigError("--calls and --agent-runs both end the test", where="--agent-runs", hint="give one of them")
    sizes = (options.agentlocust_prompt_tokens, options.agentlocust_output_tokens)
    spec = PromptSpec.parse(*sizes)
    dataset = load_dataset(options.agentlocust_dataset) if options.agentlocust_dataset else None
    if dataset is not None and spec.input is not None:
        what = "a dataset's prompts have their own sizes"
        raise ConfigError(what, where="--prompt-tokens", hint="leave out --dataset or --prompt-tokens")
    if options.agentlocust_trace:
        return _replayed(options, users, LoadPlan(calls=calls, runs=runs, dataset=dataset, sizes=sizes))
    rates, laws = _rates(options, users)
    shape = _shape(options, users, sum(rates.values()) or None)
    if shape is None and rates:
        shape = _steady(options, sum(rates.values()))
    run_time_s = float(options.run_time or 0)
    shares: Mapping[str, float] = {}
    pool = 0
    if shape is not None and shape.load is Load.RATE:
        shares = _shares(rates, users)
        laws = {name: laws.get(name) or Law.parse(options.agentlocust_arrivals, where="--arrivals") for name in shares}
        pool = _pool(options, shape.most)
    elif rates:
        raise ConfigError(
            f"the shape {shape.name} counts users, --rate arrivals" if shape else "nothing uses the rate",
            where="--rate",
            hint="leave one out, or write the shape's levels as rates, such as from=10/s",
        )
    return LoadPlan(shape, shares, laws, pool, run_time_s, calls, runs, dataset=dataset, sizes=sizes)


def given_users(options: argparse.Namespace) -> int | None:
    """-u, None when it was left out; the web form's 1 is its way to leave it out."""
    users = options.num_users
    return int(users) if users and (options.headless or options.autostart or users != 1) else None


def _shape(options: argparse.Namespace, users: Sequence[type[AgentUser]], base_rate: float | None) -> Shape | None:
    text, where = options.agentlocust_shape.strip(), "--shape"
    if not text:
        set_by = {cls.shape: cls.__name__ for cls in users if cls.shape}
        if len(set_by) > 1:
            names = " and ".join(set_by.values())
            raise ConfigError(f"{names} set different shapes", where="shape", hint="a test has one: give --shape")
        if not set_by:
            return None
        text, where = next((shape, f"{name}.shape") for shape, name in set_by.items())
    try:
        scale = float(options.agentlocust_time_scale)
    except ValueError:
        scale = math.nan
    if not 0 < scale <= 1:
        wrong = options.agentlocust_time_scale
        raise ConfigError(f"{wrong!r} is not a scale", where="--time-scale", hint="write 0.1 for a tenth of the time")
    own = load_patterns(options.agentlocust_patterns) if options.agentlocust_patterns else {}
    try:
        return parse_shape(
            text,
            users=given_users(options),
            spawn_rate=options.spawn_rate if given_users(options) else None,
            run_time=float(options.run_time) if options.run_time else None,
            rate=base_rate,
            time_scale=scale,
            patterns={**BUILTIN, **own},
        )
    except ConfigError as error:
        raise ConfigError(error.what, where=error.where.replace("--shape", where, 1), hint=error.hint) from None


def _rates(options: argparse.Namespace, users: Sequence[type[AgentUser]]) -> tuple[dict[str, float], dict[str, Law]]:
    """Arrivals a second of each User class in the open loop, and the laws of those that have their own."""
    names = [cls.__name__ for cls in users]
    given = parse_rates([text for text in options.agentlocust_rate if text.strip()], where="--rate")
    for name in given:
        if name and name not in names:
            hint = f"the User classes are {', '.join(names)}"
            raise ConfigError(f"no User class {name!r}", where="--rate", hint=hint)
    rates = {name: rate for name, rate in given.items() if name}
    laws = {}
    if not given:
        for cls in users:
            if cls.arrivals is not None:
                rates[cls.__name__], laws[cls.__name__] = cls.arrivals.rate_per_s, cls.arrivals.law
    if "" in given:  # shared by weight among those that have none of their own
        others = [cls for cls in users if cls.__name__ not in rates]
        if not others:
            raise ConfigError("no User class is left for the rate without a name", where="--rate", hint="leave it out")
        weight = sum(cls.weight for cls in others)
        rates |= {cls.__name__: given[""] * cls.weight / weight for cls in others}
    return rates, laws


def _shares(rates: Mapping[str, float], users: Sequence[type[AgentUser]]) -> dict[str, float]:
    parts = rates or {cls.__name__: cls.weight for cls in users}
    return {name: part / sum(parts.values()) for name, part in parts.items()}


def _pool(options: argparse.Namespace, most: float) -> int:
    return given_users(options) or min(max(math.ceil(most * POOL_S), LEAST_POOL), MOST_POOL)


def _steady(options: argparse.Namespace, rate: float) -> Shape:
    """The same rate from start to end."""
    seconds = math.inf
    if options.run_time:
        seconds = max(float(options.run_time) - parse_duration(options.agentlocust_warmup), 0.0)
    return _single(Load.RATE, rate, seconds, {"rate": f"{rate:g}/s"})


def _replayed(options: argparse.Namespace, users: Sequence[type[AgentUser]], plan: LoadPlan) -> LoadPlan:
    """A plan whose arrivals are a trace's."""
    trace = load_trace(options.agentlocust_trace)
    for option, value in (("--rate", options.agentlocust_rate), ("--shape", options.agentlocust_shape)):
        if any(text.strip() for text in ([value] if isinstance(value, str) else value)):
            raise ConfigError("a trace has its own arrivals", where=option, hint="leave it or --trace out")
    names = [cls.__name__ for cls in users]
    only = names[0] if len(names) == 1 else ""
    traces = {name or only: trace.of_class(name) for name in trace.classes}
    for name in traces:
        if name not in names:
            what = f"no User class {name!r}" if name else "which User class replays it?"
            hint = f"write --trace {trace.source}:class={names[0] if names else 'NAME'}"
            raise ConfigError(what, where="--trace", hint=hint)
    length_s = trace.length_ns / 1e9
    rate = len(trace) / max(length_s, 1.0)
    seconds, warmup_s = float(options.run_time or math.inf), parse_duration(options.agentlocust_warmup)
    whole: Callable[[Seen], bool] | None = None if trace.loop else (lambda seen: seen.begun >= len(trace))
    if whole is not None:
        seconds = min(seconds, length_s + OVERTIME_S)
    settings = {"trace": options.agentlocust_trace, "arrivals": len(trace)}
    shape = _single(Load.RATE, rate, max(seconds - warmup_s, 0.0), settings, whole, max(length_s - warmup_s, 0.0))
    return LoadPlan(
        shape,
        pool=_pool(options, rate),
        run_time_s=float(options.run_time or 0),
        calls=plan.calls,
        runs=plan.runs,
        traces=traces,
        dataset=plan.dataset,
        sizes=plan.sizes,
        notes=trace.notes,
    )


def _single(
    load: Load,
    level: float,
    seconds: float,
    settings: Mapping[str, object],
    enough: Callable[[Seen], bool] | None = None,
    at_least: float = 0.0,
) -> Shape:
    def program() -> Program:
        yield Stage.hold(MAIN_PHASE, seconds, level, enough, at_least)
        return Finding()

    return Shape(MAIN_PHASE, load, settings, level, seconds, program)
