"""A model server's `/metrics`, as vLLM, SGLang and TGI write it, and as hostile ones might."""

from __future__ import annotations

import contextlib
import importlib.util
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.errors import ConfigError
from agentlocust.monitor import scrape as module
from agentlocust.monitor.scrape import Scrape, Scraper, parse_scrape, read_page

VLLM = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 4.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="m"} 12.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.875
# TYPE vllm:gpu_cache_usage_perc gauge
vllm:gpu_cache_usage_perc{engine="1",model_name="m"} 0.875
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="m"} 1000.0
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_sum{model_name="m"} 1.5
vllm:time_to_first_token_seconds_bucket{le="0.1",model_name="m"} 2.0
vllm:time_to_first_token_seconds_bucket{le="+Inf",model_name="m"} 4.0
vllm:time_to_first_token_seconds_count{model_name="m"} 4.0
"""
SGLANG = """\
# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{model_name="m",tp_rank="0",dp_rank="0"} 5.0
sglang:num_running_reqs{model_name="m",tp_rank="1",dp_rank="0"} 5.0
sglang:num_running_reqs{model_name="m",tp_rank="0",dp_rank="1"} 2.0
# TYPE sglang:num_queue_reqs gauge
sglang:num_queue_reqs{model_name="m"} 7.0
# TYPE sglang:token_usage gauge
sglang:token_usage{model_name="m"} 0.5
"""
TGI = "# TYPE tgi_queue_size gauge\ntgi_queue_size 9\n# TYPE tgi_batch_current_size gauge\ntgi_batch_current_size 8\n"


@pytest.mark.parametrize(
    ("page", "running", "queued", "cache"), [(VLLM, 7, 12, 0.875), (SGLANG, 7, 7, 0.5), (TGI, 8, 9, None)]
)
def test_the_servers_names_become_ours(page, running, queued, cache):
    """Engines are added up, ranks of one model are not, and the fullest cache counts."""
    found = read_page(page)
    assert found["running"] == (running, False)
    assert found["queued"] == (queued, False)
    assert found.get("kv_cache") == (None if cache is None else (cache, False))
    assert len(found) == (2 if cache is None else 3)


def test_others_are_read_by_their_exact_names():
    """Counters, also a histogram's, are known as such; nothing that was not asked for is there."""
    names = ["vllm:generation_tokens_total", "vllm:time_to_first_token_seconds_sum", "vllm:no_such"]
    found = read_page(VLLM, names)
    assert found["vllm:generation_tokens_total"] == (1000.0, True)
    assert found["vllm:time_to_first_token_seconds_sum"] == (1.5, True)
    assert set(found) == {"running", "queued", "kv_cache", *names[:2]}


@given(st.lists(st.sampled_from([*VLLM.split("\n"), "tgi_queue_size NaN", "tgi_queue_size 1e300", "tgi_queue_size {"])))
def test_a_broken_page_is_a_value_error(lines):
    """Lines cut, mixed up or wrong: a ValueError or finite figures."""
    try:
        found = read_page("\n".join(lines))
    except ValueError:
        return
    assert all(0 <= value < 1e15 for value, _ in found.values())


@pytest.mark.parametrize(
    ("text", "host", "scrape"),
    [
        ("http://127.0.0.1:8000", "", Scrape("http", "127.0.0.1", 8000, "/metrics")),
        ("http://localhost:8000/x/metrics", "", Scrape("http", "localhost", 8000, "/x/metrics")),
        ("http://[::1]:8000#a; b:c;a", "", Scrape("http", "::1", 8000, "/metrics", ("a", "b:c"))),
        ("https://llm.example:9000", "https://llm.example/v1", Scrape("https", "llm.example", 9000, "/metrics")),
    ],
)
def test_it_is_read(text, host, scrape):
    """A URL, and after # the metrics asked for by name."""
    assert parse_scrape(text, host) == scrape
    assert "#" not in scrape.label


