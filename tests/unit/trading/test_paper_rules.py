"""The paper exchange's rules: signatures, the rate limit, the script, and the recorded sessions."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paper_exchange import record_sessions
from paper_exchange.limiter import PER_MINUTE, Limiter
from paper_exchange.market import SESSIONS, Session
from paper_exchange.script import Script
from paper_exchange.signing import BadSignature, check, signed_headers

ASKED = ("POST", "/orders", b"{}")


def checked(now, headers, *, key="k", secret="s", asked=ASKED):
    """Check a request that was signed with the key k and the secret s."""
    return check(headers, key, secret, now, *asked)


@pytest.mark.parametrize("skew_s", [-30, -29.5, 0, 29.5, 30])
def test_a_signature_holds_for_thirty_seconds(skew_s):
    """Either way, as the client's clock may be ahead."""
    assert checked(1000.0, signed_headers("k", "s", 1000.0 + skew_s, *ASKED)) == 1000.0 + skew_s


@pytest.mark.parametrize("skew_s", [-300, -31, 31, 300])
def test_outside_of_its_window_a_signature_has_expired(skew_s):
    """It says so, for a client whose clock is wrong."""
    with pytest.raises(BadSignature, match="outside of 30 s") as told:
        checked(1000.0, signed_headers("k", "s", 1000.0 + skew_s, *ASKED))
    assert told.value.expired


@pytest.mark.parametrize(
    "change",
    [
        {"secret": "other"},
        {"key": "other"},
        {"asked": ("DELETE", "/orders", b"{}")},
        {"asked": ("POST", "/orders?x=1", b"{}")},
        {"asked": ("POST", "/orders", b"{ }")},
    ],
)
def test_what_was_signed_cannot_be_changed(change):
    """Nor can anyone else sign it; none of these is called expired."""
    with pytest.raises(BadSignature) as told:
        checked(1000.0, signed_headers("k", "s", 1000.0, *ASKED), **change)
    assert not told.value.expired


@pytest.mark.parametrize("timestamp", ["", "soon", "-1", "1e9", "٣", "9" * 40])
def test_a_time_that_is_none_is_not_signed(timestamp):
    """Hostile text ends in the same refusal."""
    headers = signed_headers("k", "s", 1000.0, *ASKED) | {"x-paper-timestamp": timestamp}
    with pytest.raises(BadSignature, match="not signed"):
        checked(1000.0, headers)


@given(st.lists(st.floats(0, 30), min_size=1, max_size=400), st.integers(1, 50))
def test_never_more_pass_in_a_minute_than_the_limit(gaps, limit):
    """Any window of sixty seconds holds at most the limit, and who waits as told is let pass."""
    limiter, now, passed = Limiter(limit), 0.0, []
    for gap in gaps:
        now += gap / 20
        wait = limiter.take(now)
        if wait:
            assert 1 <= wait <= 61
        else:
            passed.append(now)
    assert all(sum(start < at <= start + 60 for at in passed) <= limit for start in [-1.0, *passed])
    assert limiter.busiest <= limit
    wait = limiter.take(now)
    assert wait == 0 or limiter.take(now + wait) == 0


def test_the_limit_is_three_hundred():
    """As the README says."""
    limiter = Limiter()
    assert [bool(limiter.take(0.1)) for _ in range(PER_MINUTE + 1)] == [False] * 300 + [True]


def test_a_fault_strikes_where_when_and_as_often_as_it_says():
    """Place, time and number are all kept, and the next fault in line takes over."""
    script = Script(
        [
            {"do": "error_after", "on": "POST /orders", "from_s": 5, "to_s": 10, "times": 1},
            {"do": "stall", "on": "POST /orders", "from_s": 5},
        ]
    )
    struck = [script.fault(what, at) for what, at in [("POST /orders", 4), ("GET /ticker", 6)]]
    assert struck == [None, None]
    names = [found.do for at in (5, 9, 11) if (found := script.fault("POST /orders", at))]
    assert names == ["error_after", "stall", "stall"]


def test_an_unknown_fault_or_session_is_refused():
    """By name, with what there is."""
    with pytest.raises(ValueError, match="rate_limit"):
        Script([{"do": "explode"}])
    with pytest.raises(ValueError, match="flash_crash"):
        Session.load("../market")


def test_the_sessions_are_what_their_generator_makes(tmp_path):
    """The committed files come out the same when they are made again."""
    record_sessions.write(tmp_path)
    made = {path.name: path.read_text() for path in tmp_path.glob("*.csv")}
    assert made == {path.name: path.read_text() for path in SESSIONS.glob("*.csv")}


def test_the_sessions_are_what_they_are_called():
    """40% are lost in ten seconds, sideways stays within 0.1%, the bull gains, the slide never looks like a crash."""
    session = {name: Session.load(name) for name in ("flash_crash", "sideways", "bull_run", "slide")}
    crash = session["flash_crash"].prices
    assert Decimal("0.58") < crash[70] / crash[59] < Decimal("0.62")
    flat = session["sideways"].prices
    assert max(flat) / min(flat) < Decimal("1.0021")
    assert session["bull_run"].prices[-1] / session["bull_run"].prices[0] > Decimal("1.1")
    assert not any(session["slide"].is_crashing(second) for second in range(300))
    assert session["flash_crash"].is_crashing(65)
    assert not session["flash_crash"].is_crashing(50)
