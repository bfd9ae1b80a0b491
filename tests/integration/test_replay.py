"""What the proxy recorded the mock serves again: to official SDKs, to Locust, in order, with its times."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any, Self

import anthropic
import openai
import pytest

from harness import clean_environment, get, post, run, spawn, wait_until
from proxy_server import CLI, ProxyServer, exchange, request
from sample_locustfiles import chat
from scripted_server import READ, STREAM_HEAD, ScriptedServer, chunk, token

ASKED: Any = [{"role": "user", "content": "canary-question"}]
KEY = "sk-canary-0123456789abcdef"


class Replay:
    """`agentlocust mock --replay`."""

    def __init__(self, directory: Path, cassette: Path, *args: str) -> None:
        name = f"replay-{time.monotonic_ns()}"
        self._out = directory / f"{name}.stdout"
        command = [*CLI, "mock", "--replay", str(cassette), *args]
        self._process: subprocess.Popen[bytes] = spawn(command, directory, clean_environment(name), name)
        wait_until(self._address, "the replay to listen")
        self.url = self._address()

    def _address(self) -> str:
        assert self._process.poll() is None, self._out.with_suffix(".stderr").read_text()
        found = re.search(r"listening on (http://\S+)\n", self._out.read_text())
        return found[1] if found else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)


def gpt(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=2)


def session(url: str) -> list[object]:
    """What both SDKs make of a few requests, one of them made twice."""
    found: list[object] = []
    with gpt(url) as one, anthropic.Anthropic(base_url=url, api_key=KEY) as other:
        for _ in range(2):
            reply = one.chat.completions.create(model="gpt-4o-mini", messages=ASKED)
            found.append((reply.choices[0].message.content, reply.usage and reply.usage.completion_tokens))
        stream = one.chat.completions.create(
            model="gpt-4o-mini", messages=ASKED, stream=True, stream_options={"include_usage": True}
        )
        found.append([chunk.model_dump_json() for chunk in stream])
        with other.messages.stream(model="claude-sonnet-5", max_tokens=50, messages=ASKED) as messages:
            found.append(messages.get_final_message().model_dump_json())
        found.append([model.id for model in one.models.list()])
    return found


@pytest.fixture
def cassette(tmp_path, mock_server):
    """A recorded session, and what the SDKs made of it."""
    path = tmp_path / "session.jsonl"
    mock = mock_server("ttft=20ms,itl=5ms,tokens=9")
    with ProxyServer(tmp_path, mock.url, "--record", str(path)) as proxy:
        heard = session(proxy.url)
        proxy.records(5)
    return path, heard


@pytest.mark.parametrize("speed", ["1", "10"])
def test_a_replayed_session_is_the_same_to_the_sdks(tmp_path, cassette, speed):
    """Every field of every reply, in the same order; a second asking gets the second answer."""
    path, heard = cassette
    with Replay(tmp_path, path, "--speed", speed) as replay:
        assert session(replay.url) == heard
        state = f"{replay.url}/_replay"  # a client has its last byte a moment before the server is done
        wait_until(lambda: get(state)["completed"] == 5, "the replay to count its last reply", 10)
        told = get(state)
        assert (told["missed"], told["left"]) == (0, 0)
        post(f"{replay.url}/_replay/reset")
        assert session(replay.url) == heard
    assert KEY not in path.read_text()


def test_what_was_not_recorded_is_refused_with_what_is_nearest(tmp_path, cassette):
    """A 404 that no SDK tries again, and says which part of the request differs."""
    path, _ = cassette
    with Replay(tmp_path, path) as replay, gpt(replay.url) as client:
        with pytest.raises(openai.NotFoundError, match=r"differs in temperature"):
            client.chat.completions.create(model="gpt-4o-mini", messages=ASKED, temperature=1)
        for _ in range(2):
            client.chat.completions.create(model="gpt-4o-mini", messages=ASKED)
        with pytest.raises(openai.NotFoundError, match=r"asked 2 times and this is one more"):
            client.chat.completions.create(model="gpt-4o-mini", messages=ASKED)
        assert get(f"{replay.url}/_replay")["missed"] == 2


def test_hashed_texts_are_replayed_as_filler_of_the_same_length(tmp_path, mock_server):
    """No text is in the file; tokens and usage are those that were recorded; the reply says that it is made up."""
    path = tmp_path / "session.jsonl"
    mock = mock_server("ttft=1ms,itl=1ms,tokens=9")
    with ProxyServer(tmp_path, mock.url, "--record", str(path), "--texts", "hash") as proxy, gpt(proxy.url) as client:
        said = client.chat.completions.create(model="gpt-4o-mini", messages=ASKED).choices[0].message.content
        proxy.records(1)
    written = path.read_text()
    assert "canary-question" not in written
    assert str(said) not in written
    with Replay(tmp_path, path) as replay, gpt(replay.url) as client:
        raw = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=ASKED)
    reply = raw.parse()
    assert raw.headers["x-agentlocust-replay"] == "synthetic"
    assert str(reply.choices[0].message.content).split() == ["word"] * 9
    assert reply.usage is not None
    assert reply.usage.completion_tokens == 9


def test_a_reply_that_was_cut_is_cut_again(tmp_path):
    """After the same bytes, without the end of a whole one."""
    path = tmp_path / "session.jsonl"
    ask = b'{"model":"gpt-4o-mini","stream":true,"messages":[]}'
    data = request("POST", "/v1/chat/completions", ask)
    with (
        ScriptedServer([READ, STREAM_HEAD, chunk(token("Hel"))]) as server,
        ProxyServer(tmp_path, server.url, "--record", str(path)) as proxy,
    ):
        exchange(proxy.url, data)
        proxy.records(1)
    assert json.loads(path.read_text().splitlines()[1])["ending"] == "cut"
    with Replay(tmp_path, path) as replay:
        answer = exchange(replay.url, data)
    assert answer.endswith(chunk(token("Hel")))


def test_locust_runs_against_a_replay(tmp_path, mock_server):
    """Through the proxy once, then from the cassette: the same calls and tokens, and it costs nothing."""
    path, code = tmp_path / "session.jsonl", chat("error_rate < 1%")
    mock = mock_server("ttft=5ms,itl=1ms,tokens=6")
    options = ("--calls", "10", "--seed", "7")
    with ProxyServer(tmp_path, mock.url, "--record", str(path)) as proxy:
        first = run(tmp_path, code, "--host", proxy.url, *options, "--out", "first", users=1, run_time="20s").expect(0)
        proxy.records(10)
    with Replay(tmp_path, path) as replay:
        again = run(tmp_path, code, "--host", replay.url, *options, "--out", "again", users=1, run_time="20s").expect(0)
    was, now = (
        json.loads(next((result.directory / name).glob("2*/summary.json")).read_text())["totals"]
        for result, name in ((first, "first"), (again, "again"))
    )
    assert was["calls"] == now["calls"] == 10
    assert was["tokens"] == now["tokens"]


@pytest.mark.parametrize(
    ("args", "said"), [(("--speed", "0"), "a speed of 0"), (("--spec", "ttft=1ms"), "how it behaves")]
)
def test_nonsense_is_refused(tmp_path, cassette, args, said):
    """Exit code 2 and a sentence."""
    path, _ = cassette
    done = subprocess.run(
        [*CLI, "mock", "--replay", str(path), *args],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=clean_environment("x"),
    )
    assert done.returncode == 2
    assert said in done.stderr
