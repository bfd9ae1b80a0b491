"""The pack's command-line options, and the one place where they are read and validated."""

from __future__ import annotations

import argparse
import inspect
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from locust.argument_parser import LocustArgumentParser

from agentlocust.budget import Budget, parse_amount
from agentlocust.config import did_you_mean
from agentlocust.conventions import Convention
from agentlocust.errors import ConfigError
from agentlocust.faults.plan import FaultPlan
from agentlocust.lifecycle.load_plan import LoadPlan, read_load
from agentlocust.lifecycle.proxying import ProxyPlan, read_proxy
from agentlocust.lifecycle.spending import check_prices
from agentlocust.lifecycle.watching import WatchPlan, read_watch
from agentlocust.mock.behaviour import parse_spec
from agentlocust.pricing import PriceBook
from agentlocust.sla import Check, Slo, load_checks
from agentlocust.sla.load import with_defaults
from agentlocust.units import parse_duration
from agentlocust.users.base import MOCK_HOST, AgentUser
from agentlocust.users.faults import PLACES
from agentlocust.windows import Window, Windows, parse_windows
from agentlocust.wire.target import Target

STOP_TIMEOUT_S = 30  # without one Locust cuts calls in mid-stream, which are billed all the same
MAX_SEED = 2**31 - 1
MAX_CAPTURED = 1000  # runs
_valid: list[dict[str, Any]] = []  # command lines of this process that were found valid


@dataclass(frozen=True, slots=True)
class Settings:
    """What a test was asked for, validated. `out` is None when nothing is to be written."""

    checks: tuple[Check, ...]
    seed: int
    warmup_s: float
    out: Path | None
    mock: str
    prices: PriceBook
    pricing: tuple[Path, ...]
    allow_saturated: bool
    convention: Convention
    load: LoadPlan
    watch: WatchPlan
    budget: Budget
    guarded: bool  # the test's money is limited, or its runs'
    capture_runs: int
    capture_texts: bool
    windows: Windows
    faults: FaultPlan
    faults_at: str
    proxy: ProxyPlan

    @property
    def faults_of_mock(self) -> str:
        """The plan that the embedded mock carries out."""
        return self.faults.text if self.faults_at == "mock" else ""


def add_options(parser: LocustArgumentParser) -> None:
    """Add the pack's options to Locust's. Called again for each page of the web UI: cheap.

    What may be given several times has one empty text by default: of a list without any, Locust's form
    believes that it holds numbers.
    """
    if any(action.dest == "agentlocust_sla" for action in parser._actions):
        return
    group = parser.add_argument_group("agentlocust", "LLM calls, tokens, dollars and the SLA verdict")

    def add(option: str, **settings: Any) -> None:
        name = option.lstrip("-").replace("-", "_")
        action = group.add_argument(
            option, dest=f"agentlocust_{name}", env_var=f"AGENTLOCUST_{name.upper()}", **settings
        )
        action.include_in_web_ui = True  # a group forgets what the parser would do

    add("--sla", action="append", default=[""], metavar="FILE or EXPR", help="a check, or a file of checks; repeatable")
    add("--budget", action="append", default=[""], metavar="USD", help="$2, $0.50/min or $0.05/run; repeatable")
    add("--capture-runs", type=int, default=0, metavar="N", help="keep the N slowest, dearest, failed runs as trees")
    add("--capture-texts", action="store_true", default=False, help="with what was said in them; needs --capture-runs")
    add("--seed", type=int, default=0, help="makes choices repeat; drawn and printed if absent")
    add("--warmup", default="0s", metavar="TIME", help="time left out of the verdict, e.g. 30s")
    add("--out", default="results", metavar="DIR", help="where the test's directory goes; none for nothing")
    add("--mock", default="", metavar="SPEC", help="how the embedded LLM behaves, e.g. ttft=200ms,itl=20ms,tokens=64")
    add("--allow-saturated", action="store_true", default=False, help="judge a test whose generator could not keep up")
    add("--ttft-as", default="agentlocust", metavar="TOOL", help="whose definitions: vllm, aiperf or guidellm")
    add("--shape", default="", metavar="NAME:K=V,…", help="the load over time, e.g. spike:baseline=10,spike=100")
    add("--time-scale", default="1", metavar="N", help="times every duration of the shape, e.g. 0.1 for a trial")
    add("--patterns", default="", metavar="FILE", help="load patterns of your own, for --shape")
    add("--rate", action="append", default=[""], metavar="RATE", help="open loop: tasks begin at 20/s, or Class=20/s")
    add("--arrivals", default="poisson", metavar="LAW", help="how: poisson, constant, uniform or gamma(k)")
    add("--calls", type=int, default=0, metavar="N", help="stop after exactly N calls over all workers")
    add("--agent-runs", type=int, default=0, metavar="N", help="stop after exactly N agent runs over all workers")
    add("--trace", default="", metavar="FILE", help="replay recorded arrivals and sizes, e.g. azure.csv:speed=2")
    add("--dataset", default="", metavar="FILE", help="prompts for self.prompt(), e.g. prompts.jsonl:order=shuffle")
    add("--prompt-tokens", default="", metavar="N", help="how long self.prompt() is, e.g. 512 or lognormal(512,0.3)")
    add("--output-tokens", default="", metavar="N", help="how long its reply is to be, at most")
    add("--watch", action="append", default=[""], metavar="WHAT", help="a pid, port, name or cmd:PATTERN to watch")
    add("--watch-interval", default="1s", metavar="TIME", help="how often it is read, down to 100ms")
    add("--alert", action="append", default=[""], metavar="RULE", help="e.g. 'memory(target) > 2GB for 9s'; repeatable")
    add("--scrape", action="append", default=[""], metavar="URL", help="a target's Prometheus page; repeatable")
    add("--gpu", action="store_true", default=False, help="watch this machine's NVIDIA GPUs")
    add(
        "--faults",
        default="",
        metavar="PLAN",
        help="what goes wrong on purpose: 'cut(after=10)@30s-60s', or a file",
    )
    add("--faults-at", default="transport", metavar="WHERE", help="who breaks it: transport, mock or proxy")
    add("--proxy", action="append", default=[""], metavar="URL", help="meter what agents ask of it; NAME=URL: a tool's")
    add("--proxy-port", type=int, default=0, metavar="N", help="where the proxy listens; 0: a free port, printed")
    add(
        "--resilience-windows",
        action="append",
        default=[""],
        metavar="WINDOW",
        help="outage@30s-60s, burst@spike",
    )
    add("--pricing", action="append", default=[""], metavar="FILE", help="prices that win over ours; repeatable")
    for action in parser._actions:
        if action.dest == "stop_timeout":
            action.default = str(STOP_TIMEOUT_S)
    _validate_after_parsing(parser)


