"""The mock over real sockets: status errors, broken streams, its books and its end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import psutil
import pytest

from agentlocust.errors import AgentLocustError
from agentlocust.mock.embedded import EmbeddedMock

SPEC = "ttft=0,itl=0,tokens=8"
MESSAGES = [{"role": "user", "content": "Where is order 42?"}]


@pytest.fixture(scope="module")
def mock() -> Iterator[EmbeddedMock]:
    running = EmbeddedMock.start(SPEC, 1)
    yield running
    running.stop()


@pytest.fixture
def client(mock: EmbeddedMock) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=mock.url, timeout=10) as found:
        found.post("/_truth/reset")
        yield found


def chat(client: httpx2.Client, behaviour: str = "", **body: Any) -> httpx2.Response:
    """One chat request that behaves as asked for in its header."""
    headers = {"x-mock": behaviour} if behaviour else {}
    return client.post("/v1/chat/completions", json={"model": "mock", "messages": MESSAGES, **body}, headers=headers)


def truth(client: httpx2.Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/_truth").json()
    return found


def eventually(holds: Callable[[], bool]) -> None:
    """Wait, at most ten seconds, until something holds."""
    until = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < until, "it never held"
        time.sleep(0.01)


def test_the_instance_and_the_marks_are_told(mock: EmbeddedMock, client: httpx2.Client) -> None:
    """A client can prove that it speaks to the right mock, and that its requests came there."""
    client.get("/v1/models", headers={"x-mock-mark": "a"})
    client.get("/v1/models", headers={"x-mock-mark": "a"})
    assert truth(client)["instance"] == mock.instance
    assert truth(client)["marks"] == {"a": 2}


def test_the_reply_names_the_model_without_its_spec(client: httpx2.Client) -> None:
    """A price can be looked up by the reply's model."""
    reply = chat(client, model="gpt-4o-mini@tokens=3").json()
    assert reply["model"] == "gpt-4o-mini"
    assert reply["usage"]["completion_tokens"] == 3


def test_two_mocks_with_one_seed_give_the_same_answers(client: httpx2.Client) -> None:
    """A body's n-th answer depends on the seed, the body and n alone."""
    question = [{"role": "user", "content": "the same?"}]

    def said(one: httpx2.Client) -> list[str]:
        return [chat(one, messages=question).json()["choices"][0]["message"]["content"] for _ in range(3)]

    other = EmbeddedMock.start(SPEC, 1)
    try:
        with httpx2.Client(base_url=other.url) as second:
            theirs = said(second)
    finally:
        other.stop()
    ours = said(client)
    assert ours == theirs
    assert len(set(ours)) == 3


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("/v1/chat/completions", b"{", 400, "parse"),
        ("/v1/chat/completions", b"[" * 100_000, 400, "nested"),
        ("/v1/chat/completions", b'{"messages": []}', 400, "model"),
        ("/v1/chat/completions", b'{"model": "m"}', 400, "messages"),
        ("/v1/chat/completions", b'{"model": "m@tokns=1", "messages": [{}]}', 400, "did you mean tokens?"),
        ("/v1/chat/completions", b'{"model": "missing-1", "messages": [{}]}', 404, "model_not_found"),
        ("/v1/chat/completions", b'{"model": "m", "n": 2, "messages": [{}]}', 400, "'n'|n must be 1"),
        ("/v1/messages", b'{"model": "m", "messages": [{}]}', 400, "max_tokens: Field required"),
        ("/v1/messages", b'{"model": "missing", "max_tokens": 1, "messages": [{}]}', 404, "not_found_error"),
        ("/v1/embeddings", b'{"model": "m"}', 400, "input"),
        ("/v1/nothing", b"", 404, "Invalid URL"),
    ],
)
def test_a_bad_request_is_refused_as_the_api_does(
    client: httpx2.Client, path: str, body: bytes, status: int, says: str
) -> None:
    """The status and the words are the provider's, and the books count a failure."""
    reply = client.post(path, content=body)
    assert reply.status_code == status
    assert any(part in reply.text for part in says.split("|"))
    assert "error" in reply.json()
    assert truth(client)["failed_by"] == {str(status): 1}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 413, 429, 500, 503, 529])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
