"""Shapes in the real `locust` command: from every mode, ended early, refused, overridden, and with workers that go."""

from __future__ import annotations

import json
import re
import signal

import pytest

from harness import get, post, wait_until
from plans import LOCUSTFILE, SPEC, Plan, keeps_to, miscounted, off_plan
from sample_locustfiles import CHAT_SPEC, chat

FORKED_OR_NOT = pytest.mark.parametrize("way", ["local", "processes"])
LONG_SHAPE = "steps:from=2,to=6,hold=20s"


@pytest.mark.parametrize(
    ("pattern", "way"),
    [
        ("light_load", "local"),
        ("normal_load", "processes"),
        ("light_load", "web"),
        pytest.param("normal_load", "distributed", marks=pytest.mark.long),
    ],
)
def test_a_pattern_is_kept_to(tmp_path, pattern, way):
    """Users follow the plan within a second, and the phases add up to the whole and to the mock's truth."""
    assert keeps_to(tmp_path, pattern, 0.05, way) == []


def untouched_form(ui):
    """The fields of the UI's form as its page shows them."""
    page = get(f"{ui.web_url}/", decode=False).decode()
    options = json.loads(re.search(r"window\.templateArgs = (\{.*\})", page)[1])["extra_options"]
    values = {name: option["default_value"] for name, option in options.items()}
    texts = {name: ",".join(value) if isinstance(value, list) else value for name, value in values.items()}
    return {name: text for name, text in texts.items() if not isinstance(text, bool)}  # a box that is not ticked


def test_a_bad_form_is_answered_and_starts_nothing(start):
    """The UI is told what is wrong; a good form afterwards works."""
    ui = start(LOCUSTFILE, "--mock", SPEC, way="web", users=None, run_time="")
    ui.wait_for_ui()
    form = untouched_form(ui)
    assert {"agentlocust_shape", "agentlocust_rate", "agentlocust_sla"} <= form.keys()
    bad = {
        "spike": {"agentlocust_shape": "spik"},
        "abc": {"agentlocust_rate": "abc"},
        "--time-scale": {"agentlocust_shape": "baseline", "agentlocust_time_scale": "fast"},
        "hold": {"agentlocust_shape": "steps:hold=never"},
        "agentlocust_calls": {"agentlocust_calls": "many"},
    }
    for told, fields in bad.items():
        reply = ui.ask_to_swarm(**{**form, **fields})
        assert reply["success"] is False
        assert told in reply["message"]
    assert ui.requests() == 0
    good = {"agentlocust_shape": "baseline", "agentlocust_time_scale": "0.05", "agentlocust_sla": "error_rate < 1%"}
    ui.swarm(**{**form, **good})
    wait_until(ui.summary_files, "the Summary")
    ui.swarm(**{**form, "agentlocust_rate": "20/s", "run_time": "2s"})
    wait_until(lambda: len(ui.summary_files()) == 2, "the second Summary")
    ui.signal(signal.SIGINT, group=False)
    shaped, rated = ui.finish().expect(0).summaries
    assert shaped["shape"]["complete"] is True
    assert shaped["verdict"]["checks"][0]["check"] == "error_rate < 1%"
    assert rated["shape"]["settings"]["rate"] == "20/s"
    assert rated["arrivals"][0]["started"] > 0
    assert "Traceback" not in ui.output()


@pytest.mark.parametrize("way", ["web", "processes"])
def test_a_shape_that_was_refused_leaves_the_ui_ready(start, way):
    """A target that cannot be is told of when the test starts; the next one runs."""
    ui = start(LOCUSTFILE, "--mock", SPEC, way=way, ui=True, users=None, run_time="")
    ui.wait_for_ui()
    if way == "processes":
        ui.wait_for_workers()
    ui.swarm(host="ftp://x", agentlocust_shape="baseline", agentlocust_time_scale="0.05")
    wait_until(lambda: "cannot start" in ui.output(), "the refusal")
    ui.swarm(host="mock", agentlocust_shape="baseline", agentlocust_time_scale="0.05")
    wait_until(ui.summary_files, "the Summary")
    ui.signal(signal.SIGINT, group=False)
    result = ui.finish().expect(2)
    assert result.summary["shape"]["complete"] is True
    assert "Traceback" not in result.output


