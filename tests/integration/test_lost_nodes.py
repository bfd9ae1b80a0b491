"""A worker or a master that goes away in mid-test: known at the end, and nothing left running."""

from __future__ import annotations

import signal
import time

import pytest

from harness import processes_of, wait_until
from oracle import differences
from sample_locustfiles import AGENTS, AGENTS_SPEC, CHAT_SPEC, chat

FORKED_AND_STARTED = [
    pytest.param("processes", id="processes"),
    pytest.param("distributed", id="distributed", marks=pytest.mark.long),
]
with_workers = pytest.mark.parametrize("way", FORKED_AND_STARTED)


@with_workers
def test_a_killed_worker_makes_the_test_invalid(start, mock_server, way):
    """Its last reports are lost, so the exit code is 3 and the Summary names the worker."""
    server = mock_server(CHAT_SPEC)
    test = start(chat("p95(ttft) < 30s"), "--host", server.url, way=way, run_time="5s")
    wait_until(lambda: server.truth()["requests"] >= 20, "twenty requests")
    test.worker_processes()[0].kill()
    result = test.finish().expect(3)
    (lost,) = result.summary["validity"]["workers_lost"]
    assert any(lost in reason for reason in result.summary["verdict"]["reasons"])
    assert 0 < result.summary["totals"]["calls"] <= server.final_truth()["requests"]


@with_workers
def test_the_death_of_every_worker_ends_the_test(start, mock_server, way):
    """Nobody is left to wait for: the run time is not sat out."""
    server = mock_server(CHAT_SPEC)
    test = start(chat("p95(ttft) < 30s"), "--host", server.url, way=way, run_time="100s")
    wait_until(lambda: server.truth()["requests"] >= 20, "twenty requests")
    for worker in test.worker_processes():
        worker.kill()
    result = test.finish().expect(3)
    assert len(result.summary["validity"]["workers_lost"]) == 2


@with_workers
def test_a_worker_that_is_told_to_end_loses_nothing(start, mock_server, way):
    """SIGTERM to one worker: it reports all it did; the test is strained, as its load became less."""
    server = mock_server(AGENTS_SPEC)
    test = start(AGENTS, "--host", server.url, way=way, run_time="9s")
    wait_until(lambda: server.truth()["requests"] >= 20, "twenty requests")
    test.worker_processes()[0].send_signal(signal.SIGTERM)
    result = test.finish().expect(0)
    assert differences(result.summary, server.final_truth()) == []
    validity = result.summary["validity"]
    assert validity["status"] != "valid"  # a busy machine may add reasons of its own
    assert any("left before the end" in reason for reason in validity["reasons"])


@with_workers
def test_a_killed_master_takes_everyone_with_it(start, way):
    """The mock ends at once; workers when the master has been silent for 10 s, calls in flight or not."""
    spec = "ttft=60s"
    test = start(chat("p95(ttft) < 90s"), "--mock", spec, way=way, run_time="100s", stop_timeout="90")
    wait_until(lambda: "agentlocust.mock" in test.commands(), "the embedded mock")
    time.sleep(2)  # into the middle of the test
    test.main.kill()
    wait_until(lambda: "agentlocust.mock" not in test.commands(), "the mock to end", 10)
    wait_until(lambda: not processes_of(test.mark), "the workers to end", 30)  # 10 s, on a busy machine
