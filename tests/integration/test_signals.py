"""A test that is interrupted still reports the truth, and leaves nothing running."""

from __future__ import annotations

import signal
import time

import pytest

from harness import WAYS, processes_of, wait_until
from oracle import differences
from sample_locustfiles import AGENTS, AGENTS_SPEC, CHAT_SPEC, chat

# One of each kind on every change; all of them with -m long.
USUAL = {
    ("local", signal.SIGINT, True),
    ("processes", signal.SIGINT, True),
    ("processes", signal.SIGTERM, False),
    ("distributed", signal.SIGTERM, False),
    ("web", signal.SIGINT, True),
}
CASES = [
    pytest.param(
        way,
        number,
        group,
        id=f"{way}-{number.name}-{'group' if group else 'master'}",
        marks=[] if (way, number, group) in USUAL else [pytest.mark.long],
    )
    for way in WAYS
    for number in (signal.SIGINT, signal.SIGTERM)
    for group in (True, False)
]


@pytest.mark.parametrize(("way", "number", "group"), CASES)
def test_an_interrupted_test_reports_exact_totals(start, mock_server, way, number, group):
    """The first signal drains and reports: exact totals, 130 or 143, and no process left, within 10 s."""
    server = mock_server(AGENTS_SPEC)
    test = start(AGENTS, "--host", server.url, way=way, run_time="60s", users=6)
    if way == "web":
        test.wait_for_ui()
        test.swarm()
    wait_until(lambda: server.truth()["requests"] >= 30, "thirty requests")
    signalled = time.monotonic()
    test.signal(number, group=group)
    result = test.finish()
    assert time.monotonic() - signalled < 10
    result.expect(128 + number)
    assert differences(result.summary, server.final_truth()) == []
    assert result.summary["verdict"]["status"] == "interrupted"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_failed_check_outranks_the_interruption(start, mock_server, number):
    """Checks are judged on what was measured: a failed one gives 99."""
    server = mock_server(CHAT_SPEC)
    test = start(chat("p95(ttft) < 1ms"), "--host", server.url, run_time="60s")
    wait_until(lambda: server.truth()["requests"] >= 20, "twenty requests")
    test.signal(number, group=True)
    test.finish().expect(99)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
@pytest.mark.parametrize("way", WAYS)
def test_a_second_signal_quits_at_once(start, mock_server, way, number):
    """Whoever asks twice does not wait for calls in flight, nor do the workers, wherever they are."""
    server = mock_server("ttft=60s")
    test = start(chat(), "--host", server.url, way=way, run_time="60s", stop_timeout="50")
    if way == "web":
        test.wait_for_ui()
        test.swarm()
    wait_until(lambda: server.truth()["requests"] >= 5, "five requests")
    test.signal(number, group=False)
    time.sleep(1)  # a second keypress, not the same one twice
    test.signal(number, group=False)
    test.main.wait(10)
    wait_until(lambda: not processes_of(test.mark), "every process to end", 10)  # a master's silence takes 10.5 s
    assert test.main.returncode == 128 + number


def test_a_signal_while_the_test_ends_loses_no_report(start, mock_server):
    """One that comes when the run time is over and the last calls are awaited: they still count."""
    server = mock_server("ttft=4s,itl=1ms")
    test = start(chat("p95(ttft) < 30s"), "--host", server.url, run_time="2s", stop_timeout="30")
    wait_until(lambda: "limit reached" in test.output(), "the end of the run time")
    test.signal(signal.SIGTERM, group=True)
    result = test.finish().expect(143)
    assert result.summary["totals"]["calls"] == server.final_truth()["requests"] > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_wait_for_workers_leaves_nobody(start, number):
    """A master that waits for one more worker sends home those that came, without a traceback."""
    test = start(chat("p95(ttft) < 30s"), way="distributed", expect_workers=3)
    wait_until(lambda: "2 workers connected" in test.output(), "both workers")
    test.signal(number, group=True)
    result = test.finish().expect(128 + number)
    assert result.summaries == []
    assert "Traceback" not in result.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("way", ["processes", "web"])
def test_an_idle_web_ui_ends_quietly(start, way, number):
    """No test was started: 0, no traceback, nobody left."""
    ui = start(chat("p95(ttft) < 1ms"), "--mock", CHAT_SPEC, way=way, ui=True)
    ui.wait_for_ui()
    if way == "processes":
        ui.wait_for_workers()
    ui.signal(number, group=False)
    result = ui.finish().expect(0)
    assert result.summaries == []
    assert "Traceback" not in result.output


@pytest.mark.parametrize("way", WAYS)
def test_the_embedded_mock_ends_with_the_test(start, way):
    """The mock of a test without --host is gone when the test is, also after a signal to the group."""
    test = start(chat(), "--mock", CHAT_SPEC, way=way, run_time="60s")
    if way == "web":
        test.wait_for_ui()
        test.swarm()
    wait_until(lambda: "agentlocust.mock" in test.commands(), "the embedded mock")
    time.sleep(1)  # into the middle of the test
    test.signal(signal.SIGINT, group=True)
    result = test.finish().expect(130)
    assert result.summary["totals"]["calls"] > 0