@pytest.mark.parametrize(
    "text",
    [
        *("8000", "ftp://127.0.0.1", "http://user:pw@127.0.0.1/", "http://127.0.0.1/metrics?x=1", "", "http://["),
        *("http://llm.example:8000", "http://127.0.0.1:1#a b", "http://127.0.0.1:1#a_bucket"),
        "http://127.0.0.1:1#" + ";".join(f"m{number}" for number in range(30)),
    ],
)
def test_what_must_not_be_asked_is_refused(text):
    """No foreign machine, no password in a URL, no nonsense."""
    with pytest.raises(ConfigError) as caught:
        parse_scrape(text, "http://other.example")
    assert caught.value.where == "--scrape"


def test_a_missing_library_is_one_clear_message(monkeypatch):
    """With the extra that has it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"agentlocust\[prometheus\]"):
        parse_scrape("http://127.0.0.1:8000")


@contextlib.contextmanager
def server(answer):
    """Answers GETs with what `answer(handler)` gives, on a free port; the requests' headers are kept."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, dict(self.headers)))
            answer(self)

        def log_message(self, *_):
            """Quiet."""

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield parse_scrape(f"http://127.0.0.1:{httpd.server_address[1]}#vllm:generation_tokens_total"), seen
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def page(text: str, status: int = 200, **headers: str):
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        with contextlib.suppress(OSError):
            handler.wfile.write(text.encode())

    return answer


def test_a_page_is_scraped_without_any_key(monkeypatch):
    """Figures as ints: requests as they are, shares in thousandths. Nothing of the environment is sent."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-canary-canary")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with server(page(VLLM)) as (scrape, seen):
        scraper = Scraper(scrape, 1.0)
        scraper.read()
        figures, events = scraper.take()
    assert figures == {"running": 7, "queued": 12, "kv_cache": 875, "vllm:generation_tokens_total": None}
    assert events == []
    assert scraper.take() == ({}, [])
    ((path, headers),) = seen
    assert path == "/metrics"
    assert "canary" not in str(headers)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (page("no", 404), "status 404"),
        (page("", 302, Location="http://127.0.0.1:1/"), "status 302"),
        (page("nothing of ours 1\n"), "none of the metrics"),
        (page("tgi_queue_size {\n"), "ValueError"),
        (page("x" * 5000), "more than"),
    ],
)
def test_a_failure_is_an_event_and_its_end_another(monkeypatch, answer, problem):
    """Told once, however long it lasts; what was known is unknown meanwhile."""
    monkeypatch.setattr(module, "MAX_BYTES", 4000)
    now = [page(VLLM)]
    with server(lambda handler: now[0](handler)) as (scrape, _):
        scraper = Scraper(scrape, 1.0)
        scraper.read()
        now[0] = answer
        scraper.read()
        figures, (event,) = scraper.take()
        assert figures == dict.fromkeys(("running", "queued", "kv_cache", "vllm:generation_tokens_total"))
        assert (event["what"], event["label"]) == ("scrape failed", scrape.label)
        assert problem in event["detail"]
        scraper.read()
        assert scraper.take()[1] == []
        now[0] = page(VLLM)
        scraper.read()
        assert [event["what"] for event in scraper.take()[1]] == ["scrape works again"]


def test_nobody_there_is_an_event():
    """A refused connection is no crash."""
    with server(page(VLLM)) as (scrape, _):
        pass
    scraper = Scraper(scrape, 1.0)
    scraper.read()
    assert [event["what"] for event in scraper.take()[1]] == ["scrape failed"]


def test_a_counter_is_a_rate_that_is_never_negative():
    """Thousandths a second; after a reset it is unknown once, then counts on."""
    scraper = Scraper(Scrape("http", "127.0.0.1", 1, "/"), 1.0)
    course = [(0.0, 100.0), (2.0, 150.0), (3.0, 10.0), (4.0, 12.0)]
    assert [scraper._figure("tokens", value, True, now) for now, value in course] == [None, 25_000, None, 2000]
    assert scraper._figure("temperature", -1.5, False, 5.0) == -1500
