"""Permits let exactly so many begin, and nobody is left waiting who could go on."""

from __future__ import annotations

import gevent
import pytest
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING

from agentlocust.users.permits import NoPermit, Permits


class Someone:
    """As much of a user as permits look at."""

    def __init__(self) -> None:
        self._state = LOCUST_STATE_RUNNING


def beginners(permits, number) -> tuple[list[Someone], list[gevent.Greenlet]]:
    users = [Someone() for _ in range(number)]
    return users, [gevent.spawn(permits.take, user) for user in users]


def begun(greenlets) -> int:
    gevent.sleep(0)
    gevent.sleep(0)
    return sum(greenlet.ready() for greenlet in greenlets)


def test_no_more_begin_than_there_are_permits():
    """Of five users three get one of three permits; the others wait, and Locust may stop them at once."""
    permits = Permits(3)
    users, greenlets = beginners(permits, 5)
    assert begun(greenlets) == 3
    assert [user._state for user in users].count(LOCUST_STATE_WAITING) == 2
    gevent.killall(greenlets)


def test_a_call_that_was_cut_lets_another_begin():
    """A permit that comes back goes to who waits; one that was used does not."""
    permits = Permits(1)
    users, greenlets = beginners(permits, 2)
    assert begun(greenlets) == 1
    permits.ended()
    assert begun(greenlets) == 1
    permits.grant(1)
    assert begun(greenlets) == 2
    assert users[1]._state == LOCUST_STATE_RUNNING
    _, more = beginners(permits, 1)
    assert begun(more) == 0
    permits.ended(cut=True)
    assert begun(more) == 1


def test_more_are_asked_for_once_until_they_come():
    """However many wait, one ask is under way; after a grant that did not suffice there is another."""
    asked = []
    permits = Permits(0, ask=lambda: asked.append(1))
    _, greenlets = beginners(permits, 3)
    assert begun(greenlets) == 0
    assert len(asked) == 1
    permits.grant(1)
    assert begun(greenlets) == 1
    assert len(asked) == 2
    gevent.killall(greenlets)


def test_idle_is_told_when_all_are_used_up_and_ended():
    """Not while one is under way, not while some are left, and not for one that was cut."""
    told = []
    permits = Permits(2, idle=lambda: told.append(1))
    user = Someone()
    permits.take(user)
    permits.ended()
    assert not told
    permits.take(user)
    permits.ended(cut=True)
    assert not told
    permits.take(user)
    permits.ended()
    assert told == [1]


def test_a_user_that_was_asked_to_stop_does_not_wait():
    """One that is finishing its last task ends where it needs what is not there."""
    user = Someone()
    user._state = LOCUST_STATE_STOPPING
    with pytest.raises(NoPermit):
        Permits(0).take(user)


def test_a_user_that_is_stopped_while_it_waits_begins_nothing():
    """Its permit, should one come in that very turn, stays for others."""
    permits = Permits(0)
    users, greenlets = beginners(permits, 1)
    assert begun(greenlets) == 0
    users[0]._state = LOCUST_STATE_STOPPING
    permits.grant(1)
    gevent.joinall(greenlets)
    assert isinstance(greenlets[0].exception, NoPermit)
    assert permits.take_all() == 1
    assert permits.take_all() == 0


def test_awaiting_a_permit_takes_none():
    """One who only wants to know that it could go on leaves it for whoever takes it first."""
    permits = Permits(1)
    permits.await_one(Someone())
    user = Someone()
    permits.take(user)
    waits = gevent.spawn(permits.await_one, user)
    assert begun([waits]) == 0
    permits.grant(1)
    assert begun([waits]) == 1
    assert permits.take_all() == 1
