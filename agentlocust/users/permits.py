"""Permits: leave to begin one of the N calls, or runs, that a test was asked for over all its processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gevent.event import Event
from locust.exception import StopUser
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING

if TYPE_CHECKING:
    from agentlocust.users.base import AgentUser


class NoPermit(StopUser):
    """A user that was asked to stop found no permit for what it was about to begin: it ends there."""


class Permits:
    """This process's stock of permits.

    `ask` tells whoever has more that some are wanted, `idle` that all are used up and that nothing of
    what they permitted is under way.

    A user without one waits, and like any user that waits between tasks it can be stopped at once:
    should a permit come back, from a call that was cut, it goes on.
    """

    def __init__(
        self, stock: int = 0, ask: Callable[[], None] | None = None, idle: Callable[[], None] = lambda: None
    ) -> None:
        self._stock = stock
        self._ask = ask
        self._idle = idle
        self._in_use = 0
        self._asked = False
        self._news = Event()

    def take(self, user: AgentUser) -> None:
        """Take a permit, or wait for one."""
        self.await_one(user)
        self._stock -= 1
        self._in_use += 1

    def await_one(self, user: AgentUser) -> None:
        """Return when there is one to take."""
        state = user._state
        while self._stock <= 0:
            if state == LOCUST_STATE_STOPPING:
                raise NoPermit
            if self._ask is not None and not self._asked:
                self._asked = True
                self._ask()
            self._news.clear()
            if state == LOCUST_STATE_RUNNING:
                user._state = LOCUST_STATE_WAITING
            self._news.wait()
            if user._state == LOCUST_STATE_STOPPING:
                raise NoPermit
            user._state = state

    def ended(self, *, cut: bool = False) -> None:
        """What was permitted has ended; was it cut, somebody else may."""
        self._in_use -= 1
        if cut:
            self._stock += 1
            self._news.set()
        elif not self._in_use and not self._stock:
            self._idle()

    def grant(self, n: int) -> None:
        """Add to the stock."""
        self._asked = False
        self._stock += n
        self._news.set()

    def take_all(self) -> int:
        """Empty the stock and tell how many permits were left: nobody here has a use for them."""
        stock, self._stock = self._stock, 0
        return stock
