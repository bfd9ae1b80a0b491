"""The User classes against the real mock and a scripted server: replies, runs, tools, SDKs, records."""

from __future__ import annotations

import gc
import zlib
from decimal import Decimal
from typing import ClassVar

import anthropic
import gevent
import openai
import pytest
from gevent.pool import Group
from locust.env import Environment
from locust.event import Events
from locust.exception import StopUser

from agentlocust.failures import FailureKind
from agentlocust.mock.embedded import EmbeddedMock
from agentlocust.pricing import PriceBook
from agentlocust.redact import Scrubber
from agentlocust.usage import Usage
from agentlocust.users.anthropic import AnthropicUser
from agentlocust.users.meter import Meter
from agentlocust.users.openai import OpenAIUser
from harness import get, post
from scripted_server import (
    AWAIT_CLOSE,
    DONE,
    END,
    READ,
    STOP,
    STREAM,
    STREAM_HEAD,
    USAGE,
    ScriptedServer,
    chunk,
    reply,
    token,
)

KEY = "sk-canary-0123456789abcdef"
SCHEMA = {"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]}
TOOLS = [{"name": name, "description": name, "input_schema": SCHEMA} for name in ("lookup", "refund")]
ASK = [{"role": "user", "content": "Hello"}]


class Chatting(OpenAIUser):
    abstract = True
    metrics = ("docs_found",)


class Responding(OpenAIUser):
    abstract = True
    api = "responses"
    max_tokens = 100


class Claude(AnthropicUser):
    abstract = True


EVERY = [Chatting, Responding, Claude]


@pytest.fixture(scope="module")
def server():
    running = EmbeddedMock.start("ttft=5ms,itl=1ms,tokens=6,cached=0.25,tools=auto", 1)
    yield running
    running.stop()


@pytest.fixture
def mock(server):
    post(f"{server.url}/_truth/reset")
    return server


class Bench:
    """A Locust environment with our meter in it; `user` makes a user, `fired` holds Locust's events."""

    def __init__(self, url):
        self.fired = []
        self.environment = Environment(events=Events(), host=url)
        self.meter = Meter(self.environment, PriceBook.load(), Scrubber([KEY]))
        self.meter.mock_url = url
        self.environment.agentlocust = self.meter
        self.environment.events.request.add_listener(lambda **event: self.fired.append(event))
        self._users = []

    def user(self, user_class=Chatting, **settings):
        user = user_class(self.environment)
        for name, value in settings.items():
            setattr(user, name, value)
        self._users.append(user)
        return user

    def counts(self, kind="LLM"):
        total = {}
        for _, row in self.meter.ledger.select(kind):
            for name, n in row.counts.items():
                total[name] = total.get(name, 0) + n
        return total

    def count(self, name, kind="LLM"):
        return self.counts(kind).get(name, 0)

    def sketch(self, metric, kind):
        (found,) = [row.sketches[metric] for _, row in self.meter.ledger.select(kind) if metric in row.sketches]
        return found

    def close(self):
        for user in self._users:
            user.pool.close()


@pytest.fixture
def bench(mock):
    bench = Bench(mock.url)
    yield bench
    bench.close()


@pytest.fixture
def scripted(monkeypatch):
    """A bench whose users talk to a scripted server, with a key."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    opened = []

    def start(*scripts):
        server = ScriptedServer(*scripts)
        bench = Bench(server.url)
        opened.extend((bench, server))
        return bench, server

    yield start
    for thing in opened:
        thing.close()


def agrees(bench, mock):
    """The ledger's counters equal the mock's, and cost an oracle in Decimal, exactly."""
    truth, counts = get(f"{mock.url}/_truth"), bench.counts()
    told = {name: counts.get(name, 0) for name in truth["tokens"]}
    assert told == truth["tokens"]
    assert counts["calls"] - counts.get("failed", 0) == truth["completed"]
    assert counts["attempts"] == truth["requests"]
    return counts


# -- chat -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("user_class", EVERY)
@pytest.mark.parametrize("streamed", [True, False])
def test_chat_gives_what_the_server_said(bench, mock, user_class, streamed):
    """Text, usage, price and times of a reply; the same in ledger, event and the mock's books."""
    user = bench.user(user_class)
    got = user.chat("Where is order 42?", stream=streamed, name="ask", labels={"tenant": "a"})
    assert got.ok
    assert got.status == 200
    assert len(got.text.split()) == 6
    counts = agrees(bench, mock)
    assert (got.usage.input, got.usage.output) == (counts["input"], counts["output"])
    assert got.usage.cache_read > 0
    assert not got.usage.estimated
    price = PriceBook.load().price(user.model)
    assert got.cost == Decimal(price.cost(got.usage)) / 10**12
    assert counts["cost_picousd"] == price.cost(got.usage)
    assert got.model == user.model
    assert (got.ttft is None) == (not streamed)
    if streamed:
        assert 0.005 <= got.ttft <= got.latency
    (event,) = bench.fired
    assert (event["request_type"], event["name"], event["exception"]) == ("LLM", "ask", None)
    assert event["context"]["output_tokens"] == got.usage.output
    assert event["context"]["cost_usd"] == float(got.cost)
    assert event["context"]["labels"] == {"tenant": "a"}
    assert event["response_time"] == got.latency * 1000
    (key,) = bench.meter.ledger.rows
    assert key == ("LLM", "ask", user.model, "main", (("tenant", "a"),))


def test_ttft_has_a_row_that_leaves_the_aggregate_true(bench):
    """Locust's own listener counts each call once; the TTFT row adds nothing to the total."""
    stats = bench.environment.stats
    bench.environment.events.request.add_listener(
        lambda request_type, name, response_time, response_length, **_: stats.log_request(
            request_type, name, response_time, response_length
        )
    )
    user = bench.user()
    for _ in range(3):
        user.chat("Hello")
    assert stats.total.num_requests == 3
    assert stats.entries["chat", "TTFT"].num_requests == 3
    assert stats.entries["chat", "LLM"].num_requests == 3
    with user.agent_run("whole") as run:
        run.fail("no")
    assert stats.entries["whole", "AGENT"].num_failures == 1
    assert (stats.total.num_requests, stats.total.num_failures) == (3, 0)


def test_embed(bench, mock):
    """Vectors in order, priced by the embedding model."""
    got = bench.user().embed(["one", "two"])
    assert got.ok
    assert len(got.vectors) == 2
    agrees(bench, mock)
    assert bench.fired[0]["name"] == "embed"


def test_no_usage_is_counted_here_and_flagged(bench, mock):
    """A server that tells no usage gets estimates, said to be such."""
    got = bench.user().chat("Hello", model="gpt-4o-mini@usage=no")
    assert got.ok
    assert got.usage.estimated
    assert got.usage.output > 0
    assert bench.count("estimated") == got.usage.total


def test_a_failed_call_is_a_reply_and_fails_its_run(bench, mock):
    """Nothing is raised; the run carries the reason; latency percentiles do not see it."""
    user = bench.user()
    with user.agent_run("refund") as run:
        got = user.chat("Hello", model="gpt-4o-mini@status=429")
    assert not got.ok
    assert got.failure.kind is FailureKind.RATE_LIMITED
    assert got.usage == Usage()
    assert run.error == "call failed: rate_limited"
    assert bench.count("failed", "AGENT") == bench.count("failed") == 1
    assert [str(event["exception"]).split(":")[0] for event in bench.fired] == ["rate_limited"]
    agrees(bench, mock)


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (lambda reply: False, "check failed"),
        (lambda reply: "wrong order", "wrong order"),
        (lambda reply: 1 / 0, "ZeroDivisionError"),
        (lambda reply: None, ""),
        (lambda reply: True, ""),
        (lambda reply: "", ""),
        (lambda reply: None if len(reply.text.split()) == 6 and reply.usage.output == 6 else "empty reply", ""),
    ],
)
def test_a_check_judges_before_the_call_is_recorded(bench, mock, check, words):
    """False, a reason or an exception fail the call; its tokens were spent all the same."""
    got = bench.user().chat("Hello", check=check)
    assert got.ok == (not words)
    if words:
        assert got.failure.kind is FailureKind.CHECK
        assert words in got.failure.message
    assert bench.count("failed") == (1 if words else 0)
    assert bench.count("output") == 6


