"""HttpAgentUser: asks an agent that is a service, whatever protocol it speaks, and measures the whole of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

import gevent

from agentlocust.dialects import agents
from agentlocust.dialects.agents.base import AgentProtocol, AgentRequest, Conversation, Framing
from agentlocust.dialects.base import Dialect, bearer_headers
from agentlocust.failures import Failure, FailureKind
from agentlocust.faults.fault import GENERATING
from agentlocust.faults.injection import Asked
from agentlocust.mock.behaviour import split_model
from agentlocust.proxy.runs import run_headers
from agentlocust.records import AgentRun, Labels
from agentlocust.redact import secrets_in_headers
from agentlocust.users.base import AgentUser
from agentlocust.users.http_agent_asking import Asking
from agentlocust.users.http_agent_record import Abandonment, RequestRecord
from agentlocust.users.http_agent_reply import AgentCheck, AgentReply
from agentlocust.users.http_agent_transport import Carrier
from agentlocust.users.reply import judged
from agentlocust.users.run import Run
from agentlocust.users.sessions import Session, ThinkTime
from agentlocust.wire.injected import CallFaults
from agentlocust.wire.tap import cut_by

if TYPE_CHECKING:
    from locust.env import Environment

    from agentlocust.users.reply import Check, Reply


class HttpAgentUser(AgentUser):
    """Base of Users of an agent that is a service; each ask is one black-box request and one agent run.

    `protocol` is "openai-chat", "openai-responses", "a2a", "ag-ui", "langgraph", or, with a `mapping`
    (dotted paths, or a function), "json", "sse", "ndjson" or "websocket"; `path` is where it is served;
    `options` are the protocol's own. `think_time` is what a session's `think` pauses: seconds, or
    Locust's `between(…)`. `abandon`, `{"share": 0.2, "after": "3s"}`: that share of asks is given up
    once it has taken so long. `headers` go with every request; the key in AGENT_API_KEY (or in the
    variable that `key_variable` names) goes as a bearer token, to the target alone.
    """

    abstract = True
    protocol: str = "openai-chat"
    path: str = ""
    mapping: Mapping[str, Any] | Callable[[Any], Any] | None = None
    options: Mapping[str, Any] = {}
    headers: Mapping[str, str] = {}
    think_time: ThinkTime = 1.0
    abandon: Mapping[str, Any] | None = None

    guarded: ClassVar[bool] = False  # what the service spends inside a request nobody here can hold back
    key_variable: ClassVar[str] = "AGENT_API_KEY"

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._protocol = self.check_settings()
        self._leaving = Abandonment.parse(self.abandon, f"{type(self).__name__}.abandon")
        key = self._key.value if self._key.usable_for(self.target.origin) else ""
        headers = [*self.headers.items(), *bearer_headers(key).items(), ("User-Agent", "agentlocust")]
        self.meter.scrubber.know(secrets_in_headers(headers))
        self._carrier = Carrier(self.pool, self.target, headers, self.timeouts)

    @classmethod
    def check_settings(cls) -> AgentProtocol:
        """The protocol that the class's settings describe. Raises ConfigError for settings that make no sense."""
        name = cls.__name__
        Abandonment.parse(cls.abandon, f"{name}.abandon")
        return agents.by_name(
            cls.protocol,
            mapping=cls.mapping,
            path=cls.path,
            model=cls.model,
            system=cls.system,
            stream=cls.stream,
            options=cls.options,
            where=name,
        )

    @property
    def dialect(self) -> Dialect:
        """None: it asks agents, not models."""
        raise NotImplementedError(f"{type(self).__name__} asks an agent: use self.ask, not self.chat")

    def agent_run(self, name: str, *, labels: Mapping[str, str] | None = None) -> Run:
        """A run around several asks, e.g. of a whole session."""
        return Run(self, name, None, _labels(labels))

    def session(self) -> Session:
        """A conversation of several turns: `with self.session() as session: session.ask("…"); session.think()`."""
        return Session(self)

    def next_think_time(self) -> float:
        """Seconds that the next `think` pauses."""
        think: Any = self.think_time
        return float(think() if callable(think) else think)

    def ask(
        self,
        text: str,
        *,
        name: str = "",
        session: Session | None = None,
        check: AgentCheck | None = None,
        labels: Mapping[str, str] | None = None,
        **params: Any,
    ) -> AgentReply:
        """Ask the agent once; every failure is told in the reply, none is raised.

        `check(reply)` judges the answer before the run is recorded: False, or a string that says why,
        makes it a failed one. Other keywords are laid over the protocol's request.
        """
        run = self.current_run
        started_ns = self._begin_run() if run is None else 0
        trace = run.trace if run is not None else self.turns.new_trace()
        within = run.name if run is not None else name or "ask"
        faults = partial(self._faults_of, name or within)
        carrier = self._carrier.bearing(run_headers(trace, within), faults)
        try:
            conversation = session.conversation if session is not None else Conversation()
            turn = self._protocol.turn(text, conversation, params)
            started_ns = started_ns or time.monotonic_ns()
            kept = session.socket if session is not None else None
            asking = Asking(carrier, turn, started_ns, self._protocol.read_failure, kept)
        except BaseException:
            self._run_ended(cut=True)
            raise
        if session is not None:
            session.socket = None  # whoever ends this ask gives it back
        own = _labels(labels) or (run.labels if run is not None else ())
        record = RequestRecord(self.meter, name or "ask", self.model, started_ns, own, inside=run is not None)
        try:
            abandoned = self._run_or_leave(asking)
        except BaseException as error:
            asking.give_up()
            self._finish_ask(record.cut(asking, cut_by(error)), session, trace)
            raise
        if abandoned:
            asking.give_up()
        reply = record.reply(asking, abandoned=abandoned)
        reply.session_id = conversation.id
        try:
            if check is not None and reply.ok and (why := judged(cast("Check", check), cast("Reply", reply))):
                reply.failure = Failure(FailureKind.CHECK, why, reply.status)
        finally:  # also of one that was killed while it was judged: the agent did answer
            self._finish_ask(record.of(reply), session, trace, reply)
        if session is not None and asking.failure is None:
            session.socket = asking.socket
            if session.socket is not None:
                session.socket.rest()
        elif asking.socket is not None:
            asking.socket.close()
        return reply

    def _faults_of(self, name: str, request: AgentRequest, path: str) -> CallFaults | None:
        """What goes wrong with a request; replies in a dialect of models' are read, and broken, as such."""
        own = self._protocol.name
        dialect = own if own in GENERATING else request.framing.value
        streamed = request.framing is not Framing.JSON
        model = split_model(self.model)[0]
        asked = Asked(0.0, name=name, model=model, method=request.method, path=path, dialect=dialect, streamed=streamed)
        return self.turns.request(asked)

    @classmethod
    def replies(cls) -> tuple[Asked, ...]:
        """The kinds of requests that it makes: a plan's rule that is for none of them strikes nothing."""
        if cls.protocol in GENERATING:
            return (Asked(0.0, dialect=cls.protocol, streamed=cls.stream),)
        framings = {"a2a": ("sse", "json"), "langgraph": ("sse", "json"), "ag-ui": ("sse",)}
        return tuple(Asked(0.0, dialect=each) for each in framings.get(cls.protocol, (cls.protocol,)))

    def _run_or_leave(self, asking: Asking) -> bool:
        """Run the ask; True when the user left before its end."""
        after_s = self._leaving.draw(self.random.random()) if self._leaving is not None else None
        if after_s is None:
            asking.run()
            return False
        patience = gevent.Timeout(after_s)
        try:
            with patience:
                asking.run()
        except gevent.Timeout as timeout:
            if timeout is not patience:
                raise
            return True
        return False

    def _finish_ask(
        self, record: AgentRun, session: Session | None, trace: str, reply: AgentReply | None = None
    ) -> None:
        run = self.current_run
        self.meter.note_run(trace, record, run.name if run is not None else "")
        self.meter.record_request(record, reply.response_bytes if reply is not None else 0)
        if reply is not None and session is not None:
            session.turn_ended(reply)
        if self.current_run is not None:
            self.current_run.request_ended(record)
        else:
            self._run_ended(cut=record.cancelled or record.abandoned)

    def _run_ended(self, *, cut: bool) -> None:
        if self.current_run is None and self.load.runs is not None:
            self.load.runs.ended(cut=cut)


def _labels(labels: Mapping[str, str] | None) -> Labels:
    return tuple(sorted((str(key), str(value)) for key, value in labels.items())) if labels else ()
