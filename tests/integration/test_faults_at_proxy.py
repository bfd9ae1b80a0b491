"""`locust … --proxy … --faults … --faults-at proxy`: black boxes under a fault plan, and phases there and at home."""

from __future__ import annotations

from collections import Counter

import pytest

from agent_services import JSON_MAPPING, Service, asker
from agentlocust.proxy.runs import place_of
from harness import free_port, run
from test_faults import FAST, LOGGED, PLAN, same, sequences
from test_proxy_beside_a_test import calls_of

pytestmark = pytest.mark.timeout(180)

CODE = asker(wait=0.02, protocol="json", path="/", mapping={**JSON_MAPPING, "error": "error.message"})
AT_PROXY = ("--faults-at", "proxy")
# All of the spike's calls fail, and none of the others.
SPIKE = (
    "--shape",
    "spike:baseline=2,spike=6,baseline_time=5s,spike_time=2s,recovery_time=6s",
    "--sla",
    "sum(calls) > 0",
)
SPIKED = ("--faults", "overloaded()@spike, latency(delay=1ms)@99s-", *SPIKE)


def black_box(directory, mock, plan, *options, passes="all", retries="0", way="local", users=4, run_time="3s"):
    """A test of an agent that is a black box behind a proxy that breaks things, and what the agent counted."""
    port = free_port()
    directory.mkdir(exist_ok=True)
    with Service(directory, "llm_agent_service", f"http://127.0.0.1:{port}", passes, retries) as service:
        where = ("--host", service.url, "--proxy", mock.url, "--proxy-port", str(port), *AT_PROXY)
        faults = ("--faults", plan) if plan else ()
        result = run(directory, CODE, *where, *faults, *options, way=way, users=users, run_time=run_time)
        return result, service.truth()


def llm_kinds(result) -> tuple[Counter[str], Counter[str]]:
    """Failures of calls by kind: all, and those that were injected."""
    every, injected = Counter(), Counter()
    for row in result.summary["rows"]:
        if row["kind"] == "LLM":
            every.update(row["failures"])
            injected.update(row["injected_failures"])
    return every, injected


@pytest.mark.parametrize("way", ["local", "distributed"])
def test_what_was_injected_into_a_black_box_is_told_from_what_its_model_did(tmp_path, mock_server, way):
    """Calls and runs, to the last one: the mock saw what was not struck, and failed on its own account."""
    mock = mock_server(f"{FAST},errors=503:5%")
    plan = "server_error():20%, latency(delay=5ms):30%"
    options = ("--seed", "3", "--sla", "run_error_rate < 1%")
    result, told = black_box(tmp_path, mock, plan, *options, way=way, users=6)
    truth, totals = mock.final_truth(), result.expect(99).summary["totals"]
    faults = result.summary["faults"]
    every, injected = llm_kinds(result)
    assert injected == {"server_error": every["server_error"]}
    assert every["server_error"] == faults["counts"]["server_error"] == totals["calls"] - truth["requests"] > 0
    assert every["overloaded"] == faults["organic_failed"] == truth["failed_by"]["503"] > 0
    for bucket in ("input", "output"):
        assert totals["tokens"][bucket] == truth["tokens"][bucket]
    assert (faults["at"], faults["plan"], faults["seed"]) == ("proxy", plan, 3)
    assert totals["runs_injected_failed"] == faults["runs"]["injected_failed"] == told["status_500"]
    assert totals["runs_failed"] - totals["runs_injected_failed"] == told["status_503"]
    check = result.summary["verdict"]["checks"][0]
    assert check["observed"] == pytest.approx(told["status_503"] / totals["runs"])
    assert "FAULTS ON  server_error():20%" in result.stdout
    for call in calls_of(result):
        assert (call["failure"] == "server_error") == ("server_error" in call["faults"])


def drawn(result) -> dict[str, list]:
    """What struck each call of each user, in order."""
    found: dict[tuple[int, int], list] = {}
    for call in sorted(calls_of(result), key=lambda call: call["started_s"]):
        found.setdefault(place_of(call["run"]), []).append([call["faults"], call["failure"]])
    users: dict[str, list] = {}
    for (user, _), calls in sorted(found.items()):
        users.setdefault(str(user), []).append(calls)
    return users


@pytest.mark.parametrize("passes", ["all", "traceparent"])
def test_the_same_seed_strikes_a_black_box_in_the_same_places(tmp_path, mock_server, passes):
    """Twice, whatever of the three the agent passes on: each user's runs meet the same faults."""
    mock, found = mock_server(FAST), []
    for n in range(2):
        options = ("--seed", "7", "--agent-runs", "80")
        result, _ = black_box(tmp_path / str(n), mock, PLAN, *options, passes=passes, run_time="20s")
        found.append(drawn(result))
    same(*found)
    assert len(found[0]) == 4
    struck = [faults for runs in found[0].values() for calls in runs for faults, _ in calls if faults]
    assert {name for faults in struck for name in faults} == {"rate_limit", "cut", "no_terminal", "packet_loss"}


