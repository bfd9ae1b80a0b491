"""Which request belongs to which call, and when a call is over: without a network, in real greenlets and threads."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import gevent
import gevent.event
import pytest

from agentlocust.dialects import by_name
from agentlocust.dialects.base import Decoded
from agentlocust.wire.bridge_post import Post
from agentlocust.wire.metering import Scope, current_scope, within
from agentlocust.wire.metering_call import call_for

BODY = b'{"model": "gpt-4o-mini", "messages": []}'
DIALECT = by_name("openai-chat")


@dataclass(frozen=True)
class Leave:
    started_ns: int = 0
    reserved: None = None

    def give_back(self) -> None:
        """Nothing was taken."""


class Owner:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.ended = []

    def call_ended(self, call, cut):
        self.ended.append((call, cut))
        return Decoded()


@pytest.fixture
def scope():
    return Scope(Owner(), Post())


def attempt(scope, number, status, *, whole=True, retry=""):
    """One request of an SDK, answered with `status`; returns its call."""
    call, _first = call_for(scope, DIALECT, BODY, number)
    seen = call.sending(Leave(), numbered=number is not None)
    seen.headers_came(status, {"x-should-retry": retry} if retry else {})
    seen.came(b"{}")
    seen.complete = whole
    call.attempt_ended(seen)
    return call


def in_one_greenlet(do):
    greenlet = gevent.spawn(do)
    return greenlet.get(timeout=10)


def test_a_numbered_try_goes_on_with_the_call_that_failed(scope):
    """429, then 200 as try 1, is one call of two attempts."""

    def work():
        first = attempt(scope, "0", 429)
        assert scope.owner.ended == []
        assert attempt(scope, "1", 200) is first
        return first

    call = in_one_greenlet(work)
    assert scope.owner.ended == [(call, None)]
    assert call.tap.settle().attempts == 2


@pytest.mark.parametrize("status", [200, 400, 401, 404])
def test_what_no_sdk_tries_again_is_over_at_once(scope, status):
    """A reply that is final ends its call; the next request is another."""

    def work():
        first = attempt(scope, "0", status)
        assert scope.owner.ended == [(first, None)]
        return first is attempt(scope, "1", 200)

    assert in_one_greenlet(work) is False
    assert len(scope.owner.ended) == 2


def test_a_server_that_forbids_another_try_ends_the_call(scope):
    """`x-should-retry: false` is heeded."""
    in_one_greenlet(lambda: attempt(scope, "0", 503, retry="false"))
    assert len(scope.owner.ended) == 1


def test_a_client_that_numbers_nothing_makes_calls_of_one_attempt(scope):
    """Each request of a bare client is a call, whatever came of it."""
    in_one_greenlet(lambda: [attempt(scope, None, 500) for _ in range(3)])
    assert len(scope.owner.ended) == 3


def test_a_failed_call_is_settled_when_its_greenlet_asks_for_something_else(scope):
    """A request numbered 0 says that nobody tries the one before again."""

    def work():
        first = attempt(scope, "0", 500)
        second = attempt(scope, "0", 200)
        return [first, second]

    calls = in_one_greenlet(work)
    assert [call for call, _ in scope.owner.ended] == calls


def test_a_failed_call_is_settled_when_its_greenlet_ends(scope):
    """No other request needs to come."""
    in_one_greenlet(lambda: attempt(scope, "0", 500))
    with gevent.Timeout(10):
        while not scope.owner.ended:
            gevent.sleep(0.001)
    assert len(scope.owner.ended) == 1


def test_tries_of_two_greenlets_are_not_mixed(scope):
    """A try goes on with the call of its own greenlet, though another's failed later."""
    turn = [gevent.event.Event(), gevent.event.Event()]

    def work(mine, other):
        first = attempt(scope, "0", 500)
        turn[mine].set()
        turn[other].wait()
        return attempt(scope, "1", 200) is first

    both = [gevent.spawn(work, 0, 1), gevent.spawn(work, 1, 0)]
    gevent.joinall(both, timeout=10)
    assert [greenlet.value for greenlet in both] == [True, True]
    assert len(scope.owner.ended) == 2


def test_a_try_for_another_run_is_a_call_of_its_own(scope):
    """A call does not leave its run."""
    other = Scope(scope.owner, scope.post)

    def work():
        return attempt(scope, "0", 500) is attempt(other, "1", 200)

    assert in_one_greenlet(work) is False


def test_a_stream_left_open_is_recorded_when_the_run_ends(scope):
    """Nothing is lost: it is cancelled, and says why."""

    def work():
        call, _ = call_for(scope, DIALECT, BODY, "0")
        seen = call.sending(Leave(), numbered=True)
        seen.headers_came(200, {})
        call.active = False
        scope.close(cancelled=False)

    in_one_greenlet(work)
    [(_, cut)] = scope.owner.ended
    assert cut is not None
    assert "open" in cut.message


def test_ended_twice_is_recorded_once(scope):
    """Closing what was read to its end changes nothing."""

    def work():
        call = attempt(scope, "0", 200)
        scope.end(call, None)
        scope.close(cancelled=True)

    in_one_greenlet(work)
    assert len(scope.owner.ended) == 1


def test_a_run_is_current_only_within_it(scope):
    """Also after an exception."""
    with pytest.raises(ValueError, match="out"), within(scope):
        assert current_scope() is scope
        raise ValueError("out")
    assert current_scope() is None


def test_leave_is_refused_once_the_run_is_cancelled(scope):
    """Who waits for it is ended, and who comes later gets none."""
    waiting = gevent.spawn(scope.take_leave, lambda: gevent.sleep(60))
    gevent.sleep(0)
    scope.close(cancelled=True)
    waiting.join(timeout=10)
    assert isinstance(waiting.value, gevent.GreenletExit)
    with pytest.raises(gevent.GreenletExit):
        scope.take_leave(Leave)


def test_a_closed_post_refuses_the_threads_that_ask():
    """Neither one that waits nor one that comes later keeps its thread for ever."""
    post = Post()
    heard = []

    def ask():
        try:
            post.ask_and_wait(lambda: gevent.sleep(60), lambda _: None)
        except gevent.GreenletExit:
            heard.append("refused")

    early = threading.Thread(target=ask)
    early.start()
    gevent.sleep(0.2)
    post.close()
    late = threading.Thread(target=ask)
    late.start()
    with gevent.Timeout(10):
        while early.is_alive() or late.is_alive():
            gevent.sleep(0.01)
    assert heard == ["refused", "refused"]
