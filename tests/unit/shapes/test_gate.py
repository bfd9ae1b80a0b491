"""The gate: starts go to the free users in order, never early, and none is lost with a user that dies."""

from __future__ import annotations

import random
import time
from itertools import pairwise

import gevent
import pytest
from gevent.event import Event
from gevent.pool import Group
from locust import SequentialTaskSet, TaskSet, User, task
from locust.env import Environment
from locust.event import Events
from locust.exception import StopUser
from locust.user.markov_taskset import MarkovTaskSet, transition
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING, DefaultTaskSet
from locust.user.wait_time import constant

from agentlocust.shapes import gate as gate_module
from agentlocust.shapes.arrivals import Law
from agentlocust.shapes.gate import Gate, install
from agentlocust.shapes.schedule import NS, Schedule, Segment, Source, Start

MS = 1_000_000

install()


class Listed(Source):
    """Starts at these instants; the payload of each is its number."""

    def __init__(self, times_ns) -> None:
        super().__init__()
        self.times_ns = times_ns
        self.at = 0

    def reshare(self, at_ns, index, count) -> None:
        """Never asked."""

    def _peek(self):
        return self.times_ns[self.at] if self.at < len(self.times_ns) else None

    def _pop(self) -> Start:
        self.at += 1
        return Start(self.times_ns[self.at - 1], self.at - 1)


