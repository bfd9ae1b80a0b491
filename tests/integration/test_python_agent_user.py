"""PythonAgentUser against the real mock: calls of greenlets and coroutines belong to their runs."""

from __future__ import annotations

import asyncio
import json
import urllib.request

import gevent
import pytest
from locust.env import Environment
from locust.event import Events
from openai import AsyncOpenAI, OpenAI

from agentlocust.errors import ConfigError
from agentlocust.mock.embedded import EmbeddedMock
from agentlocust.pricing import PriceBook
from agentlocust.redact import Scrubber
from agentlocust.users.meter import Meter
from agentlocust.users.python_agent import PythonAgentUser
from agentlocust.wire.bridge import bridge
from agentlocust.wire.foreign import underneath

ASKED = 2  # calls of a run, side by side

opened = []  # clients


@pytest.fixture(scope="module")
def mock():
    running = EmbeddedMock.start("ttft=10ms,itl=1ms,tokens=uniform(3,9)", 1)
    yield running
    running.stop()


@pytest.fixture
def make(mock):
    environment = Environment(events=Events(), host=mock.url)
    environment.agentlocust = Meter(environment, PriceBook.load(), Scrubber([]))
    underneath.hold()
    yield lambda cls: cls(environment)
    while opened:
        closed = opened.pop().close()
        if closed is not None:
            bridge().run(closed)
    underneath.release()


def truth(mock):
    with urllib.request.urlopen(f"{mock.url}/_truth", timeout=10) as reply:
        return json.load(reply)


class Sync(PythonAgentUser):
    abstract = True

    def build(self):
        client = OpenAI(base_url=self.openai_url, api_key=self.api_key, max_retries=0)
        opened.append(client)

        def once(prompt):
            asked = [{"role": "user", "content": prompt}]
            return client.chat.completions.create(model="gpt-4o-mini", messages=asked).choices[0].message.content

        def answer(prompt):
            both = [gevent.spawn(once, prompt) for _ in range(ASKED)]
            return [each.get() for each in both]

        return answer


class Async(PythonAgentUser):
    abstract = True

    def build(self):
        client = AsyncOpenAI(base_url=self.openai_url, api_key=self.api_key, max_retries=0)
        opened.append(client)

        async def once(prompt):
            asked = [{"role": "user", "content": prompt}]
            return (
                (await client.chat.completions.create(model="gpt-4o-mini", messages=asked)).choices[0].message.content
            )

        async def answer(prompt):
            return await asyncio.gather(*(once(prompt) for _ in range(ASKED)))

        return answer


@pytest.mark.parametrize("cls", [Sync, Async])
def test_calls_side_by_side_belong_to_their_runs(make, mock, cls):
    """Three users at once, two calls each at once: each run has its two, with the tokens the mock gave them."""
    runs = {}

    def task(mark):
        user = make(cls)
        with user.agent_run(mark) as runs[mark]:
            assert len(user.ask(f"[[mark:{mark}]] Hello")) == ASKED
        assert user.current_run is None
        user.pool.close()

    marks = [f"{cls.__name__}-{n}" for n in range(3)]
    gevent.joinall([gevent.spawn(task, mark) for mark in marks], raise_error=True)
    served = truth(mock)["marked"]
    for mark in marks:
        told = runs[mark].tally
        ours = (told.calls, told.usage.input, told.usage.output)
        assert ours == (ASKED, served[mark]["input"], served[mark]["output"])


def test_a_plain_function_a_method_and_a_lambda_are_agents(make):
    """`agent` is called with the input alone, however it was written."""

    class Method(PythonAgentUser):
        abstract = True

        def agent(self, input):
            return (type(self), input)

    class Plain(PythonAgentUser):
        abstract = True
        agent = lambda asked: asked  # noqa: E731  # users write them

    class Outside(PythonAgentUser):
        abstract = True
        agent = json.dumps

    assert make(Method).ask("a") == (Method, "a")
    assert make(Plain).ask("b") == "b"
    assert make(Outside).ask("c") == '"c"'


def test_a_user_without_an_agent_is_told_what_to_do(make):
    """No `agent` and no `build`: ConfigError."""

    class Empty(PythonAgentUser):
        abstract = True

    with pytest.raises(ConfigError, match="no agent"):
        make(Empty).ask("hello")


def test_asyncio_run_is_refused_in_a_task(make):
    """It would stop every other user; what to use instead is said, and works."""

    async def one():
        return 1

    user = make(Async)
    with pytest.raises(RuntimeError, match="self.run_async"):
        asyncio.run(one())
    assert user.run_async(one()) == 1


def test_a_kill_cancels_the_coroutine(make):
    """The greenlet's end is the coroutine's, and the run is cancelled."""
    seen = []

    class Slow(PythonAgentUser):
        abstract = True

        async def agent(self, input):
            try:
                seen.append("began")
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

    user = make(Slow)
    greenlet = gevent.spawn(user.ask, "x")
    while not seen:
        gevent.sleep(0.01)
    greenlet.kill()
    assert seen == ["began", "cancelled"]