def test_each_status_can_be_asked_for(client: httpx2.Client, path: str, status: int) -> None:
    """A header brings any failure, with an error body and, for 429, the time to wait."""
    body = {"model": "m", "messages": MESSAGES, "input": "x", "max_tokens": 5}
    reply = client.post(path, json=body, headers={"x-mock-status": str(status)})
    assert reply.status_code == status
    assert reply.json()["error"]["message"]
    assert ("retry-after" in reply.headers) is (status == 429)


def test_a_share_of_requests_fails(client: httpx2.Client) -> None:
    """errors= draws from the seed, near the share that was asked for."""
    statuses = [chat(client, "errors=rate_limited:0.3|500:0.2,tokens=1").status_code for _ in range(200)]
    assert 30 < statuses.count(429) < 90
    assert 15 < statuses.count(500) < 65
    assert truth(client)["failed"] == 200 - statuses.count(200)


def test_a_key_is_required_and_leaked_only_when_asked_for(client: httpx2.Client) -> None:
    """auth= wants its key; echo=key puts the sent one into the error."""
    sent = {"authorization": "Bearer sk-wrong", "x-mock": "auth=sk-right"}
    body = {"model": "m", "messages": MESSAGES}
    refused = client.post("/v1/chat/completions", json=body, headers=sent)
    assert refused.status_code == 401
    assert "sk-" not in refused.text
    sent["x-mock"] += ",echo=key"
    assert "Bearer sk-wrong" in client.post("/v1/chat/completions", json=body, headers=sent).text
    sent["authorization"] = "Bearer sk-right"
    assert client.post("/v1/chat/completions", json=body, headers=sent).status_code == 200


def test_a_prompt_over_the_context_is_refused(client: httpx2.Client) -> None:
    """Each API says so in its own words."""
    assert chat(client, "context=3").json()["error"]["code"] == "context_length_exceeded"
    body = {"model": "m", "max_tokens": 1, "messages": MESSAGES}
    assert "prompt is too long" in client.post("/v1/messages", json=body, headers={"x-mock": "context=3"}).text


def test_an_echo_repeats_the_user(client: httpx2.Client) -> None:
    """echo=prompt says the last user text back."""
    assert chat(client, "echo=prompt").json()["choices"][0]["message"]["content"] == MESSAGES[0]["content"]


def test_a_cut_stream_is_counted_aborted_with_its_tokens(client: httpx2.Client) -> None:
    """The connection closes inside the reply, after exactly the tokens that were asked for."""
    body = {"model": "mock@cut=3", "stream": True, "messages": MESSAGES}
    got = ""
    with pytest.raises(httpx2.RemoteProtocolError), client.stream("POST", "/v1/chat/completions", json=body) as reply:
        for text in reply.iter_text():
            got += text
    assert got.count('"content":') == 1 + 3
    found = truth(client)
    assert (found["completed"], found["aborted_by"], found["aborted_tokens"]["output"]) == (0, {"cut": 1}, 3)


def test_an_error_inside_a_stream_is_counted_failed(client: httpx2.Client) -> None:
    """The stream ends cleanly, with an error object and without [DONE]."""
    text = chat(client, "error_after=2", stream=True).text
    assert '"error"' in text
    assert "[DONE]" not in text
    assert truth(client)["failed_by"] == {"event": 1}


def test_a_stream_without_its_end_is_counted_aborted(client: httpx2.Client) -> None:
    """done=no ends cleanly but says neither usage nor [DONE]."""
    text = chat(client, "done=no", stream=True).text
    assert "[DONE]" not in text
    assert truth(client)["aborted_by"] == {"done=no": 1}


@pytest.mark.parametrize("behaviour", ["ttft=60s", "ttft=0,itl=60s"])
def test_a_client_that_goes_away_is_counted_aborted_at_once(client: httpx2.Client, behaviour: str) -> None:
    """Before the first token or between two, without waiting for the next."""
    body = {"model": f"mock@{behaviour}", "stream": True, "messages": MESSAGES}
    with httpx2.Client(base_url=client.base_url) as leaver, leaver.stream("POST", "/v1/chat/completions", json=body):
        assert truth(client)["concurrent"]["now"] == 1
    eventually(lambda: truth(client)["aborted_by"] == {"client": 1})
    assert truth(client)["concurrent"]["now"] == 0


