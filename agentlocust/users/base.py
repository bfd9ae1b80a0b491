"""AgentUser: a Locust user that calls an LLM, runs tools and agent tasks, and is measured."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from locust import User
from locust.user.task import LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING

from agentlocust.budget import Refused, Reserved, cost_of
from agentlocust.dialects.base import Decoded, Dialect
from agentlocust.failures import Failure, FailureKind
from agentlocust.faults import injection
from agentlocust.mock.behaviour import split_model
from agentlocust.pricing.worst_case import output_limit
from agentlocust.records import Call, Labels
from agentlocust.shapes.arrivals import Arrivals
from agentlocust.shapes.gate import Gate
from agentlocust.shapes.prompts import Prompt
from agentlocust.shapes.schedule import Start
from agentlocust.sla import Slo
from agentlocust.users.faults import Turns, operation_of
from agentlocust.users.load import Load
from agentlocust.users.meter import Asked, Meter
from agentlocust.users.purse import Reservation
from agentlocust.users.reply import Check, Reply, fill_reply, judged
from agentlocust.users.run import Run
from agentlocust.wire.exchange import HttpRequest, Timeouts
from agentlocust.wire.injected import open_exchange
from agentlocust.wire.pool import Pool
from agentlocust.wire.tap import Outcome, Tap, cut_by
from agentlocust.wire.target import Key, Target, key_from_environment

if TYPE_CHECKING:
    from argparse import Namespace

    from gevent.pool import Group
    from locust.env import Environment

    from agentlocust.shapes.trace import Arrival

MOCK_HOST = "mock"


class AgentUser(User):
    """Base of the User classes; its settings are class attributes.

    `model`; `system` (a system prompt); `max_tokens`; `stream` (on by default); `sla` (checks);
    `goodput` (SLOs a call must meet, e.g. `{"ttft": "500ms"}`); `metrics` (names that `metric`
    may record); `timeouts`; `max_retries` (of `client`, 0); `strict_stream` (a stream must bring
    its terminal event; False accepts a finish reason, for servers that send none); `shape` (the
    load over time, as `--shape` has it); `arrivals` (tasks begin at a rate, `poisson("20/s")`);
    `run_budget` (what an agent run may spend, `"$0.05"`) and `read_only_tools` (names of those that may
    be executed twice: they have no effect).
    """

    abstract = True
    host = MOCK_HOST  # what Locust's form shows; only --host names another target

    model: str = ""
    system: str = ""
    max_tokens: int | None = None
    stream: bool = True
    sla: Sequence[Any] = ()
    goodput: Mapping[str, str] = {}
    metrics: Sequence[str] = ()
    timeouts: Timeouts = Timeouts()
    max_retries: int = 0
    strict_stream: bool = True
    shape: str = ""
    arrivals: Arrivals | None = None
    run_budget: str = ""
    read_only_tools: Sequence[str] = ()

    guarded: ClassVar[bool] = True  # a budget holds its calls back; it cannot those of a service
    key_variable: ClassVar[str] = ""
    prepared: ClassVar[bool] = False  # True: `import_sdk` is called before the test, whatever its code names
    concrete: ClassVar[list[type[AgentUser]]] = []

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        AgentUser.concrete.append(cls)

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.meter: Meter = environment.agentlocust  # type: ignore[attr-defined]  # put there by the plugin
        self.load: Load = self.meter.load
        self.gate: Gate | None = self.load.gates.get(type(self).__name__)
        self.start_of_task: Start | None = None  # in the open loop, when this task was to begin
        self._start_of_call: Start | None = None  # the last one that a call, and a run, was timed from
        self._start_of_run: Start | None = None
        if self.load.think_s is not None:
            self.wait_time = self.load.pause  # type: ignore[method-assign]  # as Locust asks users to set it
        self.current_run: Run | None = None
        self.turns = Turns(self)
        self.random = random.Random(random.getrandbits(64))  # drawn from the test's seed
        self.target = Target.parse(self._host())
        self.pool = Pool()
        self._key: Key = key_from_environment(self.key_variable, self.target.origin)
        self.meter.scrubber.know((self._key.value,))  # whatever its variable is called
        self._slo = Slo.parse(self.goodput) if self.goodput else None
        self._client: Any = None

    @classmethod
    def replies(cls) -> tuple[injection.Asked, ...]:
        """The kinds of requests that it makes, as fault plans see them; none when nobody can tell before."""
        return ()

    @classmethod
    def check_settings(cls) -> object:
        """Look at the class's own settings before any load. Raises ConfigError for what makes no sense."""
        return None

    @classmethod
    def check_options(cls, options: Namespace) -> object:
        """Look at the options that a class of its own kind has added. Raises ConfigError."""
        return None

    @classmethod
    def import_sdk(cls) -> None:
        """Import what `client` is made of; a class without one has nothing to import."""

    def start(self, group: Group) -> Any:
        """Start the user's greenlet; its connections close when it ends, however it ends."""
        greenlet = super().start(group)
        greenlet.link(lambda _: self.pool.close())
        return greenlet

    def stop(self, force: bool = False) -> bool:
        """Stop the user; see Locust. One that waits between tasks never starts another.

        Locust kills a waiting user, and if its wait ends in the same turn of the hub, what is
        killed is the call it has just issued, whatever the stop timeout says.
        """
        if not force and self._state == LOCUST_STATE_WAITING:
            self._state = LOCUST_STATE_STOPPING  # should it wake before the kill, it ends by itself
            self._group.killone(self._greenlet)
            return True
        return bool(super().stop(force))

    def _host(self) -> str:
        host = self.environment.host or ""
        return self.meter.mock_url if host in ("", MOCK_HOST) else host

    @property
    def dialect(self) -> Dialect:
        """The API that `chat` speaks."""
        raise NotImplementedError(f"{type(self).__name__} speaks no API; use OpenAIUser or AnthropicUser")

    # -- what a task uses ----------------------------------------------------------------------

    def agent_run(self, name: str, *, labels: Mapping[str, str] | None = None) -> Run:
        """One agent task: `with self.agent_run("refund") as run:`. Calls inside belong to it."""
        return Run(self, name, self.dialect, _labels(labels))

    def prompt(self) -> Prompt:
        """The next prompt of `--dataset` or `--trace`, or one of `--prompt-tokens` tokens; `chat` keeps to its length.

        It differs from all others, unless a dataset holds it more than once.
        """
        for permits in (self.load.calls, self.load.runs if self.current_run is None else None):
            if permits is not None:
                permits.await_one(self)  # else it would be given out and never sent
        payload = cast("Arrival | None", self.start_of_task.payload if self.start_of_task is not None else None)
        return self.load.prompts.prompt(self.random, payload)

    def metric(self, name: str, value: float, *, labels: Mapping[str, str] | None = None) -> None:
        """Record one value of a metric of your own, named in `metrics`. Raises ValueError otherwise."""
        if name not in self.metrics:
            raise ValueError(f"metric {name!r} is not named in {type(self).__name__}.metrics")
        run = self.current_run
        own = _labels(labels) or (run.labels if run is not None else ())
        self.meter.record_metric(name, value, run.name if run is not None else type(self).__name__, own)

    def chat(
        self,
        messages: str | Sequence[Any],
        *,
        name: str = "",
        model: str = "",
        system: str | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        tool_choice: str | Mapping[str, Any] | None = None,
        max_tokens: int | None = None,
        stream: bool | None = None,
        check: Check | None = None,
        labels: Mapping[str, str] | None = None,
        **params: Any,
    ) -> Reply:
        """Ask the model once; every failure is told in the Reply, none is raised.

        A string continues the conversation of the run around it (or starts one of its own);
        `run.messages` sends that conversation as it stands; any other list is sent as it is.
        `check(reply)` judges the content before the call is recorded: False, or a string that
        says why, makes it a failed call. Other keywords are parameters of the provider's.
        """
        run = self.current_run
        dialect = self.dialect
        if isinstance(messages, Prompt):
            max_tokens = messages.output_tokens if max_tokens is None else max_tokens
            system, messages = _conversation(messages, system)
        if isinstance(messages, str):
            said = dialect.user_message(messages)
            if run is not None:
                run.messages.append(said)
                messages = run.messages
            else:
                messages = [said]
        streamed = self.stream if stream is None else stream
        body = dialect.build(
            model=model or self.model,
            messages=messages,
            system=self.system if system is None else system,
            tools=tools,
            tool_choice=tool_choice,
            max_tokens=self.max_tokens if max_tokens is None else max_tokens,
            stream=streamed,
            params=params,
        )
        reply, outcome = self._ask(dialect, body, name=name, streamed=streamed, check=check, labels=labels)
        if run is not None and messages is run.messages and (reply.ok or outcome.decoded.terminal):
            run.extend(outcome.decoded)
        return reply

    # -- the fast path -------------------------------------------------------------------------

    def _ask(
        self,
        dialect: Dialect,
        body: Mapping[str, Any],
        *,
        name: str,
        streamed: bool,
        check: Check | None,
        labels: Mapping[str, str] | None,
    ) -> tuple[Reply, Outcome]:
        started_ns = self._issue() or time.monotonic_ns()
        try:
            encoded = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
            reservation = self.reserve(encoded, str(body.get("model", "")), *output_limit(body))
        except Refused as refused:
            self._not_issued()
            return _not_sent(str(body.get("model", "")), str(refused))
        except BaseException:
            self._not_issued()
            raise
        if reservation.waited:  # for money: none of the target's doing
            started_ns = time.monotonic_ns()
        asked = self._asked(name, dialect, str(body.get("model", "")), encoded, _labels(labels))
        path = self.target.path_of(dialect.path)
        faults = self.turns.call(dialect, asked.model, streamed, path, asked.name)
        tap = Tap(dialect, streamed=streamed, strict=self.strict_stream, started_ns=started_ns)
        tap.hears = faults is not None and faults.tells
        request = HttpRequest("POST", self.target.origin, path, self._headers(), encoded)
        exchange = open_exchange(self.pool, request, self.timeouts, faults)
        tap.watch(exchange)
        try:
            exchange.send()
            exchange.wait_end()
        except BaseException as error:
            exchange.close()
            self._finish(tap, asked, cut=cut_by(error), reservation=reservation)
            raise
        exchange.close()
        return self._finish(tap, asked, check=check, reservation=reservation)

    def _issue(self) -> int:
        """Take leave to make a call. Returns when its task was to begin (monotonic ns), 0 for now.

        In the open loop the first call of a task counts from then: its user has waited since.
        """
        if self.load.calls is not None:
            self.load.calls.take(self)
        start = self.start_of_task
        if start is None or start is self._start_of_call:
            return 0
        self._start_of_call = start
        return start.intended_ns

    def _not_issued(self) -> None:
        """The call never came to be: another may."""
        if self.load.calls is not None:
            self.load.calls.ended(cut=True)

    def reserve(self, body: bytes, model: str, limit: int | None = None, replies: int = 1) -> Reservation:
        """Set aside what a request may cost at most, before each attempt of it is sent; waits until there is room.

        `limit` is the most output tokens that the request allows each of its `replies`. Raises
        Refused when the run's budget has no room for it: it must not be sent then.
        """
        guard = self.load.guard
        if guard is None:
            return Reservation()
        try:
            return guard.reserve(self, body, split_model(model)[0], limit, replies)
        except Refused as refused:
            if self.current_run is not None:
                self.current_run.end("budget", str(refused))
            raise

    def _begin_run(self) -> int:
        """As `_issue`, for a run that is no part of another."""
        if self.load.runs is not None:
            self.load.runs.take(self)
        self.turns.begin_run()
        start = self.start_of_task
        if start is None or start is self._start_of_run:
            return 0
        self._start_of_run = start
        return start.intended_ns

    def _headers(self) -> list[tuple[str, str]]:
        key = self._key.value if self._key.usable_for(self.target.origin) else ""
        return [
            *self.dialect.headers(key).items(),
            ("Content-Type", "application/json"),
            ("Accept", "text/event-stream, application/json"),
            ("Accept-Encoding", "identity"),
            ("User-Agent", "agentlocust"),
            *self.meter.marks(self.target.origin),
        ]

    def _asked(self, name: str, dialect: Dialect, model: str, body: bytes, labels: Labels) -> Asked:
        run = self.current_run
        return Asked(
            name=name or (run.name if run is not None else operation_of(dialect)),
            model=split_model(model)[0],  # what follows tells the mock how to behave
            body=body,
            labels=labels or (run.labels if run is not None else ()),
            good=self._slo.met if self._slo is not None else None,
            repeats=run.repeats if run is not None else None,
        )

    def _finish(
        self,
        tap: Tap,
        asked: Asked,
        *,
        check: Check | None = None,
        cut: Failure | None = None,
        reservation: Reserved | None = None,
    ) -> tuple[Reply, Outcome]:
        try:
            outcome = tap.settle(cut=cut)
        except BaseException as error:  # killed between two pieces of a long reply: it is recorded all the same
            if cut is None:
                self._finish(tap, asked, cut=cut_by(error), reservation=reservation)
            raise
        reply = Reply()

        def fill(call: Call) -> str:
            fill_reply(reply, call, outcome)
            return judged(check, reply) if check is not None else ""

        try:
            call = self.meter.record_call(outcome, asked, judge=fill)
        except BaseException:
            if reservation is not None:
                reservation.settle(None)
            raise
        if reservation is not None:
            reservation.settle(cost_of(call))
        if self.load.calls is not None:
            self.load.calls.ended(cut=call.cancelled)
        fill_reply(reply, call, outcome)
        if self.current_run is not None:
            self.current_run.call_ended(call, outcome.decoded, asked.body)
        return reply, outcome

    def _sdk_call_ended(
        self, tap: Tap, model: str, *, cut: Failure | None, reservation: Reserved | None = None
    ) -> None:
        request = tap.exchange.request if tap.exchange is not None else None
        body = request.body if request is not None else b""
        self._finish(tap, self._asked("", tap.dialect, model, body, ()), cut=cut, reservation=reservation)


def _not_sent(model: str, why: str) -> tuple[Reply, Outcome]:
    """What a call came to that its run's budget refused."""
    failure = Failure(FailureKind.BUDGET, why)
    now_ns = time.monotonic_ns()
    outcome = Outcome(now_ns, now_ns, Decoded(), failure, 0, 0, streamed=False)
    return Reply(model=split_model(model)[0], failure=failure), outcome


def _conversation(prompt: Prompt, system: str | None) -> tuple[str | None, str | Sequence[Any]]:
    """A prompt's system text, which a caller's wins over, and the text or turns that it asks with."""
    if prompt.messages is None:
        return system, str(prompt)
    told = [message["content"] for message in prompt.messages if message["role"] in ("system", "developer")]
    turns = [message for message in prompt.messages if message["role"] in ("user", "assistant")]
    return ("\n".join(told) if system is None and told else system), turns


def _labels(labels: Mapping[str, str] | None) -> Labels:
    return tuple(sorted((str(key), str(value)) for key, value in labels.items())) if labels else ()
