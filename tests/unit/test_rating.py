"""A machine's rating: kept among the results, believed only where it was made."""

from __future__ import annotations

import pytest

from agentlocust.health import Health, Second
from agentlocust.ledger import Ledger
from agentlocust.rating import FILE_NAME, Rating, Step, load_rating, save_rating, this_machine
from agentlocust.records import Call
from agentlocust.sketch import Sketch
from agentlocust.summary import Summary, TestFacts, build_summary
from agentlocust.summary.generator import hold_to_rating, quote_rating
from agentlocust.summary.model import Point
from agentlocust.usage import Usage


def a_rating(**changes: object) -> Rating:
    machine, cores = this_machine()
    step = Step(
        streams=64,
        tokens_per_s=2800.0,
        achieved=0.99,
        ttft_p50_bias_ms=0.2,
        ttft_p99_bias_ms=1.5,
        itl_p50_bias_ms=0.1,
        lag_p99_ms=2.0,
        cpu=0.3,
        grade="valid",
        ok=True,
    )
    fields = {
        "date": "2026-11-20T10:40:00+00:00",
        "machine": machine,
        "cores": cores,
        "ttft_ms": 200.0,
        "itl_ms": 20.0,
        "rated_streams": 64,
        "rated_tokens_per_s": 2800.0,
        "steps": [step],
    }
    return Rating.model_validate(fields | changes)


def test_a_rating_is_read_back_on_the_machine_that_made_it(tmp_path):
    """What was kept is what is found, and nothing else is left in the folder."""
    out = tmp_path / "new" / "results"
    assert load_rating(out) is None
    assert save_rating(a_rating(), out) == out / FILE_NAME
    assert load_rating(out) == a_rating()
    assert [path.name for path in out.iterdir()] == [FILE_NAME]


@pytest.mark.parametrize("changes", [{"machine": "riscv64 Plan9 4"}, {"cores": 4096}])
def test_another_machines_rating_is_not_believed(tmp_path, changes):
    """Results may be copied; a rating is true only where it was made."""
    save_rating(a_rating(**changes), tmp_path)
    assert load_rating(tmp_path) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "\xff",
        '{"date": "2026"}',
        a_rating().model_dump_json().replace('"rated_tokens_per_s":2800.0', '"rated_tokens_per_s":0'),
        a_rating().model_dump_json().replace('"rated_tokens_per_s":2800.0', '"rated_tokens_per_s":null'),
    ],
)
def test_a_broken_rating_is_none(tmp_path, text):
    """A file that is cut, empty or nonsense stops no test."""
    (tmp_path / FILE_NAME).write_text(text, encoding="latin-1")
    assert load_rating(tmp_path) is None


def test_a_folder_in_its_place_is_none(tmp_path):
    """Neither does something that is no file."""
    (tmp_path / FILE_NAME).mkdir()
    assert load_rating(tmp_path) is None


@pytest.mark.parametrize(
    ("tokens", "width", "workers", "share"),
    [([700, 1400, 0], 1, 0, 0.5), ([700, 1400], 1, 2, 0.25), ([5600], 2, 1, 1.0), ([], 1, 0, 0.0), ([5600], 1, 1, 2.0)],
)
def test_a_test_quotes_its_best_second_a_worker(tokens, width, workers, share):
    """A master's many workers share the load; a step of the series may be several seconds."""
    points = [Point(t=step * width, output_tokens=n) for step, n in enumerate(tokens)]
    quoted = quote_rating(a_rating(), points, width, workers)
    assert quoted == {
        "rated_streams": 64,
        "rated_tokens_per_s": 2800.0,
        "date": "2026-11-20T10:40:00+00:00",
        "share": share,
    }


def a_summary(tokens: int, **facts: object) -> Summary:
    """A test of ten seconds whose generator looked well."""
    ledger, health = Ledger(), Health()
    ledger.add_call(Call("chat", "m", 0.0, 1.0, usage=Usage(output=tokens)), 0)
    health.add("local", [Second(n, 10**6, 10**6, 300, 500, 0, 1, 1).encode() for n in range(10)], Sketch(), {})
    fields = {"id": "t", "locustfile": "l.py", "started": "now", "duration_s": 10.0, "host": "mock", "seed": 1}
    return build_summary(ledger, TestFacts(**(fields | {"health": health} | facts)))


@pytest.mark.parametrize(
    ("share", "here", "grade"),
    [
        (0.5, True, "valid"),
        (1.0, True, "valid"),
        (1.1, True, "strained"),
        (1.6, True, "saturated"),
        (1.6, False, "strained"),
    ],
)
def test_a_test_beyond_its_rating_is_not_passed_off_as_true(share, here, grade):
    """What calibration did not find true beside a target on this machine is not true beside another there."""
    summary = a_summary(round(2800 * 10 * share))
    hold_to_rating(summary, a_rating(), target_is_here=here)
    assert summary.validity.status == grade
    assert summary.generator is not None
    assert summary.generator.grade == grade
    assert bool(summary.validity.reasons) == (grade != "valid")


def test_a_lost_worker_stays_the_worse_news():
    """A degraded test does not become a saturated one."""
    summary = a_summary(2800 * 30, workers_lost=["w1"], workers=1)
    hold_to_rating(summary, a_rating(), target_is_here=True)
    assert summary.validity.status == "degraded"
