"""Windows of trouble: how they are written, and where a call lies to them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.errors import ConfigError
from agentlocust.windows import Window, Windows, parse_windows

SPANS = st.tuples(st.integers(0, 50), st.integers(1, 20)).map(lambda span: Window("w", span[0], span[0] + span[1]))


def test_windows_are_read_in_order():
    """Several at once and several texts; times with their units."""
    found = parse_windows(["storm@90s-2m", "outage@500ms-30s, brown-out@1m-70s", ""])
    assert [window.name for window in found.all] == ["outage", "brown-out", "storm"]
    assert found.all[2] == Window("storm", 90.0, 120.0)
    assert not parse_windows([""])


@pytest.mark.parametrize("text", ["outage", "outage@30s", "outage@30-60s", "outage@60s-30s", "@1s-2s", "a@1s-1s"])
def test_no_window_is_refused(text):
    """A ConfigError that names the option."""
    with pytest.raises(ConfigError, match="--resilience-windows"):
        parse_windows([text], "--resilience-windows")


@given(st.lists(SPANS, max_size=6), st.integers(0, 80), st.integers(0, 20))
def test_a_call_is_in_windows_or_in_one_gap(spans, start, lasted):
    """What touches no window lies whole in its gap; blocks never overlap and hold every window."""
    windows = Windows.of(spans)
    end = start + lasted + 1e-9
    assert all(a[1] < b[0] for a, b in zip(windows.blocks, windows.blocks[1:], strict=False))
    if not windows.touched(start, end):
        low, high = windows.gap_span(windows.gap_at(start), 1000.0)
        assert low <= start
        assert end <= high + 1e-6
    for index, window in enumerate(windows.all):
        low, high = windows.blocks[windows.block_of(index)]
        assert low <= window.start_s < window.end_s <= high


def test_a_phase_is_written_by_its_name():
    """Its windows come once it has begun, and end with it; each time it comes is a window of its own."""
    windows = parse_windows(["burst@spike, outage@5s-6s", "low@2 users", "hot@warm-up"])
    assert windows.phased == (("burst", "spike"), ("low", "2 users"), ("hot", "warm-up"))
    windows = windows.entered("calm", 0.0).entered("spike", 10.0)
    assert windows.touched(20.0, 21.0) == [1]
    windows = windows.entered("spike", 12.0).entered("calm", 15.0)
    assert windows.touched(20.0, 21.0) == []
    windows = windows.entered("spike", 30.0).entered("", 40.0)
    assert [(window.name, window.start_s, window.end_s) for window in windows.all] == [
        ("outage", 5.0, 6.0),
        ("burst", 10.0, 15.0),
        ("burst", 30.0, 40.0),
    ]
    assert len({window.key for window in windows.all}) == 3


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from("abc")), max_size=8), st.lists(SPANS, max_size=3))
def test_a_gap_keeps_its_number_as_phases_come(steps, spans):
    """What ended before a phase began lies in the same gap afterwards: of later windows nothing was known."""
    windows = Windows.of(spans, [("w", "a"), ("v", "b")])
    at_s = 0.0
    told: list[tuple[float, int]] = []
    for seconds, phase in steps:
        windows = windows.entered(phase, at_s)
        at_s += seconds
        if seconds and not windows.touched(at_s - 0.5, at_s):
            told.append((at_s - 0.5, windows.gap_at(at_s - 0.5)))
    windows = windows.entered("", at_s)
    assert [windows.gap_at(start) for start, _ in told] == [gap for _, gap in told]