def test_attempts_that_were_struck_are_all_on_the_record_of_their_call(tmp_path, mock_server):
    """An SDK that tries again is struck again or not; the call that came through names what struck it before."""
    mock = mock_server(FAST)
    plan = "overloaded(retry_after=0.05s):40%"
    result, told = black_box(tmp_path, mock, plan, "--seed", "2", retries="6", users=3)
    totals, faults = result.summary["totals"], result.summary["faults"]
    assert totals["attempts"] == mock.final_truth()["requests"] + faults["counts"]["overloaded"]
    assert totals["failed"] == totals["injected_failed"]
    assert totals["injected"] > 2 * totals["failed"]
    assert totals["calls"] - totals["failed"] == told["calls"] == mock.final_truth()["completed"]


def test_our_own_clients_may_go_through_the_proxy(tmp_path, start, mock_server):
    """They tell whose their requests are and are counted once; nothing of that reaches the upstream."""
    mock, found = mock_server(FAST), []
    options = ("--seed", "11", "--faults", PLAN, "--calls", "160", "--out", "none")
    for where in ("proxy", "transport"):
        more = ("--host", mock.url)
        if where == "proxy":
            port = str(free_port())
            more = ("--host", f"http://127.0.0.1:{port}", "--proxy", mock.url, "--proxy-port", port, *AT_PROXY)
        mock.reset()
        result = start(LOGGED, *options, *more, users=4, run_time="").finish()
        found.append(sequences(result.expect(0)))
        assert sum(len(calls) for calls in found[-1].values()) == 160
    failures = [{who: [[told[1], told[2]] for told in calls] for who, calls in sequence.items()} for sequence in found]
    same(*failures)
    assert all(injected for calls in failures[0].values() for kind, injected in calls if kind)


def the_spikes_window(result):
    """The one window of trouble, which is the phase as it was."""
    [window] = result.summary["resilience"]["windows"]
    [phase] = [phase for phase in result.summary["phases"] if phase["name"] == "spike"]
    assert window["name"] == "overloaded"
    assert window["start_s"] == pytest.approx(phase["start_s"], abs=0.05)
    assert window["end_s"] == pytest.approx(phase["end_s"], abs=0.05)
    return window


@pytest.mark.parametrize("way", ["local", "distributed"])
def test_a_phase_is_a_window_of_trouble(start, way):
    """Every call of the spike is struck and no other; before, during and after add up; recovery is at once."""
    options = ("--mock", FAST, *SPIKED, "--sla", "recovery_time < 2s")
    result = start(LOGGED, *options, way=way, users=None, run_time="").finish()
    struck, calls = Counter(), Counter()
    for row in result.summary["rows"]:
        if row["kind"] == "LLM":
            struck[row["phase"]] += row["injected_failed"]
            calls[row["phase"]] += row["count"]
    assert struck["spike"] == calls["spike"] > 0 == struck["baseline"] == struck["recovery"]
    window = the_spikes_window(result)
    assert sum(window[part]["calls"] for part in ("before", "during", "after")) == result.summary["totals"]["calls"]
    assert window["during"]["failed"] == struck["spike"]
    assert window["before"]["availability"] == window["after"]["availability"] == 1.0
    assert window["recovery_s"] <= 1.0


def test_a_phase_holds_at_the_proxy(tmp_path, mock_server):
    """The proxy hears when a phase begins and ends; calls that began within it are struck."""
    mock = mock_server(FAST)
    result, _ = black_box(tmp_path, mock, "", *SPIKED, users=None, run_time="")
    by_phase = {row["phase"]: row for row in result.summary["rows"] if row["kind"] == "LLM"}
    spike = by_phase["spike"]
    assert spike["injected_failed"] >= 0.9 * spike["count"] > 0  # but for those on their way as it began
    assert sum(by_phase[name]["injected_failed"] for name in ("baseline", "recovery")) <= 6
    window = the_spikes_window(result)
    assert window["during"]["failed"] >= spike["injected_failed"]
    assert window["during"]["availability"] < 0.2
    assert window["recovery_s"] <= 1.0
    assert sum(window[part]["calls"] for part in ("before", "during", "after")) == result.summary["totals"]["calls"]


def test_a_window_of_a_named_phase_needs_a_shape(start):
    """Exit code 2, with what to do."""
    result = start(LOGGED, "--resilience-windows", "burst@spike").finish()
    assert "--shape" in result.expect(2).output


def test_faults_at_a_proxy_that_is_not_there(start):
    """Exit code 2, with what to do."""
    result = start(LOGGED, "--faults", "reset()", *AT_PROXY).finish()
    assert "add --proxy" in result.expect(2).output
