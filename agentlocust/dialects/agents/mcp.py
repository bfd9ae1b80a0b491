"""MCP over streamable HTTP: JSON-RPC posted to one path, answered with JSON or server-sent events.

Source: the Model Context Protocol, revisions up to 2025-11-25 (an `initialize` handshake, perhaps a
session) and 2026-07-28 (`server/discover`, and the version in each request's `_meta` and headers).
Which of the two is spoken is negotiated as the `mcp` package 2.3 does: discover first, and the handshake
for a server that does not know it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentlocust.dialects.agents import json_rpc
from agentlocust.dialects.agents.base import AgentRequest, Framing, Message
from agentlocust.dialects.base import decode_json, dict_of, dicts_of, text_of
from agentlocust.dialects.failed import read_failure
from agentlocust.errors import ConfigError
from agentlocust.failures import Failure, FailureKind

HANDSHAKE_VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
MODERN_VERSIONS = ("2026-07-28",)
UNSUPPORTED_VERSION = -32022

_CLIENT = {"name": "agentlocust", "version": "1"}
_META = "io.modelcontextprotocol/"
_HEADER_SAFE = re.compile(r"[ -~]*")
_SENTINEL = re.compile(r"=\?base64\?.*\?=")
_NO_METHOD = -32601


@dataclass(frozen=True, slots=True)
class McpReply:
    """What a server answered to one request: a result, or a failure; `code` is JSON-RPC's, 0 for none."""

    result: dict[str, Any] = field(default_factory=dict)
    failure: Failure | None = None
    code: int = 0
    versions: tuple[str, ...] = ()  # that a server says it supports


