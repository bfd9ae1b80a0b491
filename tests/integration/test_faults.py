"""Faults over real sockets: delays, shares and cuts as planned, the same for the same seed, marked and kept apart."""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter

import pytest

from agentlocust.dialects import by_name
from agentlocust.failures import FailureKind
from agentlocust.faults.injection import Asked
from agentlocust.faults.injector import PlanInjector
from agentlocust.faults.plan import FaultPlan
from agentlocust.wire.exchange import HttpRequest, Timeouts
from agentlocust.wire.injected import CallFaults, open_exchange
from agentlocust.wire.pool import Pool
from agentlocust.wire.tap import Tap
from agentlocust.wire.target import Target

PATHS = {"openai-chat": "/v1/chat/completions", "openai-responses": "/v1/responses", "anthropic": "/v1/messages"}
WITHIN_S = 0.005
ROUNDS = 9

# Each user writes down what struck its calls, in order: user, name, faults, failure.
LOGGED = """\
import json
from locust import constant, events, task
from agentlocust import OpenAIUser
from agentlocust.ledger import Ledger

add = Ledger.add_call

def logged(self, call, second):
    labels = dict(call.labels)
    failure = call.failure
    told = [labels.get("who"), list(call.faults), failure and failure.kind.value, bool(failure and failure.injected)]
    with open("calls.jsonl", "a") as file:
        file.write(json.dumps(told) + chr(10))
    add(self, call, second)

Ledger.add_call = logged

class Asking(OpenAIUser):
    model = "gpt-4o-mini"
    sla = ["error_rate < 1%", "sum(task_errors) <= 1000000"]
    wait_time = constant(0.01)

    def on_start(self):
        self.who = str(self.turns._user)

    @task
    def ask(self):
        with self.agent_run("asking"):
            self.chat("one", labels={"who": self.who})
            self.chat("two", labels={"who": self.who})
"""
FAST = "ttft=2ms,itl=100us,tokens=12"


class Always:
    """A plan in force everywhere, from the start."""

    def __init__(self, line: str, *, tells: bool = False, seed: int = 1) -> None:
        self.injector = PlanInjector(FaultPlan.parse(line), seed)
        self.tells = tells

    def reaches(self, origin):
        """Everybody is told."""
        return True

    def now(self):
        """Second 0 of no phase."""
        return 0.0, ""


@pytest.fixture
def pool():
    pool = Pool()
    yield pool
    pool.close()


def outcome(pool, url, line="", dialect="openai-chat", *, number=0, streamed=True, tells=False, timeouts=None):
    """What one call came to, with the faults of a line."""
    speaks = by_name(dialect)
    target = Target.parse(url)
    body = json.dumps(speaks.build(model="m", messages=[speaks.user_message("hi")], max_tokens=99, stream=streamed))
    request = HttpRequest("POST", target.origin, PATHS[dialect], [("content-type", "application/json")], body.encode())
    faults = None
    if line:
        asked = Asked(0.0, model="m", path=PATHS[dialect], dialect=dialect, streamed=streamed, call=number)
        faults = CallFaults(Always(line, tells=tells), asked)
    tap = Tap(speaks, streamed=streamed)
    tap.hears = tells
    exchange = open_exchange(pool, request, timeouts or Timeouts(), faults)
    tap.watch(exchange)
    exchange.send()
    exchange.wait_end()
    exchange.close()
    return tap.settle()


def took(found) -> float:
    """Seconds of a call."""
    return (found.ended_ns - found.started_ns) / 1e9


def ttft(found) -> float:
    """Seconds to its first token."""
    return (found.decoded.token_ns[0] - found.started_ns) / 1e9


@pytest.mark.parametrize("place", ["transport", "mock"])
@pytest.mark.parametrize(
    ("line", "measure", "planned_s"),
    [
        ("latency(delay=100ms)", took, 0.1),
        ("slow_first_token(delay=100ms)", ttft, 0.1),
        ("stall(after=4,for=100ms)", took, 0.1),
        ("drip(gap=10ms)", took, 0.12),
    ],
)
def test_delays_are_as_planned(mock_server, pool, place, line, measure, planned_s):
    """Within 5 ms, at the median of calls with and without the fault, one after the other."""
    plain = mock_server(FAST)
    if place == "mock":
        faulty = mock_server(FAST, faults=line)
        pairs = [(outcome(pool, plain.url), outcome(pool, faulty.url)) for _ in range(ROUNDS)]
    else:
        pairs = [(outcome(pool, plain.url), outcome(pool, plain.url, line)) for _ in range(ROUNDS)]
    assert all(late.failure is None and len(late.decoded.token_ns) == 12 for _, late in pairs)
    added_s = statistics.median(measure(late) - measure(usual) for usual, late in pairs)
    # A dripped token waits from the one before it, so the mock's own 0.1 ms gaps pass meanwhile.
    assert abs(added_s - planned_s) < WITHIN_S


