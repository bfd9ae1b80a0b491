"""The gate before every task of a User class in the open loop: a task begins when it has a start.

Locust's `wait_time` comes after a task and knows nothing of other users, so it cannot hold a rate.
"""

from __future__ import annotations

import functools
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

import gevent
from gevent.hub import Waiter
from locust.exception import StopUser
from locust.user.task import (
    LOCUST_STATE_RUNNING,
    LOCUST_STATE_STOPPING,
    LOCUST_STATE_WAITING,
    DefaultTaskSet,
    TaskSet,
)

from agentlocust.shapes.schedule import NS, Source, Start
from agentlocust.wire.wakes import wakes

MAX_BACKLOG = 1_000_000
_LONGEST_SLEEP_S = 10.0

OnStart = Callable[[int, bool, int], None]


class _Ticket:
    """A user that waits; `start` is what it was handed and may not have woken to yet."""

    __slots__ = ("late", "start", "waiter")

    def __init__(self) -> None:
        self.waiter: Waiter[None] = Waiter()
        self.start: Start | None = None
        self.late = False


class Gate:
    """Hands a source's starts to the free users of one User class, in order and never early.

    A start that finds no free user is late: it waits, and the first user that becomes free takes it.
    `on_start(lag_ns, late, intended_ns)` is called in the user's greenlet as its task begins. Always
    `intended` = `started` + `backlog` + `dropped` + the few handed out that turn of the hub.
    """

    def __init__(self, source: Source, on_start: OnStart) -> None:
        self._source = source
        self._on_start = on_start
        self._free: OrderedDict[_Ticket, None] = OrderedDict()
        self._backlog: deque[Start] = deque()
        self._timer: Any = None
        self._armed_for: int | None = None
        self._open = False
        self.intended = 0  # starts that have come due: the offered load
        self.started = 0
        self.late = 0  # found no free user
        self.dropped = 0  # came on top of a full backlog: counted, never started

    @property
    def backlog(self) -> int:
        """How many starts wait for a user now."""
        return len(self._backlog)

    @property
    def waiting(self) -> int:
        """How many users wait for a start now."""
        return len(self._free)

    def open(self) -> None:
        """Begin to hand out starts."""
        self._open = True
        self.refresh()

    def refresh(self) -> None:
        """Hand out what is due by now; to be called whenever the source was changed."""
        if self._open:
            self._hand_out()
            self._arm()

    def close(self) -> None:
        """Hand out nothing more. What is due by now is still counted; who waits goes on waiting."""
        if self._open:
            self._hand_out()
            self._open = False
        self._disarm()

    def wait(self, user: Any) -> Start:
        """Block the user until it has a start, and take it. Raises StopUser when it was stopped meanwhile.

        A user that is stopped or killed on the way gives back what it was handed.
        """
        if user._state == LOCUST_STATE_STOPPING:
            raise StopUser
        ticket = _Ticket()
        self.refresh()  # what came due while no user was free stands before this one
        if self._backlog and self._open:
            self._hand(ticket, self._backlog.popleft(), late=True)
        else:
            self._free[ticket] = None
        user._state = LOCUST_STATE_WAITING  # Locust kills who waits at once
        try:
            ticket.waiter.get()
            if user._state == LOCUST_STATE_STOPPING:  # stopped in the very turn it was handed its start
                raise StopUser
        except BaseException:
            self._leave(ticket)
            raise
        user._state = LOCUST_STATE_RUNNING
        start = ticket.start
        assert start is not None
        self.started += 1
        self._on_start(time.monotonic_ns() - start.intended_ns, ticket.late, start.intended_ns)
        return start

    # -- in the hub ----------------------------------------------------------------------------

    def _on_time(self) -> None:
        self._disarm()
        self.refresh()  # one that fired too early finds nothing due, and is armed again

    def _arm(self) -> None:
        due = self._source.next_ns()
        if due == self._armed_for:
            return
        self._disarm()
        self._armed_for = due
        if due is None:
            return
        loop = gevent.get_hub().loop
        loop.update_now()  # timers count from the loop's time, which stood still while users worked
        self._timer = loop.timer(min(max(0, due - time.monotonic_ns()) / NS, _LONGEST_SLEEP_S))
        self._timer.start(self._on_time)

    def _disarm(self) -> None:
        self._armed_for = None
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None

    def _hand_out(self) -> None:
        source, now_ns = self._source, time.monotonic_ns()
        while (due := source.next_ns()) is not None and due <= now_ns:
            self.intended += 1
            self._place(source.take(), late=False)

    def _place(self, start: Start, *, late: bool) -> None:
        """Hand a start to the user that has waited longest, else put it where it belongs in the backlog."""
        if self._free and self._open:
            self._hand(self._free.popitem(last=False)[0], start, late=late)
            return
        self.late += not late
        if len(self._backlog) >= MAX_BACKLOG:
            self.dropped += 1
        elif self._backlog and start.intended_ns < self._backlog[-1].intended_ns:  # it was given back
            at = next(i for i, waits in enumerate(self._backlog) if waits.intended_ns > start.intended_ns)
            self._backlog.insert(at, start)
        else:
            self._backlog.append(start)

    def _hand(self, ticket: _Ticket, start: Start, *, late: bool) -> None:
        ticket.start, ticket.late = start, late
        wakes().add(ticket.waiter)

    def _leave(self, ticket: _Ticket) -> None:
        """A user goes; its start, if it has one, is given back."""
        self._free.pop(ticket, None)
        if ticket.start is not None:
            self._place(ticket.start, late=ticket.late)


def install() -> None:
    """Make Locust ask the gate of a user (`user.gate`, None or absent: closed loop) before each of its tasks.

    A leaf task is gated wherever it stands; a nested TaskSet's entry and `on_start` are not. While a
    task runs, `user.start_of_task` is its Start, else None. After one, `wait_time` is left out.
    Installing twice changes nothing; each wrapper keeps the original as `__wrapped__`.
    """
    if getattr(TaskSet, "gated", False):
        return
    TaskSet.gated = True  # type: ignore[attr-defined]  # our own mark
    for kind in (TaskSet, DefaultTaskSet):
        kind.execute_task = _gated(kind.execute_task)  # type: ignore[method-assign]  # Locust has no event for it
    TaskSet.wait = _unwaited(TaskSet.wait)  # type: ignore[method-assign]  # nor for this


def _gated(execute_task: Any) -> Any:
    @functools.wraps(execute_task)
    def execute(taskset: TaskSet, task: Any) -> None:
        user: Any = taskset.user
        gate: Gate | None = getattr(user, "gate", None)
        if gate is None or (isinstance(task, type) and issubclass(task, TaskSet)):
            execute_task(taskset, task)
            return
        user.start_of_task = gate.wait(user)
        user.has_worked = False
        try:
            execute_task(taskset, task)
        finally:
            user.start_of_task = None
            user.has_worked = True

    return execute


def _unwaited(wait: Any) -> Any:
    @functools.wraps(wait)
    def go_on(taskset: TaskSet) -> None:
        user: Any = taskset.user
        # Within a task it is a pause that the task asks for. With no task since the last wait (the
        # on_start of a TaskSet fails, say) nobody came to the gate, and the user would spin for ever.
        if getattr(user, "gate", None) is None or not getattr(user, "has_worked", False):
            wait(taskset)
            return
        user.has_worked = False
        if user._state == LOCUST_STATE_STOPPING:
            raise StopUser

    return go_on
