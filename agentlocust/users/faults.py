"""The faults of a test in this process: who decides on them, whose calls they strike, since when."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

from agentlocust.dialects.base import Dialect
from agentlocust.faults.injection import Asked, Injector
from agentlocust.faults.injector import PlanInjector
from agentlocust.faults.plan import FaultPlan
from agentlocust.mock.behaviour import split_model
from agentlocust.proxy.runs import new_run
from agentlocust.users.local.conditions import Conditions
from agentlocust.wire.injected import CallFaults
from agentlocust.wire.target import Origin, Target

if TYPE_CHECKING:
    from agentlocust.users.base import AgentUser

PLACES = ("transport", "mock", "proxy")
PROXY = PLACES[2]


class Faults:
    """What a test's plan means here; for one test at a time. Without a plan it is off and costs a look."""

    def __init__(self, phase_at: Callable[[float], str], struck: Callable[[str], None]) -> None:
        self.on = False
        self.plan = FaultPlan()
        self.injector: Injector | None = None
        self.tells = False
        self._proxy: Origin | None = None
        self._phase_at = phase_at
        self._struck = struck
        self._conditions: Conditions | None = None
        self._began = 0.0
        self._users = count()
        self._parts = (0, 1)

    def begin(self, order: Mapping[str, Any] | None, *, index: int = 0, parts: int = 1) -> None:
        """A test begins with this order: the plan's text, the seed, its place, and the test's age in seconds.

        This process is number `index` of `parts`.
        """
        self.end()
        self._users, self._parts = count(), (index, max(parts, 1))
        if order is None:
            return
        self.plan = FaultPlan.parse(order["text"])
        self.on = bool(self.plan)
        self._began = time.monotonic() - order["age_s"]
        self.tells = order["at"] != PLACES[0]
        self._proxy = Target.parse(order["proxy_url"]).origin if order["at"] == PROXY else None
        self.injector = PlanInjector(self.plan, order["seed"], self._parts[1])
        self._conditions = Conditions(self.plan, self.now, self._struck)
        self._conditions.start()

    def end(self) -> None:
        """The test is over."""
        if self._conditions is not None:
            self._conditions.stop()
            self._conditions = None
        self.on = self.tells = False
        self.plan, self.injector = FaultPlan(), None

    def reaches(self, origin: Origin) -> bool:
        """Whether a request to that origin comes by the mock or the proxy that carries the plan out."""
        return self._proxy is None or origin == self._proxy

    def now(self) -> tuple[float, str]:
        """Seconds since the test began, and its phase."""
        now = time.monotonic()
        return now - self._began, self._phase_at(now)

    def next_user(self) -> int:
        """The number of another user, over the whole test."""
        index, parts = self._parts
        return next(self._users) * parts + index


def operation_of(dialect: Dialect) -> str:
    """What a call outside any run is called."""
    return "embed" if dialect.path.endswith("/embeddings") else "chat"


class Turns:
    """One user's place in the test: its number, its runs and their calls, counted as they begin.

    A call outside any run is a run of its own.
    """

    def __init__(self, user: AgentUser) -> None:
        self._of = user
        self._faults = user.meter.faults
        self._user = self._faults.next_user()
        self._runs = 0
        self._calls = 0

    def begin_run(self) -> None:
        """A run begins that is no part of another."""
        self._runs += 1
        self._calls = 0

    def new_trace(self) -> str:
        """An id for a run that begins now."""
        return new_run(self._user, max(self._runs - 1, 0))

    def call(self, dialect: Dialect, model: str, streamed: bool, path: str, name: str = "") -> CallFaults | None:
        """What goes wrong with a call that begins now; None when no plan is in force."""
        run = self._of.current_run
        if run is None:
            self.begin_run()
        asked = Asked(
            0.0,
            name=name or (run.name if run is not None else operation_of(dialect)),
            model=split_model(model)[0],
            path=path,
            dialect=dialect.name,
            streamed=streamed,
        )
        return self._of_next(asked)

    def request(self, asked: Asked) -> CallFaults | None:
        """What goes wrong with a request to an agent or a tool that is a service, in the run that is under way."""
        return self._of_next(asked)

    def _of_next(self, asked: Asked) -> CallFaults | None:
        number = self._calls
        self._calls += 1
        if not self._faults.on:
            return None
        return CallFaults(self._faults, replace(asked, user=self._user, run=max(self._runs - 1, 0), call=number))