def test_a_reply_that_was_read_whole_is_always_counted_completed(client: httpx2.Client) -> None:
    """The books are never behind what a client has seen."""
    for number in range(1, 51):
        chat(client, stream=number % 2 == 0)
        assert truth(client)["completed"] == number


def test_times_are_those_of_the_schedule(client: httpx2.Client) -> None:
    """No token is sent before it is due, nor an unstreamed reply before its last token would be."""
    chat(client, "ttft=50ms,itl=5ms,tokens=5", stream=True)
    chat(client, "ttft=50ms,itl=5ms,tokens=5")
    found = truth(client)
    assert found["ttft_s"]["count"] == 1
    assert found["ttft_s"]["min"] >= 0.05
    assert found["itl_s"]["count"] == 4
    assert found["duration_s"]["min"] >= 0.07


def test_a_bundle_holds_several_tokens(client: httpx2.Client) -> None:
    """Ten tokens by four come in three chunks and are still ten."""
    text = chat(client, "tokens=10,bundle=4", stream=True, stream_options={"include_usage": True}).text
    assert text.count('"content":') == 1 + 3
    assert '"completion_tokens": 10' in text


def run_command(*arguments: str) -> subprocess.Popen[str]:
    """The `agentlocust mock` command, as a person starts it."""
    program = "import sys; from agentlocust.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", program, "mock", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_a_signal_even_with_open_streams(number: signal.Signals) -> None:
    """It says where it listens, and a signal ends it cleanly though a client still waits."""
    process = run_command("--spec", "ttft=60s")
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("agentlocust mock listening on http://127.0.0.1:")
    url = line.split()[-1]
    body = {"model": "m", "stream": True, "messages": MESSAGES}
    with httpx2.Client(base_url=url) as waiter, waiter.stream("POST", "/v1/chat/completions", json=body):
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "", "")


def test_a_taken_port_is_a_clear_error() -> None:
    """Exit code 2 and a message, no traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = run_command("--port", str(taken.getsockname()[1]))
        _, err = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "cannot listen" in err
    assert "Traceback" not in err


def test_a_mock_that_cannot_start_says_why() -> None:
    """The error carries what the child wrote."""
    with pytest.raises(AgentLocustError, match="did you mean ttft"):
        EmbeddedMock.start("tftt=1s")


def test_stop_ends_the_mock_and_may_be_repeated() -> None:
    """After stop there is no process left, also when streams were open."""
    mock = EmbeddedMock.start(SPEC)
    with httpx2.Client(base_url=mock.url) as waiter:
        body = {"model": "mock@ttft=60s", "stream": True, "messages": MESSAGES}
        with waiter.stream("POST", "/v1/chat/completions", json=body):
            mock.stop()
    mock.stop()
    assert not psutil.pid_exists(mock.pid)


def test_in_a_patched_process_it_ends_by_itself_too() -> None:
    """Also where nothing else wakes gevent's hub, the mock hears that it may go, and needs no signal."""
    program = (
        "from gevent import monkey; monkey.patch_all()\n"
        "from agentlocust.mock import embedded\n"
        "embedded._STOP_TIMEOUT = 20.0\n"
        "mock = embedded.EmbeddedMock.start()\n"
        "mock._process.terminate = mock._process.kill = lambda: print('told to')\n"
        "mock.stop()\n"
        "print(mock._process.returncode)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"


def test_the_mock_dies_with_its_parent() -> None:
    """A parent killed outright takes its mock along."""
    program = (
        "import json, sys, time\n"
        "from agentlocust.mock.embedded import EmbeddedMock\n"
        "mock = EmbeddedMock.start()\n"
        "print(json.dumps([mock.pid, mock.url]), flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid, url = json.loads(parent.stdout.readline())
    assert httpx2.get(url + "/_truth").status_code == 200
    assert os.getsid(pid) != os.getsid(parent.pid)
    parent.kill()
    parent.communicate()
    eventually(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