def help_text() -> str:
    """The pack's options as `--help` would show them."""
    parser = LocustArgumentParser(prog="locust -f FILE", add_help=False, usage="locust -f FILE [options]")
    add_options(parser)
    return str(parser.format_help())


def _validate_after_parsing(parser: LocustArgumentParser) -> None:
    # A bad option must end the process before `--processes` forks: later it would orphan workers.
    parse = parser.parse_args

    def parse_and_validate(*args: Any, **kwargs: Any) -> argparse.Namespace:
        options: argparse.Namespace = parse(*args, **kwargs)
        if vars(options) in _valid:  # each page of the web UI parses the command line again
            return options
        try:
            read_settings(options, user_classes(options))
            if options.host and options.host != MOCK_HOST and user_classes(options):
                Target.parse(options.host)
        except ConfigError as error:
            parser.error(str(error))
        _valid.append(dict(vars(options)))
        return options

    parser.parse_args = parse_and_validate


def user_classes(options: argparse.Namespace) -> list[type[AgentUser]]:
    """The pack's own User classes that this run may start."""
    chosen = getattr(options, "user_classes", None)
    concrete = [cls for cls in AgentUser.concrete if not cls.abstract]
    return [cls for cls in concrete if cls.__name__ in chosen] if chosen else concrete


def read_settings(
    options: argparse.Namespace, users: Sequence[type[AgentUser]], load: LoadPlan | None = None
) -> Settings:
    """Read the pack's options and the classes' own settings. Raises ConfigError.

    `load` is the load that was read before: when a test starts Locust has filled in what -u left open.
    """
    seed = int(options.agentlocust_seed)
    if not 0 <= seed <= MAX_SEED:
        raise ConfigError(f"{seed} is not between 0 and {MAX_SEED}", where="--seed")
    try:
        warmup_s = parse_duration(options.agentlocust_warmup)
    except ConfigError as error:
        raise ConfigError(error.what, where="--warmup", hint=error.hint) from None
    try:
        parse_spec(options.agentlocust_mock)
    except ConfigError as error:
        raise ConfigError(error.what, where=f"--mock {error.where}".strip(), hint=error.hint) from None
    out = str(options.agentlocust_out).strip()
    pricing = tuple(Path(path) for path in options.agentlocust_pricing if path)
    prices = PriceBook.load(pricing)
    budget = Budget.parse(options.agentlocust_budget)
    for cls in users:
        if cls.run_budget:
            parse_amount(cls.run_budget, f"{_place(cls)}.run_budget")
        cls.check_settings()
        cls.check_options(options)
    check_prices(budget, users, prices)
    faults = FaultPlan.parse(options.agentlocust_faults)
    plan = load or read_load(options, users)
    return Settings(
        checks=tuple(_checks(options.agentlocust_sla, users)),
        seed=seed or secrets.randbelow(MAX_SEED) + 1,
        warmup_s=warmup_s,
        out=None if out in ("", "none") else Path(out),
        mock=options.agentlocust_mock,
        prices=prices,
        pricing=pricing,
        convention=_convention(options.agentlocust_ttft_as),
        allow_saturated=bool(options.agentlocust_allow_saturated),
        load=plan,
        watch=read_watch(options),
        budget=budget,
        guarded=bool(budget) or any(cls.run_budget for cls in users),
        capture_runs=_captured(options),
        capture_texts=bool(options.agentlocust_capture_texts),
        faults=faults,
        faults_at=_faults_at(options),
        proxy=read_proxy(options),
        windows=_windows(options, faults, driven=plan.driven),
    )


