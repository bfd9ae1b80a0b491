"""What agents do to their clients: retries, streams left and closed, cancellations, threads; each call is one call."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import textwrap
from decimal import Decimal

import gevent
import httpx
import httpx2
import pytest
from locust.env import Environment
from locust.event import Events
from openai import AsyncOpenAI, OpenAI

from agentlocust.mock.embedded import EmbeddedMock
from agentlocust.pricing import PriceBook
from agentlocust.redact import Scrubber
from agentlocust.users.meter import Meter
from agentlocust.users.python_agent import PythonAgentUser
from agentlocust.wire.bridge import bridge
from agentlocust.wire.foreign import underneath
from harness import run
from scripted_server import AWAIT_CLOSE, READ, STREAM_HEAD, ScriptedServer, chunk, reply, token

ASKED = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}
BUSY = reply(b'{"error":{"message":"slow down"}}', "429 Too Many Requests", more="retry-after-ms: 1\r\n")
ENDLESS = (READ, STREAM_HEAD, chunk(token("Hel")), chunk(token("lo")), AWAIT_CLOSE)  # tokens, and then nothing
SILENT = (READ, AWAIT_CLOSE)
TRANSPORTS = [
    (getattr(package, cls), method)
    for package in (httpx, httpx2)
    for cls, method in (("HTTPTransport", "handle_request"), ("AsyncHTTPTransport", "handle_async_request"))
]


class Bare(PythonAgentUser):
    """A user whose tasks are written out in the tests."""

    abstract = True


@pytest.fixture(scope="module")
def mock():
    running = EmbeddedMock.start("ttft=5ms,itl=0s,tokens=3", 1)
    yield running
    running.stop()


@pytest.fixture
def user():
    """Makes the user of a target, with metering in force."""
    underneath.hold()
    users = []

    def make(url):
        environment = Environment(events=Events(), host=url)
        environment.agentlocust = Meter(environment, PriceBook.load(), Scrubber([]))
        users.append(Bare(environment))
        return users[-1]

    yield make
    for made in users:
        made.pool.close()
    underneath.release()


def sync_client(user, retries=0):
    return OpenAI(base_url=user.openai_url, api_key="none", max_retries=retries)


def async_client(user, retries=0):
    return AsyncOpenAI(base_url=user.openai_url, api_key="none", max_retries=retries)


def of(run):
    """Each call of a run: its attempts, and its failure's kind, "" if there is none."""
    return [(step.attempts, str(step.failure)) for step in run.tally.steps]


@pytest.mark.parametrize("way", ["sync", "async"])
def test_the_tries_of_an_sdk_are_attempts_of_one_call(user, way):
    """429, 429, 200: one call that is fine, of three attempts."""
    with ScriptedServer((READ, BUSY, READ, BUSY, READ, reply())) as server:
        one = user(server.url)

        async def ask():
            async with async_client(one, 3) as client:
                await client.chat.completions.create(**ASKED)

        with one.agent_run("retried") as done:
            if way == "async":
                one.run_async(ask())
            else:
                with sync_client(one, 3) as client:
                    client.chat.completions.create(**ASKED)
        assert len(server.requests) == 3
    assert of(done) == [(3, "")]
    assert done.error == ""


@pytest.mark.parametrize("way", ["sync", "async"])
def test_tries_that_all_fail_are_one_failed_call(user, way):
    """Three times 429: one call failed, of three attempts, settled when the run ends at the latest."""
    with ScriptedServer((READ, BUSY) * 3) as server:
        one = user(server.url)

        async def ask():
            async with async_client(one, 2) as client:
                await client.chat.completions.create(**ASKED)

        with pytest.raises(Exception, match="slow down"), one.agent_run("failed") as done:
            if way == "async":
                one.run_async(ask())
            else:
                with sync_client(one, 2) as client:
                    client.chat.completions.create(**ASKED)
    assert [attempts for attempts, _ in of(done)] == [3]
    assert done.error


@pytest.mark.parametrize("left", ["open", "closed"])
@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_stream_that_is_not_read_to_its_end_is_a_cancelled_call(user, way, left):
    """Left open until the run ends, or closed early: one call, cancelled, which fails no run."""
    clients = []
    with ScriptedServer(ENDLESS) as server:
        one = user(server.url)

        async def ask():
            clients.append(client := async_client(one))
            stream = await client.chat.completions.create(**ASKED, stream=True)
            clients.append(stream)
            await anext(aiter(stream))
            if left == "closed":
                await stream.close()

        with one.agent_run("left") as done:
            if way == "async":
                one.run_async(ask())
            else:
                clients.append(client := sync_client(one))
                stream = client.chat.completions.create(**ASKED, stream=True)
                clients.append(stream)
                next(iter(stream))
                if left == "closed":
                    stream.close()
        told = of(done)
        for each in reversed(clients):
            closing = each.close()
            if closing is not None:
                bridge().run(closing)
        assert of(done) == told == [(1, "cancelled")]
        assert done.error == ""