def test_each_shape_of_a_session_has_its_own_finding(start):
    """Two shapes, then no shape at all: none sees anything of the one before."""
    ui = start(LOCUSTFILE, "--mock", SPEC, way="web", users=None, run_time="")
    ui.wait_for_ui()
    short = "baseline_time=2s,spike_time=1s,recovery_time=2s,seconds=1"
    ui.swarm(agentlocust_shape=f"spike:baseline=2,spike=6,{short}")
    wait_until(lambda: len(ui.summary_files()) == 1, "the first Summary")
    ui.swarm(agentlocust_shape="scalability:from=1,to=2,hold=2s,settle=0s")
    wait_until(lambda: len(ui.summary_files()) == 2, "the second Summary")
    ui.swarm(agentlocust_shape="", user_count=3, spawn_rate=3)
    wait_until(lambda: ui.requests() >= 10, "ten requests")
    ui.stop(3)
    ui.signal(signal.SIGINT, group=False)
    spike, scalability, plain = ui.finish().expect(0).summaries
    assert (spike["shape"]["name"], scalability["shape"]["name"], plain["shape"]) == ("spike", "scalability", None)
    assert spike["shape"]["complete"] is True
    assert scalability["shape"]["complete"] is True
    assert spike["shape"]["sentences"] != scalability["shape"]["sentences"]
    assert "recovery_time" in spike["shape"]["metrics"]
    assert "recovery_time" not in scalability["shape"]["metrics"]
    assert [row["name"] for row in plain["phase_rows"]] == ["main"]


def test_a_stop_in_mid_shape_says_that_it_is_not_through(start):
    """The Summary is whole, the shape is not; the next test starts it anew."""
    ui = start(LOCUSTFILE, "--mock", SPEC, way="web", users=None, run_time="")
    ui.wait_for_ui()
    ui.swarm(agentlocust_shape=LONG_SHAPE)
    wait_until(lambda: ui.requests() >= 20, "twenty requests")
    ui.stop()
    ui.swarm(agentlocust_shape="light_load", agentlocust_time_scale="0.02")
    wait_until(lambda: len(ui.summary_files()) == 2, "the second Summary")
    ui.signal(signal.SIGINT, group=False)
    stopped, whole = ui.finish().expect(0).summaries
    assert stopped["shape"]["complete"] is False
    assert stopped["totals"]["calls"] == sum(row["calls"] for row in stopped["phase_rows"]) > 0
    assert whole["shape"]["complete"] is True
    assert whole["phase_rows"][0]["name"] == "ramp-up"


@FORKED_OR_NOT
def test_an_interrupt_in_mid_shape_is_judged(start, mock_server, way):
    """Exit 130 with a Summary of what was, and nothing left running."""
    server = mock_server(SPEC)
    test = start(LOCUSTFILE, "--host", server.url, "--shape", LONG_SHAPE, way=way, users=None, run_time="")
    wait_until(lambda: server.truth()["requests"] >= 20, "twenty requests")
    test.signal(signal.SIGINT, group=way == "processes")
    result = test.finish().expect(130)
    assert result.summary["shape"]["complete"] is False
    assert result.summary["totals"]["calls"] == server.final_truth()["requests"]
    assert "Traceback" not in result.output


@FORKED_OR_NOT
def test_run_time_ends_an_experiment(start, way):
    """-t bounds a shape that has no length of its own."""
    shape = "stress:from=2,to=50,hold=10s"
    result = start(LOCUSTFILE, "--mock", SPEC, "--shape", shape, way=way, users=None, run_time="3s").finish()
    result.expect(0)
    assert result.summary["shape"]["complete"] is False
    assert 2.9 < result.summary["test"]["duration_s"] < 8