def test_goodput_counts_the_calls_that_meet_it(bench):
    """Each call is judged by the User's own SLOs; failed ones are not good."""

    class Fast(Chatting):
        abstract = True
        goodput: ClassVar = {"ttft": "10s"}

    class Slow(Chatting):
        abstract = True
        goodput: ClassVar = {"ttft": "1ms"}

    for user_class in (Fast, Slow):
        bench.user(user_class).chat("Hello")
    assert (bench.count("judged"), bench.count("good")) == (2, 1)


def test_own_metrics(bench):
    """Named ones are recorded, unknown names and what is no number refused."""
    user = bench.user()
    user.metric("docs_found", 7)
    for name, value in (
        ("docs_fond", 7),
        ("docs_found", float("nan")),
        ("docs_found", float("inf")),
        ("docs_found", 10**400),
    ):
        with pytest.raises(ValueError, match="docs_fo"):
            user.metric(name, value)
    assert bench.sketch("docs_found", "METRIC").count == 1


# -- runs and tools ---------------------------------------------------------------------------------


@pytest.mark.parametrize("user_class", EVERY)
@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("calls", [1, 2, 4], ids=["one", "two", "the-same-twice"])
def test_a_tool_loop_in_every_dialect(bench, mock, user_class, streamed, calls):
    """The conversation a run keeps is one the server accepts, with every tool answered once."""
    user = bench.user(user_class, stream=streamed)
    model = f"{user.model}@tool_calls={calls}"
    with user.agent_run("refund", labels={"tenant": "a"}) as run:
        got = user.chat("Where is order 42?", tools=TOOLS, model=model)
        assert len(got.tool_calls) == calls
        for call in got.tool_calls:
            assert call.valid
            with run.tool(call.name) as tool:
                tool.result = {"order": call.arguments["order"]}
        got = user.chat(run.messages, tools=TOOLS, model=model)
        assert got.ok, got.failure
        assert not got.tool_calls
        got = user.chat("Thanks!", tools=TOOLS, model=model, tool_choice="none")
        assert got.ok, got.failure
        assert run.check(got.text, "no answer")
    assert run.error == ""
    assert agrees(bench, mock)["calls"] == run.calls == 3
    assert bench.count("calls", "TOOL") == calls == get(f"{mock.url}/_truth")["tool_calls"]
    assert [event["request_type"] for event in bench.fired] == ["LLM", *["TOOL"] * calls, "LLM", "LLM"]
    assert all(key[4] == (("tenant", "a"),) for key in bench.meter.ledger.rows)
    assert bench.sketch("run_tokens", "AGENT").sum == bench.count("input") + bench.count("output")
    assert bench.sketch("run_cost", "AGENT").sum == bench.count("cost_picousd")