def test_a_call_cut_by_a_timeout_of_the_agents_own_fails(user):
    """`asyncio.wait_for` ran out: one call, failed by its client; the agent goes on with the next."""
    with ScriptedServer(SILENT, (READ, reply())) as server:
        one = user(server.url)

        async def ask():
            async with async_client(one) as client:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(client.chat.completions.create(**ASKED), 0.1)
                await client.chat.completions.create(**ASKED)

        with one.agent_run("impatient") as done:
            one.run_async(ask())
    assert of(done) == [(1, "client"), (1, "")]


@pytest.mark.parametrize("phase", ["headers", "stream"])
def test_a_user_that_is_stopped_has_its_call_cancelled(user, phase):
    """The greenlet is killed while its coroutine waits for the reply: one call, cancelled, and the run with it."""
    runs = []
    with ScriptedServer(SILENT if phase == "headers" else ENDLESS) as server:
        one = user(server.url)

        async def ask():
            async with async_client(one) as client:
                async for _ in await client.chat.completions.create(**ASKED, stream=True):
                    pass

        def task():
            with one.agent_run("stopped") as run_:
                runs.append(run_)
                one.run_async(ask())

        greenlet = gevent.spawn(task)
        while not server.requests:
            gevent.sleep(0.01)
        gevent.sleep(0.1)
        greenlet.kill()
        assert server.gone.wait(5)
    assert of(runs[0]) == [(1, "cancelled")]


def test_a_task_that_outlives_its_run_is_none_of_it(user):
    """What nobody waited for is not added to the run that is over, and the user goes on."""
    with ScriptedServer((READ, 0.3, reply())) as server:
        one, left = user(server.url), []

        async def late():
            async with async_client(one) as client:
                return await client.chat.completions.create(**ASKED)

        async def ask():
            left.append(asyncio.create_task(late()))
            await asyncio.sleep(0.05)

        with one.agent_run("over") as done:
            one.run_async(ask())
        assert of(done) == []

        async def wait():
            return await left[0]

        with one.agent_run("next") as after:
            assert one.run_async(wait()).id
        gevent.sleep(0.05)
    assert of(done) == of(after) == []


def test_a_tool_is_timed_inside_async_code(user, mock):
    """`run.tool` in coroutines side by side: each is a tool call of the run, a failure too."""
    one = user(mock.url)

    async def tool(run_, name):
        with run_.tool(name) as tool:
            await asyncio.sleep(0.02)
            tool.result = 1 / (name != "broken")

    async def ask(run_):
        await asyncio.gather(*(tool(run_, name) for name in ("search", "fetch", "broken")), return_exceptions=True)

    with one.agent_run("tools") as done:
        one.run_async(ask(done))
    assert sorted((step.name, bool(step.error)) for step in done.tally.steps) == [
        ("broken", True),
        ("fetch", False),
        ("search", False),
    ]
    assert all(step.latency >= 0.02 for step in done.tally.steps)


@pytest.mark.parametrize("package", [httpx, httpx2])
def test_http_that_is_no_llms_is_left_alone(user, mock, package):
    """A GET, and a POST to another path, are no calls; nor are those to an LLM outside of any run."""
    one = user(mock.url)
    with package.Client() as client:
        with one.agent_run("plain") as done:
            assert client.get(f"{mock.url}/_truth").status_code == 200
            assert client.post(f"{mock.url}/elsewhere", json=ASKED).status_code >= 400
        assert client.post(f"{mock.url}/v1/chat/completions", json=ASKED).status_code == 200
    assert of(done) == []


def test_the_transports_are_the_packages_own_again():
    """Once nobody holds the metering, nothing of it is left in any class."""
    executor = concurrent.futures.ThreadPoolExecutor
    before = [getattr(cls, method) for cls, method in TRANSPORTS], executor.submit, asyncio.run
    underneath.hold()
    underneath.hold()
    underneath.release()
    assert all(getattr(cls, name) is not old for (cls, name), old in zip(TRANSPORTS, before[0], strict=True))
    underneath.release()
    assert ([getattr(cls, method) for cls, method in TRANSPORTS], executor.submit, asyncio.run) == before
    assert all(old.__module__.startswith("httpx") for old in before[0])


