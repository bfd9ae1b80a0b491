"""The Meter turns outcomes into records: usage, price, phase; into the ledger and Locust's events."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from agentlocust.backoff import Repeats
from agentlocust.conventions import Convention, Stamps, times_of
from agentlocust.failures import Failure, FailureKind
from agentlocust.faults.catalogue import explains
from agentlocust.ledger import Ledger
from agentlocust.metrics import SCALE, Unit
from agentlocust.mock.behaviour import split_model
from agentlocust.ordeal import Ordeal, wasted
from agentlocust.pricing import PriceBook
from agentlocust.proxy.runs import METERED
from agentlocust.records import MAIN_PHASE, WARMUP_PHASE, AgentRun, Call, Labels, ToolCall
from agentlocust.redact import Scrubber
from agentlocust.usage import Usage
from agentlocust.users.counting import LocalCounter
from agentlocust.users.faults import Faults
from agentlocust.users.load import Load
from agentlocust.windows import Windows

if TYPE_CHECKING:
    from locust.env import Environment

    from agentlocust.wire.tap import Outcome
    from agentlocust.wire.target import Origin

_MAX_NOTES = 100_000
MARK = "agentlocust"  # in a request event's context: this one is ours
_BUNDLED = 1.1  # output tokens per token event from which a chunk holds several


@dataclass(frozen=True, slots=True)
class Asked:
    """What a call was asked for, as far as its record needs it."""

    name: str
    model: str
    body: bytes
    labels: Labels = ()
    good: Callable[[Call], bool] | None = None
    repeats: Repeats | None = None  # those of its run


class RunNote(NamedTuple):
    """When a run was under way (monotonic nanoseconds), for requests that do not say whose they are."""

    run: str
    name: str
    started_ns: int
    ended_ns: int
    row: tuple[str, str, str, Labels] | None = None  # of its figures: name, model, phase, labels
    failed: str = ""  # in which way, if for nothing that was injected into the request itself


class CallFailed(Exception):  # reads as a sentence in Locust's failures table
    """What Locust's tables show of a failed call, tool or run."""

    def __repr__(self) -> str:
        return str(self)


def attributed(failure: Failure, faults: tuple[str, ...]) -> Failure:
    """The failure, marked when one of the faults that struck the call's last attempt explains it."""
    return replace(failure, injected=True) if faults and explains(faults, failure.kind) else failure