@pytest.mark.parametrize("user_class", EVERY)
def test_a_failed_tool_is_told_to_the_model(bench, user_class):
    """`fail` lets the agent go on; the answer says that it is an error."""
    user = bench.user(user_class)
    with user.agent_run("refund") as run:
        (call,) = user.chat("Where is order 42?", tools=TOOLS).tool_calls
        with run.tool(call.name) as tool:
            tool.fail("database is down")
        assert "database is down" in str(run.messages[-1])
        assert user.chat(run.messages, tools=TOOLS).ok
    assert run.error == ""
    assert (bench.count("calls", "TOOL"), bench.count("failed", "TOOL")) == (1, 1)


def test_what_is_raised_marks_tool_and_run(bench):
    """An exception is recorded on its way up, in both; a check's first reason is kept."""
    user = bench.user()
    with pytest.raises(KeyError), user.agent_run("refund") as run, run.tool("lookup"):
        raise KeyError("42")
    assert run.error == "KeyError: '42'"
    assert user.current_run is None
    assert bench.count("failed", "TOOL") == bench.count("failed", "AGENT") == 1
    with user.agent_run("refund") as run:
        assert not run.check([], "first")
        run.fail("second")
    assert run.error == "first"


def test_runs_within_runs_add_up(bench):
    """The outer run holds the inner one's calls, tokens and cost, and fails with it."""
    user = bench.user()
    with user.agent_run("outer") as outer:
        user.chat("Hello")
        with user.agent_run("inner") as inner:
            user.chat("Hello")
            user.chat("Hello again")
            inner.fail("no")
    assert (inner.calls, outer.calls) == (2, 3)
    assert outer.error == "inner: no"
    assert outer.tokens == bench.count("input") + bench.count("output")
    assert outer.cost_picousd == bench.count("cost_picousd")
    assert user.current_run is None


