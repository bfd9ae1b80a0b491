"""The keys of agents and MCP servers go to the target alone, and are written nowhere."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import textwrap
import threading
import urllib.parse
from typing import ClassVar

import pytest

from agent_services import JSON_MAPPING, MAPPING, asker, tool_caller
from canary import CANARY, EAVESDROP, leaks, written

KEYS = {"AGENT_API_KEY": CANARY, "MCP_API_KEY": CANARY}
NAMED = {"type": "tool", "id": "{key}", "name": "{key}", "input": {"{key}": "{key}"}}
CALLED = {"id": "{key}", "type": "function", "function": {"name": "{key}", "arguments": '{{"a": "{key}"}}'}}
SPENT = {"input_tokens": 7, "output_tokens": 5, "model": "{key}"}
CHUNK = {"id": "{key}", "model": "{key}", "choices": [{"delta": {"content": "{key}", "tool_calls": [CALLED]}}]}

# What the services answer with, `{key}` being the key in one of its forms: whole answers, and refusals.
EVENTS = [{"type": "start", "session_id": "{key}"}, NAMED, {"type": "tool_result", "id": "{key}", "output": "{key}"}]
EVENTS += [{"type": "text", "delta": "{key}"}, {"type": "usage", "usage": SPENT}]
REFUSED = {"error": {"message": "bad key {key}", "type": "{key}", "code": "{key}"}, "detail": "{key}"}
RPC_REFUSED = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": "bad key {key}", "data": "{key}"}}
SAID = {
    "/json": [{"answer": "{key}", "session": "{key}", "usage": SPENT}],
    "/sse": [*EVENTS, {"type": "end"}],
    "/ndjson": [*EVENTS, {"type": "error", "error": {"message": "{key}"}}],
    "/v1/chat/completions": [CHUNK, {"error": {"message": "{key}", "code": "{key}"}}],
    "/a2a": [RPC_REFUSED],
    "/": [{"type": "RUN_STARTED", "runId": "{key}"}, {"type": "RUN_ERROR", "message": "{key}", "code": "{key}"}],
}
ASKED: dict[str, dict[str, object]] = {
    "JSON": {"protocol": "json", "path": "/json", "mapping": JSON_MAPPING | {"usage": "usage"}},
    "SSE": {"protocol": "sse", "path": "/sse", "mapping": MAPPING},
    "NDJSON": {"protocol": "ndjson", "path": "/ndjson", "mapping": MAPPING},
    "OpenAI": {"protocol": "openai-chat", "model": "gpt-4o-mini"},
    "A2A": {"protocol": "a2a", "path": "/a2a"},
    "AG-UI": {"protocol": "ag-ui", "path": "/"},
    "refused": {"protocol": "json", "path": "/refused", "mapping": JSON_MAPPING},
}
# Its own words in the locustfile's errors, too: a check, an exception, a tool.
BODY = """
    with self.agent_run("talk") as run:
        reply = self.ask("Hello", check=lambda reply: "wrong: " + reply.text)
        run.tool_seen(reply.text or "tool", 0.0, 0.0, result=reply.text, error=reply.text)
    assert reply.ok, str(reply)
"""
CALLER = """
    from locust import constant, task

    from agentlocust import McpUser


    class Caller(McpUser):
        wait_time = constant(0.2)

        @task
        def go(self):
            with self.agent_run("use"):
                self.tools()
                result = self.call_tool("add", {"a": 2})
            self.call_tool("look_up")
            assert result.ok, str(result)
"""


def echoing(value: object, key: str) -> object:
    """The value with the key wherever it is to be."""
    if isinstance(value, dict):
        return {str(echoing(name, key)): echoing(inner, key) for name, inner in value.items()}
    if isinstance(value, list):
        return [echoing(inner, key) for inner in value]
    return value.format(key=key) if isinstance(value, str) else value


class Echo(http.server.BaseHTTPRequestHandler):
    """Repeats the key it is sent wherever a service of each protocol can."""

    protocol_version = "HTTP/1.1"
    turns = 0
    paths: ClassVar[set[str]] = set()

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        sent = self.headers["Authorization"]
        Echo.turns += 1
        forms = (sent, base64.b64encode(sent.encode()).decode(), urllib.parse.quote(sent, safe=""))
        key = forms[Echo.turns % 3]
        path, status = self.path, 200
        self.paths.add(path)
        said = SAID.get(path, [REFUSED])
        if path == "/mcp":
            said, status = self.mcp(asked)
        elif said[0] is REFUSED:
            status = 401
        streamed = path not in ("/json", "/ndjson", "/mcp") and status == 200
        lines = [json.dumps(echoing(each, key)) for each in said]
        body = "".join(f"data: {line}\n\n" if streamed else f"{line}\n" for line in lines).encode()
        kinds = {"/ndjson": "application/x-ndjson"}
        self.send_response(status, sent if status == 401 else None)
        self.send_header("Content-Type", "text/event-stream" if streamed else kinds.get(path, "application/json"))
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-request-id", sent)
        self.send_header("mcp-session-id", key)
        self.end_headers()
        self.wfile.write(body)

    @staticmethod
    def mcp(asked):
        """An answer, a failed tool, a refusal."""
        method, number = asked.get("method"), asked.get("id")
        if method == "initialize":
            told = {"protocolVersion": "2025-11-25", "serverInfo": {"name": "{key}"}, "capabilities": {}}
        elif method == "tools/list":
            told = {"tools": [{"name": "{key}", "description": "{key}", "inputSchema": {}}]}
        elif method == "tools/call" and asked["params"]["name"] == "add":
            told = {"isError": True, "content": [{"type": "text", "text": "no: {key}"}]}
        else:
            return [RPC_REFUSED | {"id": number}], 401 if method == "tools/call" else 200
        return [{"jsonrpc": "2.0", "id": number, "result": told}], 200

    def log_message(self, *_):
        """Say nothing."""


@contextlib.contextmanager
def serving(handler):
    """The address of a server in threads."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def repeat(socket):
    """A WebSocket agent that repeats its key: in an answer, in an error, in the reason it closes with."""
    key = socket.request.headers["Authorization"]
    for turn, _ in enumerate(socket):
        last = {"type": "end"} if turn % 2 else {"type": "error", "error": {"message": "{key}"}}
        for event in [*EVENTS, last]:
            socket.send(json.dumps(echoing(event, key)))
        if turn == 2:
            socket.close(4401, f"bad key {key}")


