"""Official SDKs through the proxy: what they get is what they would have got, what is told of it is the truth."""

from __future__ import annotations

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic
import openai
import pytest

from harness import get
from proxy_server import ProxyServer, body_of, exchange, request
from scripted_server import READ, ScriptedServer, reply

ASKED: Any = [{"role": "user", "content": "How is the weather in Oslo?"}]
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
KEY = "sk-canary-0123456789abcdef"
PROMPT = "canary-prompt-4711"


def gpt(url: str, retries: int = 0) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=retries)


def claude(url: str, retries: int = 0) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=retries)


def same(answer: bytes) -> bytes:
    """A reply's body with its framing, but for the second in which it was made, and its marks of that mock."""
    return re.sub(rb'"created":\d+', b"", body_of(answer))


def everything(url: str) -> int:
    """One request of each kind that the SDKs make; how many there were."""
    with gpt(url) as one, claude(url) as other:
        one.chat.completions.create(model="mock", messages=ASKED)
        stream = one.chat.completions.create(
            model="mock", messages=ASKED, stream=True, stream_options={"include_usage": True}
        )
        assert sum(bool(chunk.choices and chunk.choices[0].delta.content) for chunk in stream) == 6
        one.chat.completions.create(model="mock", messages=ASKED, tools=TOOLS)
        one.responses.create(model="mock", input="hello")
        with one.responses.stream(model="mock", input="hello") as events:
            events.until_done()
        other.messages.create(model="claude-sonnet-5", max_tokens=50, messages=ASKED)
        with other.messages.stream(model="claude-sonnet-5", max_tokens=50, messages=ASKED) as messages:
            assert messages.get_final_message().usage.output_tokens == 6
    return 7


def test_all_that_the_sdks_ask_is_counted_as_the_mock_served_it(tmp_path, mock_server):
    """Every dialect, streamed and not: calls and tokens equal the mock's truth, nothing is estimated."""
    mock = mock_server("ttft=0,itl=0,tokens=6,cached=0.5,cache_write=0.25")
    with ProxyServer(tmp_path, mock.url) as proxy:
        number = everything(proxy.url)
        records = proxy.records(number)
        totals = proxy.totals()
        truth = mock.final_truth()
        with gpt(proxy.url) as client:  # whose usage tells of no cache
            client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
        records = proxy.records(number + 1)
    assert totals["calls"] == truth["completed"] == number
    for bucket in ("input", "cache_read", "cache_write", "output", "reasoning"):
        assert totals["tokens"][bucket] == truth["tokens"][bucket], bucket
    assert totals["tokens"]["estimated"] == totals["failed"] == 0
    assert {record["dialect"] for record in records} == {
        "openai-chat",
        "openai-responses",
        "openai-embeddings",
        "anthropic",
    }


def test_fifty_streams_at_once_lose_nothing(tmp_path, mock_server):
    """Bytes are those of the straight way, and totals the mock's."""
    spec = "ttft=20ms,itl=5ms,tokens=30,seed=5"
    mock, twin = mock_server(spec), mock_server(spec)
    body = {"model": "gpt-4o-mini", "stream": True, "stream_options": {"include_usage": True}}
    bodies = [json.dumps({**body, "messages": [{"role": "user", "content": str(n)}]}).encode() for n in range(50)]
    data = [request("POST", "/v1/chat/completions", text, "Connection: close") for text in bodies]
    with ProxyServer(tmp_path, mock.url) as proxy, ThreadPoolExecutor(50) as pool:
        straight = list(pool.map(lambda one: exchange(twin.url, one), data))
        through = list(pool.map(lambda one: exchange(proxy.url, one), data))
        records = proxy.records(50)
    truth = mock.final_truth()
    assert [same(one) for one in through] == [same(one) for one in straight]
    assert sum(record["usage"]["output"] for record in records) == truth["tokens"]["output"] == 1500
    assert all(len(record["token_ns"]) == 30 for record in records)


def test_ttft_is_the_mocks(tmp_path, mock_server):
    """Time to the first token and between tokens, as the mock was told to behave."""
    mock = mock_server("ttft=200ms,itl=20ms,tokens=10")
    with ProxyServer(tmp_path, mock.url) as proxy, gpt(proxy.url) as client:
        for _ in range(3):
            list(client.chat.completions.create(model="mock", messages=ASKED, stream=True))
        records = proxy.records(3)
    ttft = min(record["token_ns"][0] for record in records) / 1e6
    assert 199 < ttft < 300
    spans = [record["token_ns"][-1] - record["token_ns"][0] for record in records]
    assert max(spans) / 1e6 > 150  # a late first token shortens a span, a busy machine lengthens one
    assert min(spans) / 1e6 < 250


def test_no_key_and_no_text_is_ever_told(tmp_path, mock_server):
    """Not in what it prints, not in its records, also when the upstream echoes the key in an error."""
    mock = mock_server("ttft=0,itl=0,tokens=6,auth=other,echo=key")
    messages: Any = [{"role": "user", "content": PROMPT}]
    with ProxyServer(tmp_path, mock.url) as proxy, gpt(proxy.url) as one, claude(proxy.url) as other:
        with pytest.raises(openai.AuthenticationError):
            one.chat.completions.create(model="mock", messages=messages)
        with pytest.raises(anthropic.AuthenticationError):
            other.messages.create(model="claude-sonnet-5", max_tokens=5, messages=messages)
        records = proxy.records(2)
    written = proxy.written()
    assert [record["failure"] for record in records] == ["auth", "auth"]
    assert KEY not in written
    assert "0123456789abcdef" not in written
    assert PROMPT not in written