# -- the SDKs ---------------------------------------------------------------------------------------


def test_every_way_of_the_openai_sdk_is_measured(bench, mock):
    """Plain, streamed, raw, streaming raw, helpers, responses, embeddings: one call each, exact tokens."""
    client = bench.user().client
    chats, asked = client.chat.completions, {"model": "gpt-4o-mini", "messages": ASK}
    with_usage = {**asked, "stream_options": {"include_usage": True}}
    chats.create(**asked)
    list(chats.create(**with_usage, stream=True))
    chats.with_raw_response.create(**asked).parse()
    with chats.with_streaming_response.create(**with_usage, stream=True) as raw:
        assert list(raw.iter_lines())
    with chats.stream(**with_usage) as stream:
        stream.get_final_completion()
    client.responses.create(model="gpt-4o-mini", input="Hello")
    with client.responses.stream(model="gpt-4o-mini", input="Hello") as events:
        events.get_final_response()
    client.embeddings.create(model="text-embedding-3-small", input="Hello")
    client.models.list()
    assert bench.count("calls") == len(bench.fired) == 8
    assert bench.count("failed") == bench.count("cancelled") == bench.count("estimated") == 0
    truth = get(f"{mock.url}/_truth")
    assert {name: bench.count(name) for name in truth["tokens"]} == truth["tokens"]
    assert bench.meter.ledger.rows["LLM", "chat", "gpt-4o-mini", "main", ()].sketches["ttft"].count == 4


def test_every_way_of_the_anthropic_sdk_is_measured(bench, mock):
    """Plain, streamed, helper, raw: one call each, exact tokens."""
    user = bench.user(Claude)
    messages, asked = user.client.messages, {"model": user.model, "messages": ASK, "max_tokens": 50}
    messages.create(**asked)
    list(messages.create(**asked, stream=True))
    with messages.stream(**asked) as stream:
        assert "".join(stream.text_stream)
    messages.with_raw_response.create(**asked).parse()
    assert agrees(bench, mock)["calls"] == len(bench.fired) == 4
    assert bench.count("failed") == bench.count("cancelled") == bench.count("estimated") == 0


def test_sdk_streams_keep_their_connection(scripted):
    """A stream read to `[DONE]` leaves the connection for the next call, also when the end comes late."""
    late = [STREAM_HEAD + b"".join(map(chunk, (token("a"), STOP, USAGE, DONE))), 0.05, END]
    bench, server = scripted([READ, *late, READ, STREAM, READ, reply()])
    client = bench.user().client
    for _ in range(2):
        for _chunk in client.chat.completions.create(model="gpt-4o-mini", messages=ASK, stream=True):
            pass
    client.chat.completions.create(model="gpt-4o-mini", messages=ASK)
    assert server.connections == 1
    assert (bench.count("calls"), bench.count("failed")) == (3, 0)


@pytest.mark.parametrize("how", ["close", "break", "forget", "with"])
def test_an_sdk_stream_given_up_early_is_cancelled(scripted, how):
    """The socket is freed at once, and what was generated is counted."""
    bench, server = scripted([READ, STREAM_HEAD + chunk(token("Hello")), AWAIT_CLOSE])
    stream = bench.user().client.chat.completions.create(model="gpt-4o-mini", messages=ASK, stream=True)
    if how == "with":
        with stream:
            next(iter(stream))
    else:
        for _chunk in stream:
            break
        if how == "close":
            stream.close()
        del _chunk
    del stream
    gc.collect()
    assert server.gone.wait(5)
    assert (bench.count("calls"), bench.count("cancelled")) == (0, 1)
    assert bench.count("output") > 0
    assert bench.count("estimated") > 0


