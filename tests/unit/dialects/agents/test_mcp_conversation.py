"""MCP's client: which revision is spoken, what goes in each request, and how replies are found among other messages."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.dialects.agents.base import Framing, Message
from agentlocust.dialects.agents.mcp import McpConversation, McpReader, McpReply, header_value, read_http_failure
from agentlocust.errors import ConfigError
from agentlocust.failures import Failure, FailureKind

MODERN = "2026-07-28"


def message(value: object) -> Message:
    return Message(1, json.dumps(value).encode(), framing=Framing.JSON)


def refused(code: int, status: int = 200, *versions: str) -> McpReply:
    return McpReply(failure=Failure(FailureKind.BAD_REQUEST, "no", status), code=code, versions=versions)


def test_a_server_that_discovers_is_spoken_to_in_its_revision():
    """No handshake: the revision goes in every request, its header and its `_meta`."""
    mcp = McpConversation()
    probe = mcp.probe()
    assert (probe.body["method"], dict(probe.headers)["MCP-Protocol-Version"]) == ("server/discover", MODERN)
    assert mcp.probed(McpReply({}, versions=(MODERN, "2025-11-25"))) == "connected"
    call = mcp.call_tool("find", {"order": 42})
    assert call.body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] == MODERN
    assert dict(call.headers) == {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": "find"}
    assert mcp.leave() is None


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        (McpReply({}, versions=("2025-11-25",)), "handshake"),
        (McpReply({}), "handshake"),
        (refused(-32601), "handshake"),
        (refused(0, 400), "handshake"),
        (refused(-32022, 200, "2025-11-25"), "handshake"),
        (refused(-32022, 200, "2099-01-01"), "refused"),
        (refused(0, 0), "refused"),
        (refused(0, 503), "refused"),
    ],
)
def test_a_server_that_does_not_discover_gets_the_handshake(reply, verdict):
    """Unless it is down, or speaks only revisions of a later day."""
    mcp = McpConversation()
    mcp.probe()
    assert mcp.probed(reply) == verdict


def test_the_handshake_agrees_on_a_revision_and_a_session():
    """Both go in the headers from then on; leaving ends the session."""
    mcp = McpConversation(version="2025-06-18")
    assert mcp.probe() is None
    first = mcp.initialise()
    assert first.body["params"]["protocolVersion"] == "2025-06-18"
    assert first.headers == ()
    said = mcp.initialised(McpReply({"protocolVersion": "2025-03-26", "serverInfo": {"name": "shop"}}), "s1")
    assert said.body["method"] == "notifications/initialized"
    assert dict(mcp.list_tools("c").headers) == {"MCP-Protocol-Version": "2025-03-26", "Mcp-Session-Id": "s1"}
    assert "_meta" not in mcp.list_tools("c").body["params"]
    assert mcp.leave().method == "DELETE"
    mcp.forget()
    assert not mcp.connected


@pytest.mark.parametrize("told", [{"protocolVersion": "2099-01-01"}, {}, {"protocolVersion": 3}])
def test_a_revision_nobody_knows_is_not_agreed_to(told):
    """The connection is not made."""
    mcp = McpConversation()
    mcp.initialise()
    assert mcp.initialised(McpReply(told), "s") is None
    assert not mcp.connected


def test_a_revision_that_is_not_spoken_here_is_told():
    """Before any load."""
    with pytest.raises(ConfigError, match="2025-06-18"):
        McpConversation(version="2025-06-19")


def test_the_reply_is_found_among_other_messages():
    """Notifications are counted, the server's questions answered, another request's reply passed over."""
    reader = McpReader(McpConversation().list_tools())
    assert not reader.read(message({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}}))
    assert not reader.read(message({"jsonrpc": "2.0", "id": "q", "method": "ping"}))
    assert not reader.read(message({"jsonrpc": "2.0", "id": "r", "method": "sampling/createMessage"}))
    assert not reader.read(message({"jsonrpc": "2.0", "id": 99, "result": {"tools": ["not mine"]}}))
    assert reader.read(message([{"jsonrpc": "2.0", "id": 1, "result": {"tools": []}}]))
    assert reader.reply == McpReply({"tools": []})
    assert reader.notifications == 1
    assert [(answer["id"], "result" in answer) for answer in reader.answers] == [("q", True), ("r", False)]


@pytest.mark.parametrize(
    ("told", "kind", "code"),
    [
        ({"id": 1, "error": {"code": -32602, "message": "bad"}}, "bad_request", -32602),
        ({"id": 1, "error": {"code": -32001, "message": "lost"}}, "stream_error", -32001),
        ({"id": None, "error": "?"}, "stream_error", 0),
        ({"id": 1, "result": 3}, "protocol", 0),
    ],
)
def test_an_error_is_a_failure_of_its_kind(told, kind, code):
    """JSON-RPC's codes are sorted like HTTP's."""
    reader = McpReader(McpConversation().list_tools())
    assert reader.read(message(told))
    assert (reader.reply.failure.kind, reader.reply.code) == (kind, code)


def test_an_http_error_may_hold_json_rpcs():
    """Its code and what it supports are read; a page of HTML is not."""
    body = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"no","data":{"supported":["2025-11-25"]}}}'
    reply = read_http_failure(400, body)
    assert (reply.code, reply.versions, reply.failure.status) == (-32022, ("2025-11-25",), 400)
    assert read_http_failure(502, b"<html><title>Bad gateway</title>").failure.message == "Bad gateway"


def test_arguments_that_go_in_headers_go_there():
    """`x-mcp-header` in a tool's schema names the header; values that no header may carry are in base64."""
    mcp = McpConversation()
    mcp.probe()
    mcp.probed(McpReply({}, versions=(MODERN,)))
    schema = {"properties": {"region": {"x-mcp-header": "Region"}, "dry": {"x-mcp-header": "Dry"}, "n": {}}}
    mcp.learn([{"name": "find", "inputSchema": schema}])
    headers = dict(mcp.call_tool("find", {"region": "zürich", "dry": True, "n": 1}).headers)
    assert headers["Mcp-Param-Region"] == "=?base64?esO8cmljaA==?="
    assert headers["Mcp-Param-Dry"] == "true"
    assert "Mcp-Param-n" not in headers


@given(st.text(max_size=40))
def test_a_header_never_breaks_out_of_its_line(value):
    """Whatever a tool is called."""
    assert all(" " <= char <= "~" for char in header_value(value))


@given(st.binary(max_size=80))
def test_no_bytes_make_the_reader_raise(data):
    """They are a reply, a failure, or nothing."""
    reader = McpReader(McpConversation().list_tools())
    reader.read(Message(1, data, framing=Framing.JSON))
    read_http_failure(500, data)