@contextlib.contextmanager
def talking():
    """The address of a WebSocket agent."""
    serve = pytest.importorskip("websockets.sync.server").serve
    with serve(repeat, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()


def together(*codes):
    """One locustfile of several, their classes renamed apart."""
    return "\n\n".join(
        code.replace("class Asker(", f"class Asker{n}(").replace("class Caller(", f"class Caller{n}(")
        for n, code in enumerate(codes)
    )


def leaks_of(start, tmp_path, url, code, env=KEYS, **settings):
    """Where a test that logs all it can, and keeps runs with their texts, has let the key out; and its result."""
    args = ("--loglevel", "DEBUG", "--html", "page.html", "--csv", "table", "--json")
    kept = ("--capture-runs", "9", "--capture-texts")
    test = start(textwrap.dedent(EAVESDROP) + code, "--host", url, *args, *kept, way="processes", env=env, **settings)
    commands = test.commands().encode()
    result = test.finish()
    assert result.summary["totals"]["task_errors"] > 0, result.output
    files = written(tmp_path)
    assert files["messages.bin"]
    return leaks({**files, "command lines": commands}), result


def test_a_key_that_a_service_repeats_appears_nowhere(start, tmp_path):
    """Not as the name of a tool, a model or a session, in no error, log, message or kept run, in any protocol."""
    code = together(textwrap.dedent(CALLER), *(asker(BODY, **settings) for settings in ASKED.values()))
    with serving(Echo) as url:
        found, result = leaks_of(start, tmp_path, url, code, users=16, run_time="4s")
    assert set(Echo.paths) == {*SAID, "/mcp", "/refused"}
    assert result.summary["totals"]["runs_failed"] > 0
    assert result.summary["totals"]["tools_failed"] > 0
    assert found == []


def test_a_key_that_a_websocket_agent_repeats_appears_nowhere(start, tmp_path):
    """Nor in the reason it closes with."""
    settings = {"protocol": "websocket", "path": "/ws", "mapping": MAPPING}
    with talking() as url:
        found, _ = leaks_of(start, tmp_path, url, asker(BODY, **settings))
    assert found == []


@pytest.mark.parametrize(
    "setting",
    [
        "key_variable = 'SHOP_LOGIN'",
        "headers = {'Authorization': f'Token {os.environ[\"SHOP_LOGIN\"]}'}",
        "headers = {'authorization': os.environ['SHOP_LOGIN']}",
    ],
)
def test_a_key_is_known_whatever_its_variable_is_called(start, tmp_path, setting):
    """That of a `key_variable`, and one that a locustfile puts in a header."""
    code = "import os\n" + asker(BODY, **ASKED["SSE"]).replace("    protocol =", f"    {setting}\n    protocol =")
    with serving(Echo) as url:
        found, _ = leaks_of(start, tmp_path, url, code, env={"SHOP_LOGIN": CANARY})
    assert found == []


class Elsewhere(http.server.BaseHTTPRequestHandler):
    """Where nothing must come."""

    came: ClassVar[list[str]] = []

    def handle(self):
        Elsewhere.came.append(self.rfile.peek().decode("latin-1"))


class Redirect(http.server.BaseHTTPRequestHandler):
    """Sends everyone to another origin."""

    protocol_version = "HTTP/1.1"
    keys: ClassVar[set[tuple[str, str]]] = set()
    away = ""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.keys.add((self.path, self.headers["Authorization"]))
        self.send_response(307)
        self.send_header("Location", f"{self.away}{self.path}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self):
        self.do_POST()

    def log_message(self, *_):
        """Say nothing."""


def test_a_key_goes_to_no_origin_but_the_target(start):
    """Not where a redirect leads, nor where a class's own `host` points, in any protocol, nor an MCP server's."""
    asked = [*ASKED.values(), {"protocol": "websocket", "path": "/ws", "mapping": MAPPING}]
    with serving(Elsewhere) as elsewhere, serving(Redirect) as url:
        Redirect.away = elsewhere
        codes = [tool_caller().replace("assert ", ""), *(asker(host=elsewhere, **settings) for settings in asked)]
        test = start(together(*codes), "--host", url, users=18, run_time="3s", env=KEYS)
        result = test.finish()
    assert Redirect.keys == {(path, f"Bearer {CANARY}") for path in (*SAID, "/mcp", "/refused", "/ws")}, result.output
    assert Elsewhere.came == []
    assert result.summary["totals"]["runs"] == result.summary["totals"]["runs_failed"] > 0


def test_without_a_target_a_key_goes_nowhere(start):
    """A class's own `host` is no target: the embedded mock answers, in a process of its own."""
    with serving(Elsewhere) as elsewhere:
        start(asker(host=elsewhere, model="gpt-4o-mini"), env=KEYS).finish()
    assert Elsewhere.came == []