class McpConversation:
    """A client's side of one connection: what it sends next, and the version and session it has agreed on.

    `version` fixes the revision; "" negotiates. Raises ConfigError for one that is not spoken here.
    """

    def __init__(self, *, path: str = "/mcp", version: str = "") -> None:
        if version and version not in (*HANDSHAKE_VERSIONS, *MODERN_VERSIONS):
            known = ", ".join((*HANDSHAKE_VERSIONS, *MODERN_VERSIONS))
            raise ConfigError(f"MCP {version!r} is not spoken here", where="protocol_version", hint=f"one of {known}")
        self.path = path
        self.wanted = version
        self.version = ""
        self.session = ""
        self.server: dict[str, Any] = {}
        self.connected = False
        self._id = 0
        self._param_headers: dict[str, dict[str, str]] = {}  # tool -> argument -> header

    # -- connecting --------------------------------------------------------------------------------

    def forget(self) -> None:
        """The connection is over: the next one is negotiated anew."""
        self.version = self.session = ""
        self.server = {}
        self.connected = False

    def probe(self, version: str = "") -> AgentRequest | None:
        """The `server/discover` to begin with; None when an older revision is wanted."""
        if self.wanted in HANDSHAKE_VERSIONS:
            return None
        self.version = version or self.wanted or MODERN_VERSIONS[-1]
        return self.ask("server/discover", {})

    def probed(self, reply: McpReply) -> str:
        """What a probe's reply means: "connected", "again" (at `self.version`), "handshake" or "refused"."""
        supported = reply.versions
        if reply.failure is None:
            mutual = [version for version in MODERN_VERSIONS if version in supported]
            if mutual:
                self.version = mutual[-1]
                self.server = dict_of(dict_of(reply.result.get("_meta")).get(f"{_META}serverInfo"))
                self.connected = True
                return "connected"
        elif reply.code == UNSUPPORTED_VERSION:
            mutual = [version for version in MODERN_VERSIONS if version in supported and version != self.version]
            if mutual:
                self.version = mutual[-1]
                return "again"
            if supported and not set(supported) & set(HANDSHAKE_VERSIONS):
                return "refused"
        elif reply.code == 0 and not 400 <= reply.failure.status < 500:
            return "refused"  # an outage says nothing about which revision is spoken
        if self.wanted in MODERN_VERSIONS:
            return "refused"
        return "handshake"

    def initialise(self) -> AgentRequest:
        """The handshake's first request."""
        self.version = ""
        version = self.wanted or HANDSHAKE_VERSIONS[-1]
        return self.ask("initialize", {"protocolVersion": version, "capabilities": {}, "clientInfo": _CLIENT})

    def initialised(self, reply: McpReply, session: str) -> AgentRequest | None:
        """Take the handshake's reply; the notification that ends it, or None when no version is shared."""
        version = text_of(reply.result.get("protocolVersion"))
        if reply.failure is not None or version not in HANDSHAKE_VERSIONS:
            return None
        self.version, self.session = version, session
        self.server = dict_of(reply.result.get("serverInfo"))
        self.connected = True
        return self.say({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def leave(self) -> AgentRequest | None:
        """The request that ends a session; None without one."""
        if not self.session:
            return None
        return AgentRequest(self.path, None, method="DELETE", headers=self._headers(), framing=Framing.JSON)

    # -- asking ------------------------------------------------------------------------------------

    def list_tools(self, cursor: str = "") -> AgentRequest:
        """One page of the tools."""
        return self.ask("tools/list", {"cursor": cursor} if cursor else {})

    def learn(self, tools: list[dict[str, Any]]) -> None:
        """Note which arguments of which tools also go in headers (`x-mcp-header` in their schemas)."""
        for tool in tools:
            properties = dict_of(dict_of(tool.get("inputSchema")).get("properties"))
            headers = {name: text_of(dict_of(schema).get("x-mcp-header")) for name, schema in properties.items()}
            named = {argument: header for argument, header in headers.items() if header}
            if named:
                self._param_headers[text_of(tool.get("name"))] = named

    def call_tool(self, name: str, arguments: Mapping[str, Any]) -> AgentRequest:
        """A tool's call."""
        headers = []
        if self.version in MODERN_VERSIONS:
            headers.append(("Mcp-Name", header_value(name)))
            for argument, header in self._param_headers.get(name, {}).items():
                value = arguments.get(argument)
                if value is not None:
                    told = str(value).lower() if isinstance(value, bool) else str(value)
                    headers.append((f"Mcp-Param-{header}", header_value(told)))
        return self.ask("tools/call", {"name": name, "arguments": dict(arguments)}, headers)

    def ask(self, method: str, params: dict[str, Any], headers: list[tuple[str, str]] | None = None) -> AgentRequest:
        """Any request, with what its revision asks for."""
        self._id += 1
        more = list(headers or ())
        if self.version in MODERN_VERSIONS:
            meta = {
                f"{_META}protocolVersion": self.version,
                f"{_META}clientInfo": _CLIENT,
                f"{_META}clientCapabilities": {},
            }
            params = {**params, "_meta": meta}
            more.append(("Mcp-Method", method))
        return self.say(json_rpc.call(method, params, self._id), more)

    def say(self, body: dict[str, Any], headers: list[tuple[str, str]] | None = None) -> AgentRequest:
        """Any message."""
        return AgentRequest(self.path, body, headers=(*self._headers(), *(headers or ())), framing=Framing.JSON)

    def _headers(self) -> tuple[tuple[str, str], ...]:
        version = (("MCP-Protocol-Version", self.version),) if self.version else ()
        return (*version, *((("Mcp-Session-Id", self.session),) if self.session else ()))


class McpReader:
    """Reads the reply to one request: it may come among notifications and questions of the server's."""

    def __init__(self, request: AgentRequest) -> None:
        self._id = dict_of(request.body).get("id")
        self.reply: McpReply | None = None
        self.answers: list[dict[str, Any]] = []  # to the server's own questions, to be posted
        self.notifications = 0

    def read(self, message: Message) -> bool:
        """Take one message of the body; True once the reply is there. Never raises."""
        if not message.data.strip() or self.reply is not None:
            return self.reply is not None
        try:
            told = decode_json(message.data)
        except ValueError as problem:
            self.reply = McpReply(failure=Failure(FailureKind.MALFORMED_STREAM, f"not JSON, {problem}", 200))
            return True
        for each in told if isinstance(told, list) else [told]:
            self._take(dict_of(each))
        return self.reply is not None

    def _take(self, told: dict[str, Any]) -> None:
        if "method" in told:
            if told.get("id") is None:
                self.notifications += 1
                return
            answer: dict[str, Any] = {"jsonrpc": "2.0", "id": told["id"]}
            if told["method"] == "ping":
                answer["result"] = {}
            else:
                answer["error"] = {"code": _NO_METHOD, "message": "agentlocust answers no such request"}
            self.answers.append(answer)
        elif self.reply is None and told.get("id") in (self._id, None):
            self.reply = _reply(told)


def read_http_failure(status: int, body: bytes) -> McpReply:
    """The failure of an HTTP error reply: JSON-RPC's own error where it holds one."""
    failure = read_failure(status, body)
    try:
        told = dict_of(decode_json(body))
    except ValueError:
        return McpReply(failure=failure)
    if isinstance(dict_of(told.get("error")).get("code"), int):
        found = _reply(told)
        assert found.failure is not None
        return McpReply(
            failure=Failure(failure.kind, found.failure.message, status), code=found.code, versions=found.versions
        )
    return McpReply(failure=failure)


def header_value(value: str) -> str:
    """A value as a header can carry it: as it is when it is plain, else in base64 between marks."""
    if _HEADER_SAFE.fullmatch(value) and value == value.strip() and not _SENTINEL.fullmatch(value):
        return value
    return f"=?base64?{base64.b64encode(value.encode('utf-8', 'replace')).decode()}?="


def content_text(result: Mapping[str, Any]) -> str:
    """The texts of a tool's result."""
    return "\n".join(text_of(part.get("text")) for part in dicts_of(result.get("content")) if part.get("text"))


def _reply(told: dict[str, Any]) -> McpReply:
    failure = json_rpc.error_of(told)
    if failure is not None:
        error = dict_of(told.get("error"))
        code = error.get("code")
        return McpReply(
            failure=failure,
            code=code if isinstance(code, int) else 0,
            versions=_strings(dict_of(error.get("data")).get("supported")),
        )
    result = told.get("result")
    if not isinstance(result, dict):
        return McpReply(failure=Failure(FailureKind.PROTOCOL, "a reply without a result", 200))
    return McpReply(result, versions=_strings(result.get("supportedVersions")))


def _strings(value: Any) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()
