"""The grammar of what belongs to the mock as a whole."""

from __future__ import annotations

import pytest

from agentlocust.errors import ConfigError
from agentlocust.mock.behaviour import overlaid, parse_spec
from agentlocust.mock.pressure import Pressure


def test_all_is_off_by_default() -> None:
    """A mock of which nothing is said has neither a gate nor an ailment."""
    found = parse_spec("ttft=1s").pressure
    assert found == Pressure()
    assert not found.limits
    assert not found.ails


@pytest.mark.parametrize(
    ("spec", "wanted", "limits", "ails"),
    [
        ("slots=4,queue=16,queue_full=503", Pressure(slots=4, queue=16, queue_full="503"), True, False),
        ("slots=4,queue=0", Pressure(slots=4, queue=0), True, False),
        ("rate=120/min,burst=5", Pressure(rate=2.0, burst=5), True, False),
        ("contention=2%", Pressure(contention=0.02), True, False),
        ("freeze=3s+500ms", Pressure(freeze=(3.0, 0.5)), False, True),
        ("die=0", Pressure(die=0.0), False, True),
        ("die_at_concurrency=9", Pressure(die_at_concurrency=9), False, True),
        ("leak=1.5MB", Pressure(leak=1_500_000), False, True),
        ("leak_rate=60MB/min", Pressure(leak_rate=1e6), False, True),
        ("leak_fds=2/s", Pressure(leak_fds=2.0), False, True),
        ("leak_threads=6/min", Pressure(leak_threads=0.1), False, True),
        ("cache=1MiB", Pressure(cache=1_048_576), False, True),
    ],
)
def test_each_option_is_read(spec: str, wanted: Pressure, limits: bool, ails: bool) -> None:
    """With its unit, and it alone changes."""
    found = parse_spec(spec).pressure
    assert found == wanted
    assert (found.limits, found.ails) == (limits, ails)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("slot=4", "did you mean slots?"),
        ("slots=-1", "whole number"),
        ("slots=1,slots=2", "given twice"),
        ("queue=4", "queue without slots"),
        ("slots=0,queue=4", "queue without slots"),
        ("slots=1,queue_full=503", "queue_full without queue"),
        ("slots=1,queue=1,queue_full=200", "not a failure"),
        ("burst=4", "burst without rate"),
        ("rate=20", "20/s"),
        ("rate=0/s", "more than 0"),
        ("rate=1/s,burst=0", "whole number"),
        ("contention=200%", "not a share"),
        ("freeze=3s", "AT+FOR"),
        ("freeze=3s+2h", "over an hour"),
        ("die=5", "no unit"),
        ("die_at_concurrency=0", "whole number"),
        ("leak=1", "1MB"),
        ("leak=0MB", "more than 0"),
        ("leak_rate=1MB", "1MB/s"),
        ("leak_rate=1MB/day", "rate"),
        ("leak_fds=1", "1/s"),
        ("cache=5TB", "1MB"),
        ("fill=maybe", "not a choice"),
    ],
)
def test_a_bad_option_says_what_is_wrong(spec: str, says: str) -> None:
    """Every mistake is a ConfigError that names the option."""
    with pytest.raises(ConfigError, match="mock") as caught:
        parse_spec(spec)
    assert says in str(caught.value)


@pytest.mark.parametrize("asked", ["slots=9", "rate=1/s", "die=0", "leak=1GB"])
def test_a_request_cannot_change_what_all_share(asked: str) -> None:
    """Neither its model's name nor its header; what is its own may still be said."""
    base = parse_spec("slots=4")
    for suffix, header in ((asked, ""), ("", asked)):
        with pytest.raises(ConfigError, match="the mock as a whole"):
            overlaid(base, suffix, header)
    assert overlaid(base, "tokens=3", "fill=yes").pressure == base.pressure