def test_attempts_are_numbered_as_the_sdk_numbers_them(tmp_path, mock_server):
    """Of a call that is tried three times all attempts have one key."""
    mock = mock_server("status=503,retry_after=10ms")
    with ProxyServer(tmp_path, mock.url) as proxy, gpt(proxy.url, 2) as client:
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(model="mock", messages=ASKED)
        records = proxy.records(3)
        assert [proxy.totals()[name] for name in ("calls", "attempts", "failed")] == [1, 3, 3]
    assert [record.get("number", -1) for record in records] == [0, 1, 2]
    assert len({record["key"] for record in records}) == 1


def test_who_overspends_is_told_so_once(tmp_path, mock_server):
    """402 in each provider's own form, not tried again, and the upstream never asked."""
    mock = mock_server("ttft=0,itl=0,tokens=6")
    with ProxyServer(tmp_path, mock.url, "--budget", "$0.000001") as proxy:
        with gpt(proxy.url, 3) as one, pytest.raises(openai.APIStatusError) as refused:
            one.chat.completions.create(model="gpt-4o-mini", messages=ASKED)
        with claude(proxy.url, 3) as other, pytest.raises(anthropic.APIStatusError) as refused_too:
            other.messages.create(model="claude-sonnet-5", max_tokens=500, messages=ASKED)
        records = proxy.records(2)
    assert (refused.value.status_code, refused_too.value.status_code) == (402, 402)
    assert refused.value.code == "insufficient_quota"
    assert "budget" in str(refused_too.value)
    assert [record["failure"] for record in records] == ["budget", "budget"]
    assert mock.truth()["requests"] == 0


def test_a_budget_is_used_to_its_end_and_never_exceeded(tmp_path, mock_server):
    """Twenty agents at once spend what there is, whatever waits for whom."""
    mock = mock_server("ttft=5ms,itl=1ms,tokens=20")
    with ProxyServer(tmp_path, mock.url, "--budget", "$0.0005") as proxy, gpt(proxy.url) as client:

        def spend(_: int) -> tuple[int, int]:
            done = 0
            while True:
                try:
                    client.chat.completions.create(model="gpt-4o-mini", messages=ASKED, max_tokens=40)
                except openai.APIStatusError as error:
                    return done, error.status_code
                done += 1

        with ThreadPoolExecutor(20) as pool:
            told = list(pool.map(spend, range(20)))
        cost = float(proxy.totals()["cost_usd"])
    assert 0.0005 * 0.9 < cost <= 0.0005
    assert {status for _, status in told} == {402}
    assert sum(done for done, _ in told) == mock.final_truth()["completed"]


def test_a_runs_budget_is_its_own(tmp_path, mock_server):
    """Another run may go on when one has spent its money."""
    mock = mock_server("ttft=0,itl=0,tokens=20")
    with ProxyServer(tmp_path, mock.url, "--budget", "$0.00004/run") as proxy, gpt(proxy.url) as client:

        def ask(run: str) -> int:
            headers = {"x-agentlocust-run": run}
            raw = client.chat.completions.with_raw_response
            try:
                return raw.create(model="gpt-4o-mini", messages=ASKED, max_tokens=30, extra_headers=headers).status_code
            except openai.APIStatusError as error:
                return error.status_code

        first = [ask("one") for _ in range(4)]
        time.sleep(0.1)
        second = ask("two")
    assert first[0] == second == 200
    assert first[-1] == 402


def test_what_a_server_does_not_tell_is_counted_and_said_to_be_an_estimate(tmp_path, mock_server):
    """A stream without usage, as SDKs ask for by default."""
    mock = mock_server("ttft=0,itl=0,tokens=6")
    with ProxyServer(tmp_path, mock.url) as proxy, gpt(proxy.url) as client:
        list(client.chat.completions.create(model="gpt-4o-mini", messages=ASKED, stream=True))
        [record] = proxy.records(1)
    assert record["usage"]["estimated"] is True
    assert record["usage"]["output"] == 6
    assert record["usage"]["uncached_input"] > 5


def test_a_compressed_reply_is_read_from_its_copy(tmp_path):
    """What passes stays compressed; encodings that nobody here could undo are not asked for."""
    import gzip

    body = json.dumps(
        {
            "id": "r",
            "model": "gpt-4o-mini",
            "choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 1},
        }
    ).encode()
    packed = gzip.compress(body)
    ask = b'{"model":"gpt-4o-mini","messages":[]}'
    with ScriptedServer([READ, reply(packed, more="Content-Encoding: gzip\r\n")]) as server:
        with ProxyServer(tmp_path, server.url) as proxy:
            answer = exchange(
                proxy.url, request("POST", "/v1/chat/completions", ask, "Accept-Encoding: br, gzip;q=0.9, zstd")
            )
            [record] = proxy.records(1)
        assert b"Accept-Encoding: gzip;q=0.9\r\n" in server.requests[0]
    assert body_of(answer) == packed
    assert (record["usage"]["uncached_input"], record["usage"]["output"]) == (5, 1)


def test_the_proxy_ends_with_a_signal_and_says_what_passed(tmp_path, mock_server):
    """The totals are printed as JSON, the exit code is 0."""
    mock = mock_server("ttft=0,itl=0,tokens=6")
    with ProxyServer(tmp_path, mock.url) as proxy, gpt(proxy.url) as client:
        client.chat.completions.create(model="mock", messages=ASKED)
        assert get(f"{proxy.url}/_proxy")["calls"] == 1
    assert proxy.process.returncode == 0
    said = proxy.output()
    assert json.loads(said[said.index("{") :])["calls"] == 1