def test_a_thin_line_takes_its_time(mock_server, pool):
    """Bytes by the second, whatever the tokens do."""
    mock = mock_server(FAST)
    found = outcome(pool, mock.url, "bandwidth(rate=20KB)")
    assert found.failure is None
    body_s = (found.last_byte_ns - found.started_ns) / 1e9
    assert body_s == pytest.approx(found.response_bytes / 20_000, rel=0.1, abs=0.02)


@pytest.mark.parametrize("place", ["transport", "mock"])
@pytest.mark.parametrize("dialect", PATHS)
@pytest.mark.parametrize("k", [1, 7])
def test_cuts_are_exact(mock_server, pool, place, dialect, k):
    """So many token events arrive, and no more, over the transport's connection and the mock's."""
    line = f"cut(after={k})"
    mock = mock_server(FAST, faults=line if place == "mock" else "")
    found = outcome(pool, mock.url, line, dialect, tells=place == "mock")
    assert len(found.decoded.token_ns) == k
    assert found.failure.kind is FailureKind.TRUNCATED_STREAM
    assert found.faults == ("cut",)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("refused()", FailureKind.CONNECT),
        ("dns_failure()", FailureKind.DNS),
        ("reset()", FailureKind.RESET),
        ("packet_loss()", FailureKind.RESET),
        ("timeout()", FailureKind.TIMEOUT),
        ("timeout(limit=50ms)", FailureKind.TIMEOUT),
        ("rate_limit()", FailureKind.RATE_LIMITED),
        ("overloaded()", FailureKind.OVERLOADED),
        ("server_error()", FailureKind.SERVER_ERROR),
        ("auth()", FailureKind.AUTH),
        ("context_length()", FailureKind.CONTEXT_LENGTH),
        ("quota()", FailureKind.QUOTA),
        ("no_terminal()", FailureKind.TRUNCATED_STREAM),
        ("malformed()", FailureKind.MALFORMED_STREAM),
        ("error_event()", FailureKind.STREAM_ERROR),
        ("empty()", FailureKind.EMPTY),
        ("filter()", FailureKind.CONTENT_FILTER),
    ],
)
@pytest.mark.parametrize("dialect", PATHS)
def test_what_a_fault_is_to_the_caller(mock_server, pool, line, kind, dialect):
    """The kind of failure that the real trouble would be, marked with the fault's name."""
    mock = mock_server("ttft=200ms,itl=1ms,tokens=9")
    found = outcome(pool, mock.url, line, dialect, timeouts=Timeouts(first_byte=1.0))
    assert (found.failure.kind, found.faults) == (kind, (line.partition("(")[0],))
    requests = sum(route["requests"] for route in mock.truth()["routes"].values())
    assert requests == (1 if line.startswith(("packet", "timeout(l", "no_", "mal", "error_")) else 0)


def test_a_lost_reply_was_acted_on(mock_server, pool):
    """The mock has answered in full what its caller never saw."""
    mock = mock_server(FAST)
    found = outcome(pool, mock.url, "packet_loss()")
    assert found.failure.kind is FailureKind.RESET
    assert mock.truth()["routes"]["/v1/chat/completions"]["completed"] == 1


def interval(n: int, share: float) -> float:
    """Half of the 99% interval of a binomial's mean."""
    return 2.576 * math.sqrt(share * (1 - share) / n)


def test_shares_are_as_planned(mock_server, pool):
    """Within a binomial 99% interval, at the transport, and the mock strikes the very same calls."""
    line = "overloaded():30%, cut(after=3):10%"
    plain, faulty = mock_server(FAST), mock_server(FAST, faults=line, seed=1)
    struck = [outcome(pool, plain.url, line, number=number).faults for number in range(300)]
    for name, share in (("overloaded", 0.3), ("cut", 0.1 * 0.7)):
        assert abs(sum(name in faults for faults in struck) / 300 - share) <= interval(300, share)
    there = [outcome(pool, faulty.url, line, number=number, tells=True).faults for number in range(300)]
    assert there == struck


def sequences(result) -> dict[str, list]:
    """Each user's calls in order."""
    found: dict[str, list] = {}
    for line in (result.directory / "calls.jsonl").read_text().splitlines():
        who, *told = json.loads(line)
        found.setdefault(who, []).append(told)
    (result.directory / "calls.jsonl").unlink()
    return found