AGENTS = textwrap.dedent("""\
    import asyncio
    import json
    import uuid
    from concurrent.futures import ThreadPoolExecutor

    from locust import constant, task
    from openai import AsyncOpenAI, OpenAI

    from agentlocust import PythonAgentUser


    class Threads(PythonAgentUser):
        model = "gpt-4o-mini"
        wait_time = constant(0.02)
        build_once = "process"

        def build(self):
            made = dict(base_url=self.openai_url, api_key=self.api_key, max_retries=8)
            client, not_sync, pool = OpenAI(**made), AsyncOpenAI(**made), ThreadPoolExecutor(4)

            def asked(question):
                return dict(model=self.model, messages=[{"role": "user", "content": question}], max_tokens=20)

            def once(question):
                return client.chat.completions.create(**asked(question))

            async def both(question):
                await asyncio.gather(*(not_sync.chat.completions.create(**asked(question)) for _ in range(2)))

            async def to_thread(question):
                await asyncio.gather(asyncio.to_thread(once, question), asyncio.to_thread(once, question))

            def in_pool(question):
                list(pool.map(once, [question, question]))

            return WAY

        @task
        def ask_it(self):
            mark = uuid.uuid4().hex
            try:
                with self.agent_run("marked") as run:
                    self.ask(f"[[mark:{mark}]] Hello")
            finally:
                told = run.tally
                with open("runs.jsonl", "a") as file:
                    file.write(json.dumps([mark, told.usage.input, told.usage.output]) + "\\n")
""")


@pytest.mark.parametrize("way", ["to_thread", "in_pool"])
def test_threads_inside_a_run_are_the_runs_own(tmp_path, mock_server, way):
    """`asyncio.to_thread` and a ThreadPoolExecutor that users share: each run has the tokens of its mark."""
    server = mock_server("ttft=5ms,itl=0s,tokens=uniform(3,9)")
    result = run(tmp_path, AGENTS.replace("WAY", way), "--host", server.url, users=4, run_time="2s", stop_timeout="10")
    totals, truth = result.expect(0).summary["totals"], server.final_truth()
    assert totals["calls"] == truth["completed"] > 8
    told = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert len(told) == totals["runs"]
    for mark, *tokens in told:
        assert tokens == [truth["marked"][mark]["input"], truth["marked"][mark]["output"]]


@pytest.mark.parametrize("way", ["both", "to_thread"])
def test_so_many_calls_and_no_more(tmp_path, mock_server, way):
    """`--calls 41` of agents that ask twice at once: 41 requests, to the last one."""
    server = mock_server("ttft=5ms,itl=0s,tokens=3")
    code = AGENTS.replace("WAY", way)
    result = run(tmp_path, code, "--calls", "41", "--host", server.url, users=5, run_time="20s", stop_timeout="5")
    truth = server.final_truth()
    assert truth["requests"] == 41, result.output
    assert result.summary["totals"]["calls"] == 41
    assert result.summary["test"]["duration_s"] < 20  # ended by the count


def test_the_money_of_each_try_is_settled(tmp_path, mock_server):
    """Three requests of ten are refused and tried again: what was spent is the truth, nothing stays unknown."""
    server = mock_server("ttft=5ms,itl=0s,tokens=3,errors=429:0.3")
    code = AGENTS.replace("WAY", "both")
    result = run(tmp_path, code, "--budget", "$1", "--host", server.url, users=3, run_time="4s", stop_timeout="10")
    totals, budget, truth = result.summary["totals"], result.summary["budget"], server.final_truth()
    assert totals["attempts"] == truth["requests"] > totals["calls"] >= truth["completed"] > 0
    spent = truth["tokens"]["input"] * Decimal("0.15") / 10**6 + truth["tokens"]["output"] * Decimal("0.6") / 10**6
    assert Decimal(budget["spent_usd"]) == Decimal(totals["cost_usd"]) == spent
    assert Decimal(budget["unknown_usd"]) == Decimal(budget["written_off_usd"]) == 0


SLEEPERS = """
import asyncio
import concurrent.futures
import time

from locust import constant, task
from agentlocust import PythonAgentUser


class Sleeper(PythonAgentUser):
    wait_time = constant(0)

    async def agent(self, question):
        with_pool = concurrent.futures.ThreadPoolExecutor(1)
        loop = asyncio.get_running_loop()
        await asyncio.gather(asyncio.to_thread(time.sleep, 600), loop.run_in_executor(with_pool, time.sleep, 600))

    @task
    def work(self):
        self.ask("go")
"""


def test_threads_that_an_agent_left_asleep_do_not_hold_the_process(tmp_path, mock_server):
    """Neither the loop's own nor those of the agent's own pool: the test ends, and so does Locust."""
    server = mock_server("ttft=5ms,itl=0s,tokens=3")
    result = run(tmp_path, SLEEPERS, "--host", server.url, users=2, run_time="2s", stop_timeout="1")
    result.expect(3)  # no request was made
    assert result.summary["totals"]["runs"] == 0