class Crew:
    """Users of one class at one gate, and what came of it. Starts come when the test says so."""

    def __init__(self) -> None:
        self.group = Group()
        self.environment = Environment(events=Events())
        self.begun: list[tuple[int, bool, int]] = []  # lag, late, intended, of each start in order
        self.log: list[object] = []
        self.errors: list[Exception] = []
        self.environment.events.user_error.add_listener(lambda exception, **_: self.errors.append(exception))
        self.users: list[User] = []
        self.go = Event()  # what the tasks of a Held user wait for
        self.times: list[int] = []  # of the source, which sees them grow
        self.gate = self.opened(Listed(self.times))

    def opened(self, source) -> Gate:
        self.gate = Gate(source, lambda *begun: self.begun.append(begun))
        self.gate.open()
        return self.gate

    def come(self, *times_ms) -> None:
        """Have starts at these milliseconds from now; their payload is their number."""
        now_ns = time.monotonic_ns()
        self.times += [now_ns + ms * MS for ms in times_ms]
        self.gate.refresh()

    def add(self, kind, number=1) -> list[User]:
        """Start users; they come to the gate in this order."""
        found = []
        for _ in range(number):
            user = kind(self.environment)
            user.gate, user.crew, user.number = self.gate, self, len(self.users)
            user.start(self.group)
            self.users.append(user)
            found.append(user)
            gevent.sleep(0)
        return found

    def wait_until(self, condition) -> None:
        with gevent.Timeout(10):
            while not condition():
                gevent.sleep(0.001)

    def intended_ms(self) -> list[int]:
        first = self.begun[0][2]
        return [(intended - first) // MS for _, _, intended in self.begun]


@pytest.fixture
def crew():
    crew = Crew()
    yield crew
    crew.group.kill(timeout=10)
    gevent.sleep(0)
    gate = crew.gate
    gate.close()
    assert gate.intended == gate.started + gate.backlog + gate.dropped
    assert gate.waiting == 0
    assert not crew.errors


class Quick(User):
    """Its tasks take no time."""

    wait_time = constant(60)  # of no matter in the open loop

    @task
    def work(self):
        self.crew.log.append((self.number, self.start_of_task.payload))


class Held(User):
    """Its tasks end when they may."""

    @task
    def work(self):
        self.crew.log.append(self.number)
        self.crew.go.wait()


class Stopping(Quick):
    """Stopped as an AgentUser is."""

    def stop(self, force=False):
        self._state = LOCUST_STATE_STOPPING
        self._group.killone(self._greenlet)
        return True


def test_the_first_task_waits_for_its_start_too(crew):
    """Five users and one start begin one task."""
    crew.add(Quick, 5)
    assert (crew.gate.waiting, crew.log) == (5, [])
    crew.come(5)
    assert crew.log == []
    crew.wait_until(lambda: crew.gate.started)
    gevent.sleep(0.01)
    assert crew.log == [(0, 0)]
    assert crew.gate.waiting == 5


def test_the_longest_waiting_user_goes_first(crew):
    """Users take the starts in the order they came, and a free one goes to the end of the line."""
    crew.add(Quick, 3)
    crew.come(*range(9))
    crew.wait_until(lambda: crew.gate.started == 9)
    assert crew.log == [(i % 3, i) for i in range(9)]


def test_no_start_is_early(crew):
    """Whatever the timers do, the actual start is at or after the intended one."""
    schedule = Schedule(Law("poisson"), random.Random(1))
    gate = crew.opened(schedule)
    crew.add(Quick, 20)
    schedule.follow(time.monotonic_ns(), Segment.hold(1000.0))
    gate.refresh()
    crew.wait_until(lambda: gate.started >= 200)
    assert all(lag >= 0 for lag, _, _ in crew.begun)
    assert all(later[2] >= earlier[2] for earlier, later in pairwise(crew.begun))


def test_a_start_without_a_free_user_is_late(crew):
    """It waits its turn, keeps its intended instant, and the first user that becomes free takes it at once."""
    gate = crew.gate
    crew.add(Held)
    crew.come(0, 10, 20)
    crew.wait_until(lambda: gate.backlog == 2)
    assert (gate.intended, gate.started, gate.late) == (3, 1, 2)
    gevent.sleep(0.03)
    crew.go.set()
    crew.wait_until(lambda: gate.started == 3)
    assert [late for _, late, _ in crew.begun] == [False, True, True]
    assert crew.intended_ms() == [0, 10, 20]
    assert min(crew.begun[1][0], crew.begun[2][0]) >= 29 * MS
    assert (gate.backlog, gate.late) == (0, 2)


def test_a_blocked_hub_hands_out_all_that_is_due_in_order(crew):
    """After a block every start is there, lagging from its intended instant, though it found its user free."""
    crew.add(Quick, 60)
    crew.come(*range(50))
    time.sleep(0.15)  # the hub stands still
    crew.wait_until(lambda: crew.gate.started == 50)
    assert crew.log == [(i, i) for i in range(50)]
    assert crew.gate.late == 0
    assert [lag >= (150 - i) * MS for i, (lag, _, _) in enumerate(crew.begun)] == [True] * 50
    assert crew.gate.waiting == 60


def test_what_came_due_before_a_user_was_free_stands_first(crew):
    """A user that frees itself in a blocked hub does not pass the starts that were due: they are late."""

    class Blocking(User):
        @task
        def work(self):
            if crew.gate.started == 1:
                time.sleep(0.05)

    crew.add(Blocking)
    crew.come(0, 1, 30)
    crew.wait_until(lambda: crew.gate.started == 3)
    assert [late for _, late, _ in crew.begun] == [False, True, True]
    assert crew.intended_ms() == [0, 1, 30]


def test_a_killed_waiter_takes_no_start(crew):
    """A user that dies while it waits leaves the line; the next start is the next user's."""
    first, second = crew.add(Quick, 2)
    first.stop()
    assert crew.gate.waiting == 1
    crew.come(0)
    crew.wait_until(lambda: crew.gate.started)
    assert crew.log == [(second.number, 0)]


def test_a_start_in_the_hand_of_one_who_is_killed_goes_to_the_next(crew):
    """Killed in the hub's turn in which it was handed its start, before it woke: the start lives on."""
    gate = crew.gate
    first, second = crew.add(Quick, 2)
    first.greenlet.kill(block=False)
    crew.come(0)  # handed out; its user has not woken, and will be dead before
    assert (gate.waiting, gate.intended, gate.started) == (1, 1, 0)
    crew.wait_until(lambda: gate.started)
    assert crew.log == [(second.number, 0)]
    assert gate.late == 0


def test_a_start_in_the_hand_of_one_who_is_stopped_goes_to_the_next(crew):
    """Stopped in that turn, it wakes before the kill comes, and begins no task all the same."""
    gate = crew.gate
    first, second = crew.add(Stopping, 2)
    crew.come(0)
    assert (gate.waiting, gate.intended, gate.started) == (1, 1, 0)
    first.stop()
    crew.wait_until(lambda: gate.started)
    assert crew.log == [(second.number, 0)]
    assert gate.late == 0


def test_starts_given_back_keep_their_order(crew):
    """With no other user they go to the front of the backlog, oldest first, before what comes later."""
    gate = crew.gate
    users = crew.add(Quick, 3)
    for user in (users[1], users[2], users[0]):
        user.greenlet.kill(block=False)
    crew.come(-4, -3, -2, -1)  # three are in the hands of users who die, the last in the backlog
    assert gate.backlog == 1
    gevent.joinall([user.greenlet for user in users], timeout=5)
    assert (gate.backlog, gate.started, gate.late) == (4, 0, 4)
    crew.add(Quick)
    crew.wait_until(lambda: gate.started == 4)
    assert [number for _, number in crew.log] == [0, 1, 2, 3]


def test_a_stop_while_running_starts_nothing_more(crew):
    """A user that is to stop once its task is done leaves without a start, and the backlog keeps it."""
    gate = crew.gate
    (user,) = crew.add(Held)
    crew.come(0, 0)
    crew.wait_until(lambda: gate.started)
    assert user._state == LOCUST_STATE_RUNNING
    assert user.stop() is False
    crew.go.set()
    user.greenlet.join(timeout=5)
    assert user.greenlet.dead
    assert (gate.started, gate.backlog) == (1, 1)


def test_a_stopping_user_does_not_wait(crew):
    """Whoever comes to the gate when it is to stop leaves at once, and is still known to be stopping."""
    user = Quick(crew.environment)
    user._state = LOCUST_STATE_STOPPING
    with pytest.raises(StopUser):
        crew.gate.wait(user)
    assert user._state == LOCUST_STATE_STOPPING


def test_a_waiting_user_is_stopped_at_once(crew):
    """At the gate a user's state is Locust's own for waiting, and its on_stop runs."""
    stopped = []

    class Polite(Quick):
        def on_stop(self):
            stopped.append(self.start_of_task if hasattr(self, "start_of_task") else None)

    (user,) = crew.add(Polite)
    assert user._state == LOCUST_STATE_WAITING
    assert user.stop() is True
    assert stopped == [None]


def test_on_start_is_not_gated(crew):
    """A user logs in before its first start."""

    class LoggedIn(Quick):
        def on_start(self):
            self.crew.log.append("login")

    crew.add(LoggedIn, 2)
    assert crew.log == ["login", "login"]
    assert crew.gate.waiting == 2


def test_each_leaf_of_a_nested_task_set_is_gated(crew):
    """Entering takes no start, nor does the inner on_start; every leaf takes one, and so does what follows."""
    gate = crew.gate

    class Nest(User):
        @task
        class Inner(TaskSet):
            def on_start(self):
                self.user.crew.log.append(("in", gate.started))
                self.done = 0

            @task
            def leaf(self):
                self.user.crew.log.append(self.user.start_of_task.payload)
                self.done += 1
                if self.done == 2:
                    self.interrupt(reschedule=self.user.start_of_task.payload == 1)

    crew.add(Nest)
    assert crew.log == [("in", 0)]
    crew.come(*range(6))
    crew.wait_until(lambda: gate.started == 6)
    assert crew.log[:8] == [("in", 0), 0, 1, ("in", 2), 2, 3, ("in", 4), 4]


def test_a_sequential_task_set_keeps_its_order(crew):
    """One start a step."""
    gate = crew.gate

    class Steps(User):
        @task
        class Inner(SequentialTaskSet):
            @task
            def one(self):
                self.user.crew.log.append(("one", self.user.start_of_task.payload))

            @task
            def two(self):
                self.user.crew.log.append(("two", self.user.start_of_task.payload))

    crew.add(Steps)
    crew.come(*range(5))
    crew.wait_until(lambda: gate.started == 5)
    assert crew.log == [("one", 0), ("two", 1), ("one", 2), ("two", 3), ("one", 4)]


def test_a_markov_task_set_keeps_its_chain(crew):
    """One start a state, the bound ones included."""
    gate = crew.gate

    class Chain(User):
        @task
        class Inner(MarkovTaskSet):
            @transition("two")
            def one(self):
                self.user.crew.log.append(("one", self.user.start_of_task.payload))

            @transition("one")
            def two(self):
                self.user.crew.log.append(("two", self.user.start_of_task.payload))

    crew.add(Chain)
    crew.come(*range(4))
    crew.wait_until(lambda: gate.started == 4)
    assert crew.log == [("one", 0), ("two", 1), ("one", 2), ("two", 3)]


def test_a_task_that_raises_goes_on_to_the_next_start(crew):
    """Locust counts the exception; its wait afterwards is left out as well."""
    gate = crew.gate

    class Clumsy(User):
        wait_time = constant(60)

        @task
        def work(self):
            raise RuntimeError("no good")

    crew.add(Clumsy)
    crew.come(*range(3))
    crew.wait_until(lambda: gate.started == 3)
    gevent.sleep(0)
    assert [str(error) for error in crew.errors] == ["no good"] * 3
    crew.errors.clear()


def test_a_pause_within_a_task_is_kept(crew):
    """`self.wait()` in a task is what the task wants, and Locust may stop the user there."""

    class Pausing(User):
        wait_time = constant(0.03)

        @task
        class Inner(TaskSet):
            @task
            def work(self):
                begun = time.monotonic()
                self.wait()
                self.user.crew.log.append(time.monotonic() - begun)
                self.interrupt()  # at once to the next task, with no wait of Locust's in between

    (user,) = crew.add(Pausing)
    crew.come(0, 0)
    crew.wait_until(lambda: crew.gate.started)
    gevent.sleep(0)
    assert user._state == LOCUST_STATE_WAITING
    crew.wait_until(lambda: len(crew.log) == 2)
    assert min(crew.log) >= 0.029


def test_users_that_never_reach_a_task_do_not_spin(crew):
    """A nested on_start that always gives up is waited for as in the closed loop: the hub goes on."""

    class Lost(User):
        wait_time = constant(0.01)

        @task
        class Inner(TaskSet):
            def on_start(self):
                self.user.crew.log.append("lost")
                self.interrupt(reschedule=False)

            @task
            def never(self):
                raise AssertionError

    crew.add(Lost)
    crew.wait_until(lambda: len(crew.log) >= 3)
    assert crew.gate.waiting == 0


@pytest.mark.parametrize("gate", ["absent", None])
def test_users_without_a_gate_are_left_alone(crew, gate):
    """In the closed loop, and for foreign Users, everything is Locust's."""

    class Foreign(User):
        wait_time = constant(0.01)

        @task
        def work(self):
            crew.log.append(self._state)

    user = Foreign(crew.environment)
    if gate is None:
        user.gate = None
    user.start(crew.group)
    crew.wait_until(lambda: len(crew.log) >= 3)
    crew.group.kill(timeout=10)
    assert set(crew.log) == {LOCUST_STATE_RUNNING}


def test_a_closed_gate_hands_out_nothing(crew):
    """What comes while it is closed is handed out, and counted, when it opens again."""
    gate = crew.gate
    crew.add(Quick)
    crew.come(0)
    crew.wait_until(lambda: gate.started == 1)
    gate.close()
    crew.come(0)
    gevent.sleep(0.01)
    assert (gate.intended, gate.started, gate.waiting) == (1, 1, 1)
    gate.open()
    crew.wait_until(lambda: gate.started == 2)


def test_a_gate_that_closes_counts_what_was_offered(crew):
    """With nobody there, starts that came due before the end stay in the backlog for the books."""
    gate = crew.gate
    crew.come(1, 2, 3, 1_000_000)
    time.sleep(0.01)
    gate.close()
    assert (gate.intended, gate.backlog, gate.late) == (3, 3, 3)
    crew.add(Quick)
    gevent.sleep(0.01)
    assert (gate.started, gate.waiting) == (0, 1)


def test_what_is_given_back_to_a_closed_gate_stays(crew):
    """No other user begins it."""
    gate = crew.gate
    first, _ = crew.add(Quick, 2)
    first.greenlet.kill(block=False)
    crew.come(0)
    gate.close()
    first.greenlet.join(timeout=5)
    gevent.sleep(0.01)
    assert (gate.started, gate.backlog, gate.waiting) == (0, 1, 1)


def test_the_backlog_is_bounded(crew, monkeypatch):
    """Beyond its bound starts are only counted."""
    monkeypatch.setattr(gate_module, "MAX_BACKLOG", 3)
    gate = crew.gate
    crew.come(*[0] * 10)
    assert (gate.intended, gate.backlog, gate.dropped, gate.late) == (10, 3, 7, 10)
    crew.add(Quick)
    crew.wait_until(lambda: gate.started == 3)
    assert [number for _, number in crew.log] == [0, 1, 2]


def test_a_change_of_the_rate_is_taken_up_at_once(crew):
    """A gate that slept towards a far start wakes when the source is changed."""
    schedule = Schedule(Law("constant"), random.Random(1))
    schedule.follow(time.monotonic_ns(), Segment.hold(0.001))
    gate = crew.opened(schedule)
    crew.add(Quick, 2)
    schedule.follow(time.monotonic_ns(), Segment.hold(200.0))
    gate.refresh()
    crew.wait_until(lambda: gate.started >= 10)
    assert schedule.offered(time.monotonic_ns()) >= 10


def test_the_rate_is_held_from_the_first_second_on(crew):
    """Many free users begin no more tasks than the schedule has starts."""
    schedule = Schedule(Law("constant"), random.Random(1))
    begin = time.monotonic_ns()
    schedule.follow(begin, Segment.hold(100.0))
    gate = crew.opened(schedule)
    crew.add(Quick, 200)
    gevent.sleep(0.2)
    least = (time.monotonic_ns() - begin) * 100 // NS
    gate.close()
    most = (time.monotonic_ns() - begin) * 100 // NS
    assert gate.started <= gate.intended
    assert least <= gate.intended <= most + 1


def test_installing_twice_changes_nothing():
    """The wrappers hold Locust's own functions, not wrappers of ours."""
    before = (TaskSet.execute_task, DefaultTaskSet.execute_task, TaskSet.wait)
    install()
    assert (TaskSet.execute_task, DefaultTaskSet.execute_task, TaskSet.wait) == before
    assert not any(hasattr(wrapper.__wrapped__, "__wrapped__") for wrapper in before)