def same(first: dict[str, list], second: dict[str, list]) -> None:
    """As far as both go, each user's sequence is the same."""
    assert first.keys() == second.keys()
    for who, calls in first.items():
        shorter = min(len(calls), len(second[who]))
        assert shorter > 5
        assert calls[:shorter] == second[who][:shorter]


PLAN = "rate_limit():20%, cut(after=5):10%, no_terminal:5%, packet_loss():5%"


def test_the_same_seed_is_the_same_test(start):
    """Twice, and at the mock instead of the transport: each user meets the same faults in the same calls."""
    options = ("--mock", FAST, "--seed", "11", "--faults", PLAN, "--out", "none", "--calls", "240")
    found = []
    for more in ((), (), ("--faults-at", "mock")):
        result = start(LOGGED, *options, *more, users=4, run_time="").finish()
        found.append(sequences(result.expect(0)))
    same(found[0], found[1])
    # The mock's reply names all that was chosen, also a fault that another one came before.
    same(
        found[0],
        {
            who: [[once[0], *there[1:]] for once, there in zip(found[0][who], told, strict=False)]
            for who, told in found[2].items()
        },
    )
    assert all(
        set(here[0]) <= set(there[0])
        for who, told in found[0].items()
        for here, there in zip(told, found[2][who], strict=False)
    )
    failed = [told for calls in found[0].values() for told in calls if told[1]]
    assert failed
    assert all(faults and injected for faults, _, injected in failed)


@pytest.mark.parametrize("way", ["local", "processes"])
def test_injected_and_organic_failures_are_never_mixed(start, mock_server, way):
    """The target fails in its own ways meanwhile; the sums are told apart and only its own count against it."""
    mock = mock_server(f"{FAST},errors=overloaded:5%")
    plan = "server_error():20%, latency(delay=5ms):50%"
    options = ("--host", mock.url, "--seed", "3", "--calls", "400", "--faults", plan)
    result = start(LOGGED, *options, way=way, users=4, run_time="").finish()
    result.expect(99)
    summary = result.summary
    totals, faults = summary["totals"], summary["faults"]
    kinds, injected = Counter(), Counter()
    for row in summary["rows"]:
        if row["kind"] == "LLM":
            kinds.update(row["failures"])
            injected.update(row["injected_failures"])
    assert injected == {"server_error": kinds["server_error"]}
    assert kinds["overloaded"] > 0
    assert totals["injected_failed"] == faults["injected_failed"] == kinds["server_error"]
    assert faults["organic_failed"] == kinds["overloaded"] == mock.final_truth()["failed_by"]["503"]
    assert faults["plan"] == plan
    assert (faults["seed"], faults["at"]) == (3, "transport")
    share = faults["counts"]["server_error"] / totals["calls"]
    assert abs(share - 0.2) <= interval(totals["calls"], 0.2)
    (check,) = [check for check in summary["verdict"]["checks"] if check["check"] == "error_rate < 1%"]
    assert check["observed"] == pytest.approx(kinds["overloaded"] / totals["calls"])
    assert "FAULTS ON  server_error():20%" in result.stdout


def test_windows_and_phases(start):
    """A fault is on within its window, or its phase, and nowhere else."""
    result = start(
        LOGGED,
        *("--mock", FAST, "--shape", "steps:from=1,to=2,step=1,hold=3s"),
        *("--faults", "overloaded()@2 users, latency()@99s-"),
        users=None,
        run_time="",
    ).finish()
    struck, calls = Counter(), Counter()
    for row in result.summary["rows"]:
        if row["kind"] == "LLM":
            struck[row["phase"]] += row["injected_failed"]
            calls[row["phase"]] += row["count"]
    assert struck["1 user"] == 0 < calls["1 user"]
    assert struck["2 users"] == calls["2 users"] > 0
    assert result.summary["faults"]["counts"] == {"overloaded": calls["2 users"], "latency": 0}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--faults", "cutt()"), "did you mean 'cut'"),
        (("--faults", "missing.yaml"), "no such file"),
        (("--faults", "cut()", "--faults-at", "mok"), "did you mean 'mock'"),
        (("--faults", "cut()", "--faults-at", "mock", "--host", "http://127.0.0.1:1"), "--faults-at"),
    ],
)
def test_a_bad_plan_ends_before_any_load(start, options, words):
    """Exit code 2, with a hint."""
    result = start(LOGGED, *options).finish()
    assert words in result.expect(2).output
