"""PythonAgentUser: a user that works with an agent written in Python, sync or async, on any framework."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Mapping
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, cast

from gevent.lock import BoundedSemaphore

from agentlocust.errors import ConfigError
from agentlocust.ledger import MAX_VALUE
from agentlocust.users.base import AgentUser, _labels
from agentlocust.users.metered_run import MeteredRun, RunOwner
from agentlocust.users.run import Run
from agentlocust.wire.bridge import bridge
from agentlocust.wire.bridge_post import post
from agentlocust.wire.foreign import underneath, warm_up
from agentlocust.wire.metering import current_scope, enter_scope

if TYPE_CHECKING:
    from gevent.pool import Group
    from locust.env import Environment

T = TypeVar("T")


class PythonAgentUser(AgentUser):
    """Puts questions to an agent; the LLM calls it makes are metered from underneath.

    `agent` is any callable, sync or async, that takes an input; or `build` makes one, with what it
    needs to find the target: `openai_url`, `anthropic_url`, `api_key`. `build_once = "process"` has
    one agent serve all users of a process, as its HTTP client should: making one takes 15 ms, and
    the fewer there are the fewer connections.

    Every request to an LLM that goes through `httpx` or `httpx2` within an agent run is a call: its
    model, attempts, tokens, times, cost and failure are recorded as those of `OpenAIUser` are. Tool
    calls are seen in the model's messages, and timed exactly where the agent uses `run.tool`.

    An async agent runs on one asyncio loop beside the users, in a copy of the task's context.
    `asyncio.run` is refused in tasks; `self.run_async(coroutine)` is there instead. A user that is
    stopped has its coroutine cancelled.
    """

    abstract = True
    agent: ClassVar[Any] = None
    build_once: ClassVar[Literal["user", "process"]] = "user"
    key_variable: ClassVar[str] = "OPENAI_API_KEY"
    prepared: ClassVar[bool] = True  # before a test begins, as everyone needs what is imported

    _shared: ClassVar[dict[tuple[type, str], Any]] = {}
    _building: ClassVar[BoundedSemaphore] = BoundedSemaphore()

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._agent: Any = None
        self.asking = BoundedSemaphore()  # who waits for a permit marks the user as waiting: one at a time

    def build(self) -> Any:
        """Make the agent: called once a user, or once a process. By default it is `agent` itself."""
        found = inspect.getattr_static(type(self), "agent", None)
        if isinstance(found, staticmethod):
            return found.__func__
        if isinstance(found, FunctionType) and not _is_method(type(self), found):
            return found
        return self.agent

    @classmethod
    def import_sdk(cls) -> None:
        """Import the HTTP packages and start the asyncio loop."""
        warm_up()
        bridge()

    def start(self, group: Group) -> Any:
        """Start the user's greenlet; metering is in force until it ends."""
        underneath.hold()
        greenlet = super().start(group)
        greenlet.link(lambda _: underneath.release())
        return greenlet

    # -- where the agent finds the target --------------------------------------------------------

    @property
    def openai_url(self) -> str:
        """The base URL for an SDK of OpenAI's, which ends in `/v1`."""
        base = str(self.target)
        return base if base.endswith("/v1") else f"{base}/v1"

    @property
    def anthropic_url(self) -> str:
        """The base URL for an SDK of Anthropic's, which adds `/v1` itself."""
        return str(self.target).removesuffix("/v1")

    @property
    def api_key(self) -> str:
        """The key of `key_variable`, if it may go to the target; else "none", as SDKs want some key."""
        return self._key.value if self._key.usable_for(self.target.origin) else "none"

    # -- what a task uses ----------------------------------------------------------------------

    @property
    def current_run(self) -> Run | None:
        """The run that this greenlet, thread or coroutine is in."""
        scope = current_scope()
        if scope is None or scope.closed or not isinstance(scope.owner, RunOwner) or scope.owner.run.user is not self:
            return None
        return scope.owner.run

    @current_run.setter
    def current_run(self, run: Run | None) -> None:
        enter_scope(cast("MeteredRun", run).scope if run is not None else None)

    def ask(self, input: Any, *, name: str = "") -> Any:
        """Give `input` to the agent and return its output, in the run around it or in one of its own.

        `name` is that of a run of its own; else it bears the agent's. What the agent raises fails the
        run and comes out here.
        """
        agent = self._built()
        if self.current_run is not None:
            return self._call(agent, input)
        with self.agent_run(name or _name_of(agent, type(self).__name__)):
            return self._call(agent, input)

    def run_async(self, awaitable: Awaitable[T]) -> T:
        """Run a coroutine on the asyncio loop beside the users and return its result; see `wire.bridge.Bridge.run`."""
        return bridge().run(awaitable)

    def agent_run(self, name: str, *, labels: Mapping[str, str] | None = None) -> Run:
        """One agent task: `with self.agent_run("refund") as run:`. The LLM calls made inside belong to it.

        Also those of greenlets, threads and asyncio tasks that are started inside. To be entered in
        the task itself, around what is async in it.
        """
        if self._has_agent():
            self._built()  # its making is no part of the run
        return MeteredRun(self, name, _labels(labels))

    def metric(self, name: str, value: float, *, labels: Mapping[str, str] | None = None) -> None:
        """Record one value of a metric of your own; see `AgentUser.metric`. From async code too."""
        if name in self.metrics and not abs(value) <= MAX_VALUE:
            raise ValueError(f"metric {name!r}: {value} is not a number up to {MAX_VALUE:g}")
        if post().here:
            super().metric(name, value, labels=labels)
            return
        if name not in self.metrics:
            raise ValueError(f"metric {name!r} is not named in {type(self).__name__}.metrics")
        record, scope = partial(super().metric, name, value, labels=labels), current_scope()
        if scope is not None:
            scope.record(record)
        else:
            post().tell(record)

    # -- the agent -----------------------------------------------------------------------------

    def _has_agent(self) -> bool:
        return self._agent is not None or type(self).agent is not None or type(self).build is not PythonAgentUser.build

    def _built(self) -> Any:
        if self._agent is not None:
            return self._agent
        if not self._has_agent():
            raise ConfigError(
                "no agent", where=type(self).__name__, hint="set `agent` to a callable, or make one in `build`"
            )
        if self.build_once == "process":
            key = (type(self), str(self.target))
            with self._building:
                if key not in self._shared:
                    self._shared[key] = self._finished(self.build())
            self._agent = self._shared[key]
        else:
            self._agent = self._finished(self.build())
        if not callable(self._agent):
            found, self._agent = type(self._agent).__name__, None
            raise ConfigError(
                f"the agent is of type {found}, which cannot be called",
                where=type(self).__name__,
                hint="give the method that takes an input, such as `agent.run`",
            )
        return self._agent

    def _call(self, agent: Any, input: Any) -> Any:
        return self._finished(agent(input))

    def _finished(self, result: Any) -> Any:
        return self.run_async(result) if inspect.isawaitable(result) else result


def _is_method(cls: type, function: FunctionType) -> bool:
    """True for `def agent(self, input)` in a class's body; False for a function of elsewhere, or a lambda."""
    return function.__name__ != "<lambda>" and any(
        function.__qualname__ == f"{base.__qualname__}.{function.__name__}" for base in cls.__mro__
    )


def _name_of(agent: Any, otherwise: str) -> str:
    """What a run is called of an agent that nobody named."""
    name = getattr(agent, "__name__", "")
    return name if isinstance(name, str) and name.isidentifier() else otherwise
