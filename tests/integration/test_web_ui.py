"""The web UI's own paths, alone and with workers: several tests in one process, stops, resets, bad input."""

from __future__ import annotations

import signal
import urllib.error

import pytest

from harness import post, wait_until
from oracle import differences
from sample_locustfiles import AGENTS, AGENTS_SPEC, CHAT_SPEC, chat

UIS = [
    pytest.param("web", id="alone"),
    pytest.param("processes", id="processes"),
    pytest.param("distributed", id="distributed", marks=pytest.mark.long),
]
uis = pytest.mark.parametrize("way", UIS)


@pytest.fixture
def open_ui(start):
    """A web UI that waits, its workers connected if it has any."""

    def open_it(*args, way, **settings):
        ui = start(*args, way=way, ui=True, **settings)
        ui.wait_for_ui()
        if way != "web":
            ui.wait_for_workers()
        return ui

    return open_it


@uis
def test_tests_in_one_web_ui_are_told_apart(open_ui, mock_server, way):
    """Each starts clean, with a directory, a Summary and a verdict of its own."""
    server = mock_server(AGENTS_SPEC)
    ui = open_ui(AGENTS, "--host", server.url, way=way)
    truths = []
    for test in (1, 2, 3):
        server.reset()
        ui.swarm()
        wait_until(lambda: server.truth()["requests"] >= 20, "twenty requests")
        ui.stop(test)
        truths.append(server.final_truth())
    ui.signal(signal.SIGINT, group=False)
    result = ui.finish().expect(0)
    assert [differences(summary, truth) for summary, truth in zip(result.summaries, truths, strict=True)] == [[]] * 3
    assert "Traceback" not in result.output


@uis
def test_a_stop_while_users_spawn_loses_nothing(open_ui, mock_server, way):
    """Nor does the test that is started right after it."""
    server = mock_server(AGENTS_SPEC)
    ui = open_ui(AGENTS, "--host", server.url, way=way)
    truths = []
    for test in (1, 2):
        server.reset()
        ui.swarm(user_count=200, spawn_rate=5)
        wait_until(lambda: server.truth()["requests"] >= 20, "twenty requests")
        ui.stop(test)
        truths.append(server.final_truth())
    ui.signal(signal.SIGINT, group=False)
    result = ui.finish().expect(0)
    assert [differences(summary, truth) for summary, truth in zip(result.summaries, truths, strict=True)] == [[], []]


@pytest.mark.parametrize("way", ["processes", pytest.param("distributed", marks=pytest.mark.long)])
def test_workers_are_ready_again_right_after_a_stop(open_ui, mock_server, way):
    """Locust's own workers would sit out the stop timeout first, here longer than the test may take."""
    server = mock_server(CHAT_SPEC)
    ui = open_ui(chat("p95(ttft) < 30s"), "--host", server.url, way=way, stop_timeout="300")
    for test in (1, 2):
        server.reset()
        ui.swarm()
        wait_until(lambda: server.truth()["requests"] >= 10, "ten requests")
        ui.stop(test)
    ui.signal(signal.SIGINT, group=False)
    assert len(ui.finish().expect(0).summaries) == 2


@uis
def test_a_reset_forgets_what_came_before(open_ui, mock_server, way):
    """The UI's reset clears our totals with Locust's, in the workers too."""
    server = mock_server(CHAT_SPEC)
    ui = open_ui(chat("p95(ttft) < 30s"), "--host", server.url, way=way)
    ui.swarm()
    wait_until(lambda: server.truth()["requests"] >= 300, "three hundred requests")
    post(f"{ui.web_url}/stats/reset", decode=False)
    reset_at = server.truth()["requests"]
    wait_until(lambda: server.truth()["requests"] >= reset_at + 50, "fifty more")
    ui.stop()
    ui.signal(signal.SIGINT, group=False)
    result = ui.finish().expect(0)
    # What was under way in those moments may fall on either side.
    assert result.summary["totals"]["calls"] < server.final_truth()["requests"] - reset_at + 150


@pytest.mark.parametrize("way", ["web", "processes"])
def test_a_bad_host_is_refused_in_the_log(open_ui, way):
    """The UI's form takes any text: what cannot be a host is told of, and the next test starts."""
    ui = open_ui(chat("p95(ttft) < 30s"), "--mock", CHAT_SPEC, way=way)
    for host in ("not a url", "ftp://x", "http://", "http://example.com:99999"):
        told = ui.output().count("cannot start")
        ui.swarm(host=host)
        wait_until(lambda told=told: ui.output().count("cannot start") > told, f"the refusal of {host}")
    ui.swarm(host="mock")
    wait_until(lambda: ui.requests() >= 10, "ten requests")
    ui.stop()
    ui.signal(signal.SIGINT, group=False)
    result = ui.finish().expect(2)  # the worst of its tests: four could not start
    assert result.summary["verdict"]["exit_code"] == 0
    assert "Traceback" not in result.output


@uis
def test_an_aborting_check_stops_the_test_and_leaves_the_ui(open_ui, way):
    """The UI stays open for the next test; its verdict stands at the end."""
    check = {"check": "p95(ttft) < 1ms", "abort": True, "min_samples": 5}
    ui = open_ui(chat(check), "--mock", CHAT_SPEC, way=way)
    ui.swarm()
    wait_until(ui.summary_files, "the Summary")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        post(f"{ui.web_url}/no-such-page")  # it still answers
    ui.signal(signal.SIGINT, group=False)
    assert len(ui.finish().expect(99).summaries) == 1