def test_a_class_sets_its_shape(start):
    """`shape` on the User class is what --shape would be, and the option wins."""
    own = LOCUSTFILE.replace("wait_time =", 'shape = "light_load:users=3"\n    wait_time =')
    result = start(own, "--mock", SPEC, "--time-scale", "0.03", users=None, run_time="").finish().expect(0)
    assert result.summary["shape"]["name"] == "light_load"
    assert result.summary["test"]["users"] == 3


def test_patterns_of_a_file(start, mock_server, tmp_path):
    """Patterns of one's own are asked for by name, like those that come along."""
    (tmp_path / "own.yaml").write_text("patterns:\n  lunch: {users: 4, duration: 3s, ramp: 1s, think: 50ms}\n")
    server = mock_server(SPEC)
    args = ("--host", server.url, "--patterns", "own.yaml", "--shape", "lunch")
    result = start(LOCUSTFILE, *args, users=None, run_time="").finish().expect(0)
    assert off_plan(result.summary, Plan(4, 3, 1)) == []
    assert miscounted(result.summary, server.final_truth(), ["ramp-up", "steady"]) == []


OWN_SHAPE = """


class OwnShape(LoadTestShape):
    def tick(self):
        return (4, 100) if self.get_run_time() < 3 else None
"""


@FORKED_OR_NOT
def test_a_shape_of_the_locustfile_is_left_to_locust(start, mock_server, way):
    """Without --shape a LoadTestShape works as Locust says."""
    server = mock_server(SPEC)
    locustfile = LOCUSTFILE.replace("import constant, task", "import LoadTestShape, constant, task") + OWN_SHAPE
    result = start(locustfile, "--host", server.url, way=way, users=None, run_time="").finish().expect(0)
    assert result.summary["shape"] is None
    assert result.summary["test"]["users"] == 4
    assert result.summary["totals"]["calls"] == server.final_truth()["requests"] > 0


def test_shape_wins_over_a_shape_of_the_locustfile(start):
    """And says so."""
    locustfile = LOCUSTFILE.replace("import constant, task", "import LoadTestShape, constant, task") + OWN_SHAPE
    args = ("--mock", SPEC, "--shape", "light_load", "--time-scale", "0.03")
    result = start(locustfile, *args, users=None, run_time="").finish().expect(0)
    assert "OwnShape is left out" in result.output
    assert result.summary["test"]["users"] == 5


@FORKED_OR_NOT
def test_a_warm_up_comes_before_the_shape(start, mock_server, way):
    """It holds the shape's first level, is a phase of its own, and no check is held to it."""
    server = mock_server(SPEC)
    args = ("--host", server.url, "--shape", "steps:from=2,to=4,hold=2s", "--warmup", "2s")
    result = start(LOCUSTFILE, *args, way=way, users=None, run_time="").finish().expect(0)
    names = [phase["name"] for phase in result.summary["phases"]]
    assert names[0] == "warm-up"
    assert len(names) == 3
    assert result.summary["phases"][0]["users"] == 2
    assert miscounted(result.summary, server.final_truth(), names) == []
    assert 5.9 < result.summary["phases"][-1]["end_s"] < 8


def test_options_override_a_pattern(start, mock_server):
    """-u is its height, -r its ramp-up and -t its length."""
    server = mock_server(SPEC)
    args = ("--host", server.url, "--shape", "heavy_load", "-u", "6", "-r", "3")
    result = start(LOCUSTFILE, *args, users=None, run_time="4s").finish().expect(0)
    assert off_plan(result.summary, Plan(6, 4, 2)) == []
    assert miscounted(result.summary, server.final_truth(), ["ramp-up", "steady"]) == []


