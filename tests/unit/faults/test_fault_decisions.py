"""Who is struck: chance without a state, a bucket with one, and what several faults come to together."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentlocust.failures import FailureKind
from agentlocust.faults.about import heard, names_in, told
from agentlocust.faults.catalogue import FAULTS, explains
from agentlocust.faults.fault import Group
from agentlocust.faults.injection import Asked, Breakage
from agentlocust.faults.injector import PlanInjector
from agentlocust.faults.plan import FaultPlan
from agentlocust.faults.rate_limit import Bucket

SMALL = st.integers(0, 50)
TOOLS = b'{"tools":[{"name":"x"}],"messages":[{"role":"tool","content":"20"}]}'


def injector(line: str, seed: int = 1, parts: int = 1) -> PlanInjector:
    """Who decides by a line."""
    return PlanInjector(FaultPlan.parse(line), seed, parts)


def asked(**what) -> Asked:
    """A chat call, at second 0 unless told."""
    return replace(Asked(0.0, dialect="openai-chat", model="m"), **what)


@settings(deadline=None)
@given(SMALL, SMALL, SMALL, SMALL, st.permutations(range(8)))
def test_a_decision_depends_on_nothing_but_its_place(user, run, call, attempt, order):
    """Whatever was asked before, in whatever order: the same place has the same fate."""
    deciding = injector("overloaded():50%, latency(delay=1s,jitter=500ms):50%", seed=7)
    fresh = injector("overloaded():50%, latency(delay=1s,jitter=500ms):50%", seed=7)
    for other in order:
        deciding.decide(asked(user=other), b"")
    place = asked(user=user, run=run, call=call, attempt=attempt)
    assert deciding.decide(place, b"") == fresh.decide(replace(place, at_s=99.0), b"")


def test_a_share_is_met_and_differs_by_seed_and_rule():
    """Within the 99.9% interval of 20,000 draws; two rules of one share do not strike the same calls."""
    found = injector("overloaded():30%, latency():30%")
    places = [asked(user=number % 40, call=number // 40) for number in range(20_000)]
    struck = [injection.faults if (injection := found.decide(place, b"")) else () for place in places]
    for name in ("overloaded", "latency"):
        assert abs(sum(name in names for names in struck) / len(places) - 0.3) < 0.011
    both = sum(len(names) == 2 for names in struck) / len(places)
    assert abs(both - 0.09) < 0.008
    other = injector("overloaded():30%, latency():30%", seed=2)
    assert [bool(other.decide(place, b"")) for place in places[:200]] != [bool(names) for names in struck[:200]]


PLACES = [asked(user=number % 10, call=number // 10) for number in range(400)]


def struck_by(line: str, fault: str = "overloaded") -> list[int]:
    """Which of the places a fault of the line strikes."""
    found = injector(line)
    decided = [found.decide(place, b"") for place in PLACES]
    return [n for n, injection in enumerate(decided) if injection is not None and fault in injection.faults]


def test_other_rules_change_nothing_for_a_rule():
    """Whatever stands before or behind it, the same calls are struck; a larger share strikes those and more."""
    alone = struck_by("overloaded():20%")
    assert 40 < len(alone) < 120
    assert struck_by("latency(delay=1s):50%, overloaded():20%, drip():10%") == alone
    more = struck_by("overloaded():40%")
    assert set(alone) < set(more)


def test_two_rules_alike_strike_different_calls():
    """A rule that is written twice is drawn twice."""
    twice = struck_by("overloaded(status=503):20%, overloaded(status=503):20%")
    assert 0.28 < len(twice) / len(PLACES) < 0.45  # 1 - 0.8 * 0.8


@settings(deadline=None)
@given(st.floats(0.5, 50), st.integers(1, 20), st.lists(st.floats(0, 0.5), min_size=1, max_size=200))
def test_a_bucket_lets_no_more_pass_than_its_rate(rps, burst, gaps):
    """In any stretch of time: the burst, and the rate times the seconds; and who waits as told passes."""
    bucket, now, passed = Bucket(rps, burst), 0.0, 0
    for gap in gaps:
        now += gap
        wait = bucket.take(now)
        passed += not wait
        assert passed <= burst + rps * now + 1e-6
    wait = bucket.take(now)
    if wait:
        assert not bucket.take(now + wait + 1e-6)


def test_a_rate_limit_says_when_to_come_back():
    """With the provider's headers; split over processes."""
    deciding = injector("rate_limit(rps=2,burst=1)")
    assert deciding.decide(asked(), b"") is None
    injection = deciding.decide(asked(), b"")
    headers = dict(injection.reply.headers)
    assert (injection.reply.status, headers[b"retry-after"], headers[b"retry-after-ms"]) == (429, b"1", b"500")
    assert headers[b"x-ratelimit-limit-requests"] == b"120"
    assert injector("rate_limit(rps=2)", parts=2)._rules[0][2].rps == 1
    silent = injector("rate_limit(tell=no)").decide(asked(dialect="anthropic"), b"")
    assert b"retry-after" not in dict(silent.reply.headers)
    plain = injector("rate_limit(retry_after=3s)").decide(asked(dialect=""), b"")
    assert dict(plain.reply.headers)[b"retry-after"] == b"3"