def test_sdk_retries_are_attempts_of_one_call(scripted):
    """Two 429 and a reply: one successful call of three attempts, its latency with the back-off."""
    limited = reply(
        b'{"error":{"message":"slow down","code":"rate_limit_exceeded"}}', "429 X", more="Retry-After-Ms: 60\r\n"
    )
    bench, server = scripted([READ, limited, READ, limited, READ, reply()])
    client = bench.user(max_retries=2).client
    assert client.chat.completions.create(model="gpt-4o-mini", messages=ASK).choices[0].message.content == "Hello"
    assert len(server.requests) == 3
    assert (bench.count("calls"), bench.count("failed"), bench.count("attempts")) == (1, 0, 3)
    assert bench.fired[0]["context"]["attempts"] == 3
    assert bench.fired[0]["response_time"] >= 120


def test_concurrent_sdk_calls_keep_their_own_attempts(scripted):
    """A call that starts while another's retry waits does not take that retry for its own."""
    limited = reply(b"{}", "429 X", more="Retry-After-Ms: 150\r\n")
    bench, _ = scripted([READ, limited, READ, reply()], [READ, 0.3, reply()])
    client = bench.user(max_retries=1).client
    ask = [
        gevent.spawn_later(later, client.chat.completions.create, model="gpt-4o-mini", messages=ASK)
        for later in (0, 0.05)
    ]
    gevent.joinall(ask, raise_error=True)
    assert sorted(event["context"]["attempts"] for event in bench.fired) == [1, 2]


def test_an_sdk_error_does_not_hold_the_key(scripted):
    """A server that echoes the key gets it into no exception, body or record."""
    echo = b'{"error":{"message":"Incorrect API key provided: %s","code":"invalid_api_key"}}' % KEY.encode()
    bench, server = scripted([READ, reply(echo, "401 X", more=f"X-Echo: {KEY}\r\n")] * 1)
    for user_class, error_class in ((Chatting, openai.AuthenticationError), (Claude, anthropic.AuthenticationError)):
        user = bench.user(user_class)
        with pytest.raises(error_class) as raised:
            if user_class is Claude:
                user.client.messages.create(model="claude", messages=ASK, max_tokens=5)
            else:
                user.client.chat.completions.create(model="gpt-4o-mini", messages=ASK)
        assert KEY not in str(raised.value.response.headers.raw)
        assert KEY not in str(raised.value) + repr(raised.value) + str(raised.value.body) + raised.value.response.text
    assert KEY.encode() in server.requests[0]
    assert KEY not in str(bench.meter.ledger.take())
    assert bench.count("failed") == 0  # taken


def test_another_origin_gets_no_key(scripted):
    """Through the SDK as on the fast path: a key is its own origin's, in whatever header it stands."""
    bench, own = scripted([READ, reply()])
    with ScriptedServer([READ, reply()], [READ, reply()]) as other:
        client = bench.user().client.with_options(base_url=f"{other.url}/v1", default_headers={"X-Copy": KEY})
        client.chat.completions.create(model="gpt-4o-mini", messages=ASK)
        assert KEY.encode() not in other.requests[0]
        away = f"HTTP/1.1 307 X\r\nLocation: {other.url}/v1/chat/completions\r\nContent-Length: 0\r\n\r\n".encode()
        bench_two, _ = scripted([READ, away])
        with pytest.raises(openai.APIStatusError):
            bench_two.user().client.chat.completions.create(model="gpt-4o-mini", messages=ASK)
        assert other.connections == 1
    assert own.connections == 0
    assert bench_two.counts()["failure:redirect"] == 1