@FORKED_OR_NOT
@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--trace", "nowhere.csv"), "nowhere.csv"),
        (("--shape", "spik"), "spike"),
        (("--shape", "spike:peak=3"), "spike"),
        (("--shape", "csv:nowhere.csv"), "nowhere.csv"),
        (("--rate", "fast"), "--rate"),
        (("--patterns", "nowhere.yaml", "--shape", "lunch"), "nowhere.yaml"),
        (("--shape", "baseline", "--rate", "3/s", "--trace", "nowhere.csv"), "nowhere.csv"),
    ],
)
def test_a_load_that_cannot_be_is_refused(start, way, args, told):
    """Exit 2 with one message and no traceback, and no process left."""
    result = start(LOCUSTFILE, "--mock", SPEC, *args, way=way, users=None, run_time="").finish().expect(2)
    assert result.stderr.count("error:") == 1
    assert told in result.stderr.split("error:")[1]
    assert "Traceback" not in result.output
    assert result.summaries == []


@pytest.mark.parametrize("way", ["processes", pytest.param("distributed", marks=pytest.mark.long)])
def test_a_shape_goes_on_with_the_workers_that_are_left(start, mock_server, way):
    """A worker killed in mid-shape makes the test invalid; its users are the others', also while a level is held."""
    server = mock_server(CHAT_SPEC)
    args = ("--host", server.url, "--shape", "light_load:users=8,duration=10s,ramp=1s,think=own")
    test = start(chat("p95(ttft) < 30s"), *args, way=way, users=None, run_time="")
    wait_until(lambda: "phase steady" in test.output(), "all to be there")
    test.worker_processes()[0].kill()
    result = test.finish().expect(3)
    assert len(result.summary["validity"]["workers_lost"]) == 1
    assert result.summary["shape"]["complete"] is True
    assert {point["t"]: point["users"] for point in result.summary["series"]}[9] == 8
    assert [row["name"] for row in result.summary["phase_rows"]] == ["ramp-up", "steady"]


def test_a_worker_that_comes_late_gets_its_share(start, mock_server):
    """The rate is that of all: what is offered stays at it, and the one who came makes a half."""
    server = mock_server(CHAT_SPEC)
    args = ("--host", server.url, "--rate", "40/s", "--arrivals", "constant")
    test = start(chat("p95(ttft) < 30s"), *args, way="distributed", users=20, run_time="8s", workers=1)
    wait_until(lambda: server.truth()["requests"] >= 80, "eighty requests")
    test.add_worker()
    result = test.finish().expect(0)
    (arrivals,) = result.summary["arrivals"]
    assert result.summary["test"]["workers"] == 2
    assert abs(arrivals["offered"] / arrivals["seconds"] / 40 - 1) < 0.02
    assert arrivals["started"] == server.final_truth()["requests"]


@FORKED_OR_NOT
def test_reset_stats_keeps_a_shapes_phases(start, mock_server, way):
    """--reset-stats leaves out Locust's own ramp-up; a shape has its ramp-up as a phase."""
    server = mock_server(SPEC)
    args = ("--host", server.url, "--shape", "light_load", "--time-scale", "0.05", "--reset-stats")
    result = start(LOCUSTFILE, *args, way=way, users=None, run_time="").finish().expect(0)
    assert miscounted(result.summary, server.final_truth(), ["ramp-up", "steady"]) == []
    assert "--reset-stats is left out" in result.output


def test_a_reset_in_mid_shape_does_not_blind_it(start):
    """The UI's reset forgets what was measured; the shape sees what comes after where it belongs."""
    ui = start(LOCUSTFILE, "--mock", SPEC, way="web", users=None, run_time="")
    ui.wait_for_ui()
    shape = "spike:baseline=2,spike=6,baseline_time=4s,spike_time=1s,recovery_time=4s,tolerance=900%"
    ui.swarm(agentlocust_shape=shape)
    wait_until(lambda: ui.requests() >= 60, "sixty requests")
    post(f"{ui.web_url}/stats/reset", decode=False)
    wait_until(ui.summary_files, "the Summary")
    ui.signal(signal.SIGINT, group=False)
    summary = ui.finish().expect(0).summary
    assert summary["shape"]["metrics"]["recovery_time"] is not None
    assert [row["name"] for row in summary["phase_rows"]] == ["baseline", "spike", "recovery"]
