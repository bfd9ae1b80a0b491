"""McpUser: calls the tools of an MCP server, as agents do, and measures each of them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from agentlocust.dialects.agents.base import AgentRequest, Framing, Message
from agentlocust.dialects.agents.mcp import McpConversation, McpReader, McpReply, content_text, read_http_failure
from agentlocust.dialects.base import Dialect, bearer_headers, dicts_of, text_of
from agentlocust.failures import Failure, FailureKind
from agentlocust.faults.injection import Asked
from agentlocust.records import Labels, ToolCall
from agentlocust.redact import secrets_in_headers
from agentlocust.users.base import AgentUser
from agentlocust.users.http_agent_transport import Carrier
from agentlocust.users.meter import attributed
from agentlocust.users.run import Run
from agentlocust.wire.injected import CallFaults
from agentlocust.wire.tap import cut_by

if TYPE_CHECKING:
    from locust.env import Environment

CONNECT, LIST = "mcp_connect", "mcp_list"
_MAX_PAGES = 1000  # of a server's tools


@dataclass(slots=True)
class McpResult:
    """What a tool answered; a failed call is a result too, with `error` set.

    `is_error`: the tool itself said that it failed. `failure`: its answer never came. `latency` is seconds.
    """

    text: str = ""
    content: list[dict[str, Any]] = field(default_factory=list)
    structured: Any = None
    is_error: bool = False
    failure: Failure | None = None
    error: str = ""
    latency: float = 0.0

    @property
    def ok(self) -> bool:
        """True when the tool answered, and not with an error."""
        return not self.error


class McpUser(AgentUser):
    """Base of Users of an MCP server (streamable HTTP) at `path` below the host.

    It connects at the first use, and again when the server has forgotten the session. `protocol_version`
    fixes the revision that is spoken ("" negotiates). Each tool is a TOOL row; the seconds that connecting
    and listing take when they succeed are the metrics `mcp_connect` and `mcp_list`. The key in MCP_API_KEY
    goes as a bearer token, to the server alone.
    """

    abstract = True
    path: str = "/mcp"
    protocol_version: str = ""
    headers: Mapping[str, str] = {}
    metrics: Sequence[str] = (CONNECT, LIST)

    guarded: ClassVar[bool] = False  # what its tools spend nobody here can hold back
    key_variable: ClassVar[str] = "MCP_API_KEY"

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        key = self._key.value if self._key.usable_for(self.target.origin) else ""
        headers = [*self.headers.items(), *bearer_headers(key).items(), ("User-Agent", "agentlocust")]
        self.meter.scrubber.know(secrets_in_headers(headers))
        self._doing = ""  # the tool that is called, for a plan's rules
        self._carrier = Carrier(self.pool, self.target, headers, self.timeouts, self._faults_of)
        self.mcp = self.check_settings()

    @classmethod
    def check_settings(cls) -> McpConversation:
        """The conversation that the class's settings begin. Raises ConfigError for settings that make no sense."""
        return McpConversation(path=cls.path, version=cls.protocol_version)

    @classmethod
    def replies(cls) -> tuple[Asked, ...]:
        """The kind of requests that it makes."""
        return (Asked(0.0, dialect=Framing.JSON.value),)

    @property
    def dialect(self) -> Dialect:
        """None: it calls tools, not models."""
        raise NotImplementedError(f"{type(self).__name__} calls tools: use self.call_tool, not self.chat")

    def agent_run(self, name: str, *, labels: Mapping[str, str] | None = None) -> Run:
        """A run around several tool calls."""
        return Run(self, name, None, _labels(labels))

    def on_stop(self) -> None:
        """End the session; a class with an `on_stop` of its own calls this one too."""
        self.disconnect()

    # -- what a task uses ----------------------------------------------------------------------

    def connect(self) -> Failure | None:
        """Agree on a revision with the server, if that is not done; the failure when it cannot be."""
        if self.mcp.connected:
            return None
        started = time.monotonic()
        failure = self._negotiate()
        if failure is None:
            self._took(CONNECT, started)
        return failure

    def disconnect(self) -> None:
        """End the session, if the server keeps one."""
        request = self.mcp.leave() if self.mcp.connected else None
        self.mcp.forget()
        if request is not None:
            self._fetch(request)

    def tools(self) -> list[dict[str, Any]]:
        """The server's tools, as it lists them (`name`, `description`, `inputSchema`).

        When it does not, none, and a failed row called `tools/list` tells why.
        """
        started = time.monotonic()
        self._begin("tools/list")
        failure = self.connect()
        found: list[dict[str, Any]] = []
        listing, cursor = time.monotonic(), ""
        for _ in range(_MAX_PAGES):
            if failure is not None:
                break
            reply = self._request(self.mcp.list_tools(cursor))
            failure = reply.failure
            found += dicts_of(reply.result.get("tools"))
            cursor = text_of(reply.result.get("nextCursor"))
            if not cursor:
                break
        if failure is not None:
            self._record("tools/list", None, started, self._told(failure), (), failure=failure)
            return []
        self.mcp.learn(found)
        self._took(LIST, listing)
        return found

    def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        labels: Mapping[str, str] | None = None,
    ) -> McpResult:
        """Call a tool; every failure is told in the result, none is raised.

        A call counts from here, connected or not; a server that cannot be connected to is a failed call.
        """
        run = self.current_run
        own = _labels(labels) or (run.labels if run is not None else ())
        started = time.monotonic()
        self._begin(name)
        failure: Failure | None = None
        try:
            failure = self.connect()
            started = time.monotonic() if failure is None else started
            reply = McpReply(failure=failure)
            if failure is None:
                reply = self._request(self.mcp.call_tool(name, arguments or {}))
        except BaseException as error:
            cut = cut_by(error)
            cancelled = cut.kind is FailureKind.CANCELLED
            self._record(name, arguments, started, self._told(cut), own, failure=cut, cancelled=cancelled)
            raise
        result = _result(reply, time.monotonic() - started)
        if result.failure is not None:
            result.failure = attributed(result.failure, self._carrier.struck)
            result.error = str(result.failure)
        result.error = self.meter.scrubber.sample(result.error) if result.error else ""
        self._record(name, arguments, started, result.error, own, result, failure=result.failure)
        return result

    # -- within --------------------------------------------------------------------------------

    def _begin(self, doing: str) -> None:
        """A use of the server begins: outside of any run it is one of its own."""
        self._doing, self._carrier.struck = doing, ()
        if self.current_run is None:
            self.turns.begin_run()

    def _faults_of(self, request: AgentRequest, path: str) -> CallFaults | None:
        asked = Asked(0.0, name=self._doing, method=request.method, path=path, dialect=request.framing.value)
        return self.turns.request(asked)

    def _told(self, failure: Failure) -> str:
        return self.meter.scrubber.sample(str(attributed(failure, self._carrier.struck)))

    def _record(
        self,
        name: str,
        arguments: Mapping[str, Any] | None,
        started: float,
        error: str,
        labels: Labels,
        result: McpResult | None = None,
        *,
        failure: Failure | None = None,
        cancelled: bool = False,
    ) -> None:
        faults = self._carrier.struck
        injected = failure is not None and not cancelled and attributed(failure, faults).injected
        latency = result.latency if result is not None else time.monotonic() - started
        error = "" if cancelled else error
        run = self.current_run
        if run is None:
            name = self.meter.scrubber.name(name)
            phase = self.meter.phase_at(started)
            tool = ToolCall(name, started, latency, error, cancelled, phase, labels, faults=faults, injected=injected)
            self.meter.record_tool(tool)
            return
        told = json.dumps(dict(arguments or {}), default=str)
        answer = (result.structured or result.text) if result is not None else ""
        run.tool_seen(
            name,
            started,
            latency,
            arguments=told,
            result=answer,
            error=error,
            cancelled=cancelled,
            faults=faults,
            injected=injected,
        )

    def _took(self, metric: str, started: float) -> None:
        if metric in self.metrics:  # a class may have its own
            self.metric(metric, time.monotonic() - started)

    def _negotiate(self) -> Failure | None:
        mcp = self.mcp
        mcp.forget()
        probe = mcp.probe()
        for _ in range(2):
            if probe is None:
                break
            reply = self._request(probe)
            verdict = mcp.probed(reply)
            if verdict == "connected":
                return None
            if verdict == "refused":
                return reply.failure or Failure(FailureKind.PROTOCOL, "no revision of MCP is spoken by both", 200)
            probe = mcp.probe(mcp.version) if verdict == "again" else None
        reply, session = self._exchange(mcp.initialise())
        said = mcp.initialised(reply, session)
        if said is None:
            mcp.forget()
            return reply.failure or Failure(FailureKind.PROTOCOL, "no revision of MCP is spoken by both", 200)
        self._fetch(said)
        return None

    def _request(self, request: AgentRequest) -> McpReply:
        return self._exchange(request)[0]

    def _exchange(self, request: AgentRequest) -> tuple[McpReply, str]:
        """Send a request; its reply, and the session it names."""
        reader = McpReader(request)

        def take(message: Message) -> bool:
            enough = reader.read(message)
            while reader.answers:  # the server asks something before it goes on
                self._fetch(self.mcp.say(reader.answers.pop(0)))
            return enough

        fetched = self._carrier.fetch(request, take, _read_failure, self.timeouts)
        if reader.reply is not None:
            return reader.reply, fetched.session
        if fetched.status and not 200 <= fetched.status < 300:
            if fetched.status == 404 and self.mcp.session:
                self.mcp.forget()  # the server has ended the session: the next use connects anew
            return read_http_failure(fetched.status, fetched.body), ""
        missing = Failure(FailureKind.TRUNCATED_STREAM, "the reply ended without an answer", fetched.status)
        return McpReply(failure=fetched.failure or missing), ""

    def _fetch(self, request: AgentRequest) -> None:
        """Send what needs no answer."""
        self._carrier.fetch(request, lambda message: False, _read_failure, self.timeouts)


def _read_failure(status: int, body: bytes) -> Failure:
    failure = read_http_failure(status, body).failure
    assert failure is not None
    return failure


def _result(reply: McpReply, latency: float) -> McpResult:
    told = reply.result
    result = McpResult(
        text=content_text(told),
        content=dicts_of(told.get("content")),
        structured=told.get("structuredContent"),
        is_error=told.get("isError") is True,
        failure=reply.failure,
        latency=latency,
    )
    if reply.failure is not None:
        result.error = str(reply.failure)
    elif result.is_error:
        result.error = f"the tool failed: {result.text}"[:400]
    elif told.get("resultType") not in (None, "complete"):
        result.error = f"the tool wants more: {text_of(told.get('resultType'))}"[:400]
    return result


def _labels(labels: Mapping[str, str] | None) -> Labels:
    return tuple(sorted((str(key), str(value)) for key, value in labels.items())) if labels else ()
