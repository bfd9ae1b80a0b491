"""Alert rules: what can be written, and when one fires."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.errors import ConfigError
from agentlocust.monitor.alerts import LIVE, METRICS, AlertState, Measure, live_values, parse_alert
from agentlocust.summary.model import Point

LABELS = ["8000", "cmd:vllm serve (.*)", "name:nginx"]


@pytest.mark.parametrize(
    ("text", "key", "measure", "op", "limit", "seconds"),
    [
        ("cpu(target) > 90% for 10s", "cpu(target:", Measure.SHARE, ">", 0.9, 10),
        ("cpu(8000)>150%", "cpu(target:8000)", Measure.SHARE, ">", 1.5, 0),
        ("cpu( machine ) >= 95% for 1m30s", "cpu(machine)", Measure.SHARE, ">=", 0.95, 90),
        ("cpu(generator) > 75%", "cpu(generator:", Measure.SHARE, ">", 0.75, 0),
        ("memory(target) > 500MB", "memory(target:", Measure.BYTES, ">", 5e8, 0),
        ("memory(target) > 1.5 GiB for 5s", "memory(target:", Measure.BYTES, ">", 1.5 * 2**30, 5),
        ("memory(machine) > 90%", "memory_share(machine)", Measure.SHARE, ">", 0.9, 0),
        ("threads(cmd:vllm serve (.*)) > 100", "threads(target:cmd:vllm serve (.*))", Measure.COUNT, ">", 100, 0),
        ("processes(name:nginx) < 1", "processes(target:name:nginx)", Measure.COUNT, "<", 1, 0),
        ("disk_write(target) > 5MB/s", "disk_write(target:", Measure.BYTES_PER_SECOND, ">", 5e6, 0),
        ("net_sent(machine) > 1 GB / s", "net_sent(machine)", Measure.BYTES_PER_SECOND, ">", 1e9, 0),
        ("queued(server) > 10 for 5s", "queued(server:", Measure.COUNT, ">", 10, 5),
        ("kv_cache(server) > 95%", "kv_cache(server:", Measure.SHARE, ">", 0.95, 0),
        ("error_rate > 5% for 5s", "error_rate", Measure.SHARE, ">", 0.05, 5),
        ("p95(ttft) > 2s for 10s", "p95(ttft)", Measure.SECONDS, ">", 2, 10),
        ("throughput < 60/min", "throughput", Measure.PER_SECOND, "<", 1, 0),
    ],
)
def test_rules_are_read(text, key, measure, op, limit, seconds):
    """Metric, subject, operator, number in its unit and duration."""
    alert = parse_alert(text, labels=LABELS)
    assert (alert.key, alert.measure, alert.op, alert.limit, alert.seconds) == (key, measure, op, limit, seconds)


@pytest.mark.parametrize(
    ("text", "what", "wrong"),
    [
        ("", "expected a metric", "^"),
        ("cpuu(target) > 90%", "unknown metric", "^^^^^^^^^^^^"),
        ("cpu > 90%", "of what", "^^^"),
        ("cpu(targt) > 90%", "nothing is watched", "^^^^^"),
        ("threads(machine) > 5", "not read of a machine", "^^^^^^^"),
        ("cpu(target > 90%", r"expected '\)'", "^"),
        ("cpu(target) 90%", r"expected '\)'", "^"),
        ("cpu(target) => 90%", "unknown operator", "^^"),
        ("cpu(target) > 90", "not a percentage", "^^"),
        ("cpu(target) >", "expected a number", "^"),
        ("memory(target) > 5 potatoes", "not a size", "^^^^^^^^^^"),
        ("memory(target) > 5MB/s", "not a size", "^^^^^"),
        ("disk_read(target) > 5MB", "not a rate", "^^^"),
        ("p95(ttft) > 2", "no unit", "^"),
        ("cpu(target) > 90% for ever", "not a duration", "^^^^"),
        ("p99(ttft) > 2s", "unknown metric", "^^^^^^^^^"),
    ],
)
def test_errors_point_at_the_wrong_words(text, what, wrong):
    """The caret has the length of what is wrong, and stands below it."""
    with pytest.raises(ConfigError, match=what) as caught:
        parse_alert(text, labels=LABELS)
    line, caret = caught.value.what.splitlines()[1:]
    assert caret.strip() == wrong
    assert len(caret) <= len(line) + 1
    assert caught.value.where == "--alert"


_WORDS = st.sampled_from(
    [*METRICS, *LIVE, "target", "machine", "(", ")", ">", "<=", "for", "10s", "5%", "1MB/s", " ", "9"]
)


@given(
    st.one_of(
        st.text(max_size=60), st.lists(_WORDS, max_size=9).map("".join), st.lists(_WORDS, max_size=9).map(" ".join)
    )
)
def test_nothing_but_a_config_error(text):
    """Whatever is written: a rule or a ConfigError."""
    try:
        alert = parse_alert(text, labels=LABELS)
    except ConfigError:
        return
    assert alert.shown(alert.limit)


@pytest.mark.parametrize("value", [None, 5, ["cpu(target) > 1%"], "x" * 501])
def test_what_is_not_a_rule_is_refused(value):
    """A file can hold anything."""
    with pytest.raises(ConfigError):
        parse_alert(value)


def changes(text: str, course: list[dict[str, float]]) -> tuple[list[str | None], AlertState]:
    state = AlertState(parse_alert(text, labels=LABELS))
    return [state.update(float(second), values) for second, values in enumerate(course)], state


def test_it_fires_after_its_time_and_clears():
    """Only once the condition held throughout; one good look begins the wait anew."""
    cpu = [0.95, 0.5, 0.95, 0.97, 0.99, 0.96, 0.5, 0.5]
    told, state = changes("cpu(target) > 90% for 2s", [{"cpu(target:8000)": value} for value in cpu])
    assert told == [None, None, None, None, "fired", None, "cleared", None]
    assert state.record() == {
        "alert": "cpu(target) > 90% for 2s",
        "times": 1,
        "first_s": 4.0,
        "last_s": 5.0,
        "peak": 0.99,
        "peak_shown": "99.0%",
        "firing": False,
    }


def test_any_subject_will_do():
    """A rule on `target` is about each; the worst is its peak, the lowest for a rule on too little."""
    values = {"cpu(target:a)": 0.2, "cpu(target:b)": 0.95, "cpu(machine)": 1.0}
    told, state = changes("cpu(target) > 90%", [values])
    assert told == ["fired"]
    assert state.record()["peak"] == 0.95
    told, state = changes("throughput < 5/s", [{"throughput": 4.0}, {"throughput": 2.0}])
    assert told == ["fired", None]
    assert state.record()["peak"] == 2.0
    assert state.observed == 2.0


def test_the_unknown_changes_nothing():
    """A second without a value neither fires, nor clears, nor starts the wait anew."""
    told, _ = changes("p95(ttft) > 2s for 2s", [{"p95(ttft)": 3.0}, {}, {"p95(ttft)": 3.0}, {}, {"p95(ttft)": 1.0}])
    assert told == [None, None, "fired", None, "cleared"]


def test_a_rule_that_never_fired_has_no_record():
    """Nothing happened, nothing is told."""
    _, state = changes("error_rate > 5% for 5s", [{"error_rate": 0.5}] * 3)
    assert state.record() is None


def test_it_counts_how_often_it_fired():
    """First time, last time and peak are over all of them."""
    told, state = changes("error_rate > 5%", [{"error_rate": value} for value in (0.1, 0.0, 0.5, 0.0)])
    assert told == ["fired", "cleared", "fired", "cleared"]
    record = state.record()
    assert (record["times"], record["first_s"], record["last_s"], record["peak"]) == (2, 0.0, 2.0, 0.5)


def test_the_live_values_of_a_second():
    """Names and base units are those of the rules; what was not measured is not there."""
    values = live_values(Point(t=3, calls=10, failed=1, ttft_p95=0.5))
    assert values == {"throughput": 9.0, "error_rate": 0.1, "p95(ttft)": 0.5}
    assert set(values) <= set(LIVE)
    assert live_values(Point(t=3)) == {"throughput": 0.0}