def _faults_at(options: argparse.Namespace) -> str:
    """Where the plan applies. Raises ConfigError."""
    place = str(options.agentlocust_faults_at).strip().lower() or PLACES[0]
    if place not in PLACES:
        hint = did_you_mean(place, PLACES) or "one of " + ", ".join(PLACES)
        raise ConfigError(f"no place {place!r}", where="--faults-at", hint=hint)
    if place == "mock" and options.agentlocust_faults and options.host not in (None, "", MOCK_HOST):
        what = "the embedded mock is not used: --host names another target"
        raise ConfigError(what, where="--faults-at", hint="leave out --host, or give that mock its own --faults")
    if place == "proxy" and options.agentlocust_faults and not any(options.agentlocust_proxy):
        raise ConfigError("there is no proxy", where="--faults-at", hint="add --proxy https://…")
    return place


def _captured(options: argparse.Namespace) -> int:
    number = int(options.agentlocust_capture_runs)
    if not 0 <= number <= MAX_CAPTURED:
        raise ConfigError(f"{number} is not between 0 and {MAX_CAPTURED}", where="--capture-runs")
    if options.agentlocust_capture_texts and not number:
        raise ConfigError("no runs whose texts could be kept", where="--capture-texts", hint="add --capture-runs 20")
    return number


def _convention(name: str) -> Convention:
    try:
        return Convention(name.strip().lower() or "agentlocust")
    except ValueError:
        known = [convention.value for convention in Convention]
        raise ConfigError(
            f"unknown tool {name!r}", where="--ttft-as", hint=did_you_mean(name, known) or "one of " + ", ".join(known)
        ) from None


def _checks(given: Sequence[str], users: Sequence[type[AgentUser]]) -> list[Check]:
    own = sorted({name for cls in users for name in cls.metrics})
    has_goodput = any(cls.goodput for cls in users)
    checks: dict[Check, None] = {}
    for cls in users:
        place = _place(cls)
        if cls.goodput:
            Slo.parse(cls.goodput, where=f"{place}.goodput")
        if isinstance(cls.sla, str):
            raise ConfigError("sla is one string", where=f"{place}.sla", hint="write a list of checks")
        found = load_checks(cls.sla, own_metrics=own, has_goodput=has_goodput, where=f"{place}.sla")
        checks.update(dict.fromkeys(check for check in found if not check.default))
    found = load_checks(
        [text for text in given if text.strip()], own_metrics=own, has_goodput=has_goodput, where="--sla"
    )
    checks.update(dict.fromkeys(check for check in found if not check.default))
    return with_defaults(list(checks))


def _place(cls: type[AgentUser]) -> str:
    try:
        file, line = inspect.getsourcefile(cls), inspect.getsourcelines(cls)[1]
    except (OSError, TypeError):
        return cls.__name__
    return f"{Path(file).name}:{line}:{cls.__name__}" if file else cls.__name__


def _windows(options: argparse.Namespace, faults: FaultPlan, *, driven: bool) -> Windows:
    """Those that are named, and those of the fault plan that have a beginning and an end. Raises ConfigError."""
    named = parse_windows(options.agentlocust_resilience_windows, "--resilience-windows")
    if named.phased and not driven:
        name, phase = named.phased[0]
        what = f"{name} is for the phase {phase}, and the test has no shape"
        raise ConfigError(what, where="--resilience-windows", hint="add --shape, or write outage@30s-60s")
    planned = {
        Window(rule.fault.name, window.start_s, window.end_s)
        for rule in faults.rules
        for window in rule.windows
        if not window.phase and math.isfinite(window.end_s)
    }
    phases = [(rule.fault.name, window.phase) for rule in faults.rules for window in rule.windows if window.phase]
    return Windows.of([*named.all, *planned], [*named.phased, *(phases if driven else ())])
