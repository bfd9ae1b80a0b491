"""A key from the environment is sent to its host and written nowhere."""

from __future__ import annotations

import base64
import http.server
import json
import signal
import threading
import urllib.error
import urllib.parse
import urllib.request

import pytest

from canary import CANARY, EAVESDROP, leaks, written
from harness import wait_until
from sample_locustfiles import CHAT_SPEC, chat

KEYS = {"OPENAI_API_KEY": CANARY, "ANTHROPIC_API_KEY": CANARY}
SPEC = f"{CHAT_SPEC},echo=key,errors=auth:0.5"

PAGES = (
    *("", "stats/requests", "stats/report", "stats/requests/csv", "stats/failures/csv"),
    *("exceptions", "exceptions/csv", "logs", "tasks"),
)


@pytest.mark.parametrize("way", ["processes", "web"])
def test_a_key_echoed_by_the_server_appears_nowhere(start, mock_server, tmp_path, way):
    """Not in outputs, logs, pages, command lines or worker messages, though errors repeat it."""
    server = mock_server(SPEC)
    body = 'reply = self.chat("Hello"); assert reply.ok, str(reply.failure)'
    test = start(
        chat("error_rate < 100%", body=body, extra=EAVESDROP),
        *("--host", server.url, "--loglevel", "DEBUG", "--html", "page.html", "--csv", "table"),
        way=way,
        run_time="4s",
        env=KEYS,
    )
    pages: dict[str, bytes] = {}
    if way == "web":
        test.wait_for_ui()
        test.swarm()
    wait_until(lambda: server.truth()["requests"] >= 20, "twenty requests")
    pages["command lines"] = test.commands().encode()
    if way == "web":
        test.stop()
        for page in PAGES:
            with urllib.request.urlopen(f"{test.web_url}/{page}", timeout=10) as reply:
                pages[f"/{page}"] = reply.read()
        test.signal(signal.SIGINT, group=False)
    result = test.finish()
    files = written(tmp_path)
    if way == "processes":
        assert files["messages.bin"]
    assert result.summary["totals"]["failed"] > 0
    assert leaks({**files, **pages}) == []


# Errors of the user's own code that hold the key in every form, one a turn, where users run.
RAISES = """
    import base64
    import itertools
    import os
    import urllib.parse

    key = os.environ["OPENAI_API_KEY"]
    encoded = base64.b64encode(b"Bearer " + key.encode()).decode()
    quoted = urllib.parse.quote(key, safe="")
    texts = itertools.cycle([key, f"Authorization: Bearer {key}", encoded, quoted, repr({1: key})])


    class Leaky(OpenAIUser):
        model = "gpt-4o-mini"

        @task
        def raise_one(self):
            try:
                raise ValueError(f"first: {next(texts)}")
            except ValueError as error:
                raise RuntimeError(f"refused: {next(texts)}", {"key": key}, [key]) from error

        @task
        def fail_one(self):
            with self.agent_run("run") as run, run.tool("search") as tool:
                tool.fail(next(texts))
                run.check(False, next(texts))

        @task
        def other_request(self):
            error = OSError(next(texts))
            events.request.fire(request_type="GET", name="x", response_time=1, response_length=0, exception=error)
"""


class Echo(http.server.BaseHTTPRequestHandler):
    """Refuses every call and repeats its key in every form."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        sent = self.headers["Authorization"]
        encoded = base64.b64encode(sent.encode()).decode()
        quoted = urllib.parse.quote(sent, safe="")
        said = [sent, encoded, quoted, f"https://x/?key={quoted}", json.dumps({"sent": sent})]
        error = {"message": f"bad key {' '.join(said)}", "type": encoded, "code": sent}
        body = json.dumps({"error": error}).encode()
        self.send_response(401, "Unauthorized")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-request-id", sent)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def echo_url():
    """The address of a server that repeats keys."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("way", ["processes", "web", pytest.param("distributed", marks=pytest.mark.long)])
def test_a_key_in_errors_of_server_and_tasks_appears_nowhere(start, echo_url, tmp_path, way):
    """In base64, quoted for URLs, in JSON, raised by tasks in workers: no page, file or message holds it."""
    test = start(
        chat("error_rate <= 100%", extra=EAVESDROP + RAISES),
        *("--host", echo_url, "--loglevel", "DEBUG", "--html", "page.html", "--csv", "table", "--json"),
        way=way,
        ui=way == "distributed",
        run_time="4s",
        env=KEYS,
    )
    pages: dict[str, bytes] = {}
    if test.web_url:
        test.wait_for_ui()
        if way == "distributed":
            test.wait_for_workers()
        test.swarm()
        wait_until(lambda: test.requests() >= 50, "fifty requests")
        test.stop()
        for page in PAGES:
            with urllib.request.urlopen(f"{test.web_url}/{page}", timeout=10) as reply:
                pages[f"/{page}"] = reply.read()
        test.signal(signal.SIGINT, group=False)
    result = test.finish()
    assert result.summary["totals"]["failed"] > 0
    assert result.summary["totals"]["task_errors"] > 0
    files = written(tmp_path)
    assert ("messages.bin" in files) == (way != "web")
    assert leaks({**files, **pages}) == []


def test_the_canary_is_seen_in_every_disguise(mock_server):
    """The search itself works, and the mock does repeat the key."""
    quoted = urllib.parse.quote(CANARY, safe="").encode()
    encoded = [base64.b64encode(b"Bearer "[:pad] + CANARY.encode()) for pad in range(4)]
    files = {str(n): content for n, content in enumerate([CANARY.encode(), quoted, *encoded])}
    assert leaks(files) == list(files)
    server = mock_server("status=401,echo=key")
    call = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}).encode()
    headers = {"Authorization": f"Bearer {CANARY}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.url}/v1/chat/completions", call, headers)
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request, timeout=10)
    assert CANARY in error.value.read().decode()