class Meter:
    """Records calls, tools and runs of this process, for one test at a time."""

    def __init__(self, environment: Environment, prices: PriceBook, scrubber: Scrubber) -> None:
        self.environment = environment
        self.ledger = Ledger()
        self.prices = prices
        self.scrubber = scrubber
        self.load = Load(self)
        self.faults = Faults(self.phase_at, lambda name: self.ledger.count(f"fault:{name}"))
        self.mock_url = ""
        self.proxy_url = ""  # where agents are to send what they ask of models, "" without --proxy
        self.seed = 0
        self.warmup_s = 0.0
        self.convention = Convention.AGENTLOCUST
        self.ordeal: Ordeal | None = None
        self._counter = LocalCounter()
        self._notes: list[RunNote] = []
        self._started = time.monotonic()
        self._phases: list[str] = [MAIN_PHASE]
        self._phases_from: list[float] = [0.0]

    def begin(
        self,
        *,
        mock_url: str,
        seed: int,
        warmup_s: float,
        convention: Convention = Convention.AGENTLOCUST,
        models: Iterable[str] = (),
    ) -> None:
        """A test starts: forget the one before; look up the prices of `models` while nobody waits."""
        self.ledger.clear()
        self.ordeal = None
        self.mock_url = mock_url
        self.seed = seed
        self.warmup_s = warmup_s
        self.convention = convention
        for model in models:
            self.prices.price(split_model(model)[0])
        self._phases, self._phases_from = [MAIN_PHASE], [0.0]
        self._started = time.monotonic()

    def expect(self, windows: Windows, age_s: float) -> None:
        """In these windows something will be wrong; the test began `age_s` ago."""
        self.ordeal = Ordeal(self.ledger, windows, time.monotonic() - age_s) if windows else None

    def enter_phase(self, name: str) -> None:
        """What starts from now on belongs to phase `name`."""
        if self.ordeal is not None:
            self.ordeal.enter(name)
        self._phases.append(name)
        self._phases_from.append(time.monotonic())

    def restart(self) -> None:
        """Locust's statistics were reset: forget what was measured, within the same test."""
        self.ledger.clear()
        self.warmup_s = max(self.warmup_s - (time.monotonic() - self._started), 0.0)
        self._started = time.monotonic()

    def phase_at(self, started: float) -> str:
        """The phase of a record that started then (monotonic seconds)."""
        # What was under way at a reset started before 0: that alone makes it no warm-up.
        if self.warmup_s and started - self._started < self.warmup_s:
            return WARMUP_PHASE
        if len(self._phases) == 1:
            return self._phases[0]
        return self._phases[max(bisect_right(self._phases_from, started) - 1, 1)]

    # -- calls ---------------------------------------------------------------------------------

    def record_call(self, outcome: Outcome, asked: Asked, judge: Callable[[Call], str] | None = None) -> Call:
        """Record a call that has ended. `judge` may find its content wrong: it returns the reason."""
        failure = self._scrubbed(outcome.failure, outcome.last_faults)
        cut = failure is not None and failure.kind is FailureKind.CANCELLED
        try:
            usage = self._counter.complete(outcome, asked.model, asked.body, hurried=cut)
            call = self._call(outcome, asked, usage, failure)
            if judge is not None and call.ok and (reason := judge(call)):
                text = self.scrubber.sample(reason)
                wrong = attributed(Failure(FailureKind.CHECK, text, outcome.status), outcome.last_faults)
                call = replace(call, failure=wrong, good=None)
        except BaseException:  # killed while it was counted or judged: the server did answer
            usage = self._counter.complete(outcome, asked.model, asked.body, hurried=True)
            self._keep(self._call(outcome, asked, usage, failure), asked)
            raise
        if asked.good is not None and call.ok:
            call = replace(call, good=asked.good(call))
        self._keep(call, asked)
        if not cut:
            self._tell_locust(call)
        return call

    def _keep(self, call: Call, asked: Asked) -> None:
        self.ledger.add_call(call, self._second())
        if asked.repeats is None and call.failure is not None:
            self._waste(call.usage.total, call.cost_picousd or 0)
        if self.ordeal is not None:
            self.ordeal.call_ended(call, asked.body, asked.repeats)

    def _waste(self, tokens: int, cost_picousd: int) -> None:
        self.ledger.count("wasted_tokens", tokens)
        self.ledger.count("wasted_picousd", cost_picousd)

    def record_judgement(self, outcome: Outcome, asked: Asked) -> Call:
        """Record a call of an LLM judge: apart from all that the target answered, and not in Locust's tables."""
        usage = self._counter.complete(outcome, asked.model, asked.body, hurried=False)
        call = self._call(outcome, asked, usage, self._scrubbed(outcome.failure))
        self.ledger.add_judgement(call)
        return call

    def _call(self, outcome: Outcome, asked: Asked, usage: Usage, failure: Failure | None) -> Call:
        started_ns, decoded = outcome.started_ns, outcome.decoded
        stamps = Stamps(started_ns, decoded.token_ns, decoded.frame_ns, outcome.last_byte_ns)
        times = times_of(stamps, usage.output, self.convention)
        first_output_ns = decoded.first_output_ns
        return Call(
            asked.name,
            asked.model,
            started_ns / 1e9,
            (outcome.ended_ns - started_ns if failure is not None or times is None else times.latency_ns) / 1e9,
            phase=self.phase_at(started_ns / 1e9),
            labels=asked.labels,
            ttft=times.ttft_ns / 1e9 if times is not None else None,
            ttfo=(first_output_ns - started_ns) / 1e9 if first_output_ns else None,
            gaps_ns=times.gaps_ns if times is not None else (),
            tpot_as=times.tpot_ns / 1e9 if times is not None and times.tpot_ns is not None else None,
            bundled=outcome.streamed and usage.output > len(decoded.token_ns) * _BUNDLED + 2,
            connection=outcome.connection,
            usage=usage,
            # A reply that a fault made here was billed by nobody.
            cost_picousd=0 if outcome.made else self._cost(outcome.decoded.model, asked.model, usage),
            failure=failure,
            status=outcome.status,
            attempts=outcome.attempts,
            response_bytes=outcome.response_bytes,
            streamed=outcome.streamed,
            faults=outcome.faults,
            tries=outcome.tries,
        )

    def _cost(self, replied: str, asked: str, usage: Usage) -> int | None:
        # A gateway may answer with another model than was asked for: what answered is what is billed.
        price = (self.prices.price(replied) if replied else None) or self.prices.price(asked)
        if price is None:
            return None if usage.total else 0
        return price.cost(usage)

    def _scrubbed(self, failure: Failure | None, faults: tuple[str, ...] = ()) -> Failure | None:
        if failure is None:
            return None
        return attributed(replace(failure, message=self.scrubber.sample(failure.message)), faults)

    def _tell_locust(self, call: Call) -> None:
        usage = call.usage
        context: dict[str, Any] = {
            MARK: True,
            "model": call.model,
            "input_tokens": usage.input,
            "cache_read_tokens": usage.cache_read,
            "output_tokens": usage.output,
            "reasoning_tokens": usage.reasoning,
            "cost_usd": None if call.cost_picousd is None else call.cost_picousd / SCALE[Unit.USD],
            "ttft_s": call.ttft,
            "attempts": call.attempts,
            "labels": dict(call.labels),
        }
        self._fire("LLM", call.name, call.latency, call.response_bytes, str(call.failure or ""), context)
        if call.ok and call.ttft is not None:
            # A row of its own: an event of its own would count the call twice in the Aggregated row.
            self.environment.stats.entries[(call.name, "TTFT")].log(round(call.ttft * 1000), 0)

    def _fire(self, kind: str, name: str, latency: float, length: int, problem: str, context: dict[str, Any]) -> None:
        self.environment.events.request.fire(
            request_type=kind,
            name=name,
            response_time=latency * 1000,
            response_length=length,
            exception=CallFailed(problem) if problem else None,
            context=context,
        )

    # -- tools, runs, users' own ---------------------------------------------------------------

    def record_tool(self, tool: ToolCall) -> None:
        """Record a tool call that has ended."""
        tool = replace(tool, error=self.scrubber.sample(tool.error)) if tool.error else tool
        self.ledger.add_tool(tool)
        if self.ordeal is not None:
            self.ordeal.tool_ended(tool)
        if not tool.cancelled:
            self._fire("TOOL", tool.name, tool.latency, 0, tool.error, {MARK: True, "labels": dict(tool.labels)})

    def record_run(self, run: AgentRun) -> None:
        """Record an agent run that has ended."""
        run = replace(run, error=self.scrubber.sample(run.error)) if run.error else run
        self._keep_run(run)
        if not run.cancelled:
            entry = self.environment.stats.entries[(run.name, "AGENT")]
            entry.log(round(run.latency * 1000), 0)
            if run.error:
                entry.log_error(run.error)

    def record_proxied(self, call: Call, ended: float, body: bytes = b"", repeats: Repeats | None = None) -> None:
        """Record a call that the proxy saw, which ended then (monotonic): in Locust's table, not in its sum.

        `body` is the same for equal requests, `repeats` those of its run, if that is known.
        """
        self.ledger.add_call(call, max(int(ended - self._started), 0))
        if call.failure is not None:
            self._waste(call.usage.total, call.cost_picousd or 0)  # its run's record knows no call
        if self.ordeal is not None:
            self.ordeal.call_ended(call, body, repeats, alone=True)
        if not call.cancelled:
            entry = self.environment.stats.entries[(call.name, "LLM")]
            entry.log(round(call.latency * 1000), call.response_bytes)
            if call.failure is not None:
                entry.log_error(str(call.failure))

    @property
    def started(self) -> float:
        """When measuring began (monotonic)."""
        return self._started

    def marks(self, origin: Origin) -> list[tuple[str, str]]:
        """The header of a request measured here that goes to the test's own proxy, which would count it again."""
        ours = origin.is_loopback and self.proxy_url == f"http://127.0.0.1:{origin.port}"
        return [(METERED, "1")] if ours else []

    def note_run(self, run: str, record: AgentRun, within: str) -> None:
        """A request to an agent has ended: whoever asked for something meanwhile may have been that agent.

        `within` names the run that it was a part of; only one of its own gets figures from the proxy.
        """
        if self.proxy_url and len(self._notes) < _MAX_NOTES:
            counts = not (within or record.cancelled or record.abandoned)
            row = (record.name, record.model, record.phase, record.labels) if counts else None
            started_ns = round(record.started * 1e9)
            failed = str(record.failure.kind) if record.failure is not None and not record.injected else ""
            self._notes.append(RunNote(run, within or record.name, started_ns, time.monotonic_ns(), row, failed))

    def take_notes(self) -> list[RunNote]:
        """The runs that ended since the last take."""
        notes, self._notes = self._notes, []
        return notes

    def _keep_run(self, run: AgentRun) -> None:
        self.ledger.add_run(run, self._second())
        if not run.inside:  # what it wastes is the other run's
            self._waste(*wasted(run))
        if self.ordeal is not None:
            self.ordeal.run_ended(run)

    def record_request(self, run: AgentRun, response_bytes: int) -> None:
        """Record a run that was one request to an agent: unless cut or left by its user, one of Locust's too."""
        if self.proxy_url:  # the calls that the proxy saw hold what it may tell of itself
            run = replace(run, reported=False, proxied=True)
        self._keep_run(run)
        if run.cancelled or run.abandoned:
            return
        context: dict[str, Any] = {
            MARK: True,
            "model": run.model,
            "input_tokens": run.usage.input,
            "output_tokens": run.usage.output,
            "cost_usd": None if run.cost_picousd is None else run.cost_picousd / SCALE[Unit.USD],
            "ttfe_s": run.ttfe,
            "ttft_s": run.ttft,
            "tool_calls": run.tool_calls,
            "labels": dict(run.labels),
        }
        self._fire("AGENT", run.name, run.latency, response_bytes, run.error, context)

    def record_start(self, name: str, lag_ns: int, late: bool, intended_ns: int) -> None:
        """Record a task of User class `name` that began `lag_ns` after it was to; `late`: no user was free."""
        self.ledger.add_start(name, self.phase_at(intended_ns / 1e9), lag_ns, self._second(), late=late)

    def record_metric(self, metric: str, value: float, name: str, labels: Labels) -> None:
        """Record one value of a user's own metric. Raises ValueError for nan, and for numbers beyond 1e15."""
        self.ledger.add_metric(metric, value, name, self.phase_at(time.monotonic()), labels)

    def _second(self) -> int:
        return int(time.monotonic() - self._started)