def test_the_key_travels_to_its_own_origin(scripted):
    """Both ways in send it there, once."""
    bench, server = scripted([READ, reply(), READ, reply()])
    user = bench.user()
    user.chat("Hello", stream=False)
    user.client.chat.completions.create(model="gpt-4o-mini", messages=ASK)
    assert [request.count(KEY.encode()) for request in server.requests] == [1, 1]


def test_a_gzip_bomb_does_not_reach_the_sdk(scripted):
    """The SDK gets unpacked bytes within our limit, and a call that failed."""
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(64)) + packer.flush()
    bench, _ = scripted([READ, reply(bomb, more="Content-Encoding: gzip\r\n")])
    with pytest.raises(openai.APIConnectionError):
        bench.user().client.chat.completions.create(model="gpt-4o-mini", messages=ASK)
    assert bench.counts()["failure:too_large"] == 1


# -- cut short --------------------------------------------------------------------------------------


@pytest.mark.parametrize("sdk", [False, True], ids=["chat", "client"])
def test_a_killed_user_leaves_a_cancelled_call(scripted, sdk):
    """Recorded once with its tokens, told to no one as a failure, in no run's errors."""
    bench, server = scripted([READ, STREAM_HEAD + chunk(token("Hello")), AWAIT_CLOSE])
    user = bench.user()

    def work():
        with user.agent_run("refund"):
            if sdk:
                list(user.client.chat.completions.create(model="gpt-4o-mini", messages=ASK, stream=True))
            else:
                user.chat("Hello")

    greenlet = gevent.spawn(work)
    gevent.sleep(0.3 if not sdk else 1.0)
    greenlet.kill()
    assert server.gone.wait(5)
    assert (bench.count("calls"), bench.count("cancelled"), bench.count("cancelled", "AGENT")) == (0, 1, 1)
    assert bench.count("output") > 0
    assert bench.fired == []


@pytest.mark.parametrize("sdk", [False, True], ids=["chat", "client"])
def test_a_timeout_of_ones_own_is_a_failed_call(scripted, sdk):
    """gevent.Timeout around a call: a `timeout` in the error rate, not a cancelled call that nobody sees."""
    bench, server = scripted([READ, STREAM_HEAD + chunk(token("Hello")), AWAIT_CLOSE])
    user = bench.user()
    client = user.client if sdk else None
    with gevent.Timeout(0.3, exception=False):
        if client:
            list(client.chat.completions.create(model="gpt-4o-mini", messages=ASK, stream=True))
        else:
            user.chat("Hello")
    assert server.gone.wait(5)
    assert bench.counts()["failure:timeout"] == 1
    assert bench.count("cancelled") == 0
    assert len(bench.fired) == 1


def test_a_kill_while_a_long_reply_is_read_loses_nothing(scripted):
    """The server answered whole: the call is recorded although its user dies while it is decoded."""
    parts = b"".join(token(f"t{n}") for n in range(900)) + STOP + USAGE + DONE
    bench, _ = scripted([READ, STREAM_HEAD + chunk(parts) + END])
    user = bench.user()
    greenlet = gevent.spawn(user.chat, "Hello")
    settle = user._finish

    def killed_in_between(tap, *args, **kwargs):
        gevent.get_hub().loop.run_callback(greenlet.kill, gevent.GreenletExit, False)
        return settle(tap, *args, **kwargs)

    user._finish = killed_in_between
    gevent.joinall([greenlet])
    assert isinstance(greenlet.value, gevent.GreenletExit)
    assert bench.count("calls") == 1
    assert bench.count("output") == 2
    assert bench.count("cancelled") == 0


def test_a_user_that_ends_closes_its_connections(scripted):
    """However the greenlet ends, nothing stays open."""

    def chat_once(user):
        user.chat("Hello", stream=False)
        raise StopUser

    class Once(Chatting):
        abstract = True
        tasks: ClassVar = [chat_once]

    bench, server = scripted([READ, reply(), AWAIT_CLOSE])
    user = bench.user(Once)
    group = Group()
    user.start(group)
    group.join()
    gevent.sleep(0)  # the greenlet's links run in the hub
    assert server.gone.wait(5)
    assert bench.count("calls") == 1