def test_several_faults_add_up():
    """Delays are summed, the thinner line counts, the first reply or breakage stands."""
    injection = injector(
        "latency(delay=1s), latency(delay=2s), bandwidth(rate=5KB), bandwidth(rate=2KB), refused, overloaded, timeout"
    ).decide(asked(), b"")
    assert injection.delay_s == 3
    assert injection.bytes_per_s == 2000
    assert injection.breakage is Breakage.REFUSED
    assert injection.reply is None
    assert injection.limit_s == 0.1
    assert injection.faults == ("latency", "latency", "bandwidth", "bandwidth", "refused", "timeout")


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.group is not Group.LOCAL])
@pytest.mark.parametrize("dialect", ["openai-chat", "openai-responses", "anthropic", ""])
@pytest.mark.parametrize("streamed", [True, False])
def test_each_fault_strikes_what_it_is_for(name, dialect, streamed):
    """Streams and content only where tokens are generated; a made reply is the provider's own kind."""
    body = (
        TOOLS
        if dialect != "openai-responses"
        else TOOLS.replace(b"messages", b"input").replace(
            b'"role":"tool","content"', b'"type":"function_call_output","output"'
        )
    )
    injection = injector(f"{name}()").decide(asked(dialect=dialect, streamed=streamed), body)
    group = FAULTS[name].group
    only_streams = group is Group.STREAM and name not in ("slow_first_token", "cut", "no_usage")
    expected = (
        group in (Group.NETWORK, Group.PROVIDER) or (bool(dialect) and (streamed or not only_streams)) or name == "cut"
    )
    assert (injection is not None) == expected
    if injection is not None and injection.reply is not None and injection.reply.status == 200:
        assert any(value.startswith(b"text/event-stream") for _, value in injection.reply.headers) == streamed


@pytest.mark.parametrize(
    "name", ["invalid_arguments", "truncated_arguments", "unknown_tool", "wrong_tool_result", "missing_data"]
)
def test_faults_of_tools_need_tools(name):
    """Without a tool on offer, or a result, there is nothing to be wrong."""
    assert injector(f"{name}()").decide(asked(), b'{"messages":[{"role":"user","content":"x"}]}') is None
    assert injector(f"{name}()").decide(asked(), b"no JSON") is None


def test_only_a_failure_that_a_fault_can_cause_is_injected():
    """A slow network explains a time-out and no 500."""
    assert explains(("latency",), FailureKind.TIMEOUT)
    assert not explains(("latency",), FailureKind.SERVER_ERROR)
    assert not explains((), FailureKind.TIMEOUT)
    assert explains(("latency", "server_error"), FailureKind.SERVER_ERROR)


@settings(deadline=None)
@given(SMALL, SMALL, SMALL, SMALL, st.text(max_size=20), st.text(max_size=20), st.floats(0, 1e6))
def test_headers_say_whose_request_it_is(user, run, call, attempt, name, phase, at_s):
    """What was told is what is heard, whatever the names are made of."""
    sent = asked(user=user, run=run, call=call, attempt=attempt, name=name, phase=phase, at_s=at_s)
    got = heard(Asked(5.0, dialect="openai-chat"), dict(told(sent)))
    expected = replace(sent, at_s=got.at_s)
    assert got == (expected if name.encode("utf-8", "ignore").decode() == name else got)
    assert abs(got.at_s - at_s) <= 0.001


@settings(deadline=None)
@given(st.text(max_size=50), st.text(max_size=50))
def test_headers_from_anywhere_are_no_crash(who, about):
    """Nonsense is passed over."""
    got = heard(Asked(5.0), {"x-agentlocust-who": who, "x-agentlocust-about": about})
    assert got.user >= 0
    assert got.at_s >= 0
    assert all(name in FAULTS for name in names_in(about))
