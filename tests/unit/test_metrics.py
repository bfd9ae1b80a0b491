"""The metric catalogue is whole and consistent."""

from __future__ import annotations

from agentlocust.metrics import (
    AGGREGATES,
    CATALOGUE,
    SCALE,
    Kind,
    Shape,
    Unit,
    aggregates_of,
    catalogue_markdown,
    own_metric,
    stands_alone,
)


def test_every_shape_has_its_aggregates_and_every_distribution_its_scale() -> None:
    """Whatever is in the catalogue can be evaluated and shown."""
    assert set(AGGREGATES) == set(Shape)
    assert all(metric.unit in SCALE for metric in CATALOGUE.values() if metric.shape is Shape.DISTRIBUTION)


def test_the_table_has_a_row_for_each_metric() -> None:
    """The documentation's table is made from the catalogue and from nothing else."""
    lines = catalogue_markdown().splitlines()
    assert len(lines) == len(CATALOGUE) + 2
    assert {line.count(" | ") for line in lines if "`" in line} == {4}
    meaning = "failed / (completed + failed) calls, without injected failures"
    assert f"| `error_rate` | LLM | none: stands alone; growth | ratio | {meaning} |" in lines
    assert "| `throughput` | LLM | none: stands alone | /s | successful calls per second |" in lines


def test_an_own_metric_is_a_distribution_without_a_unit() -> None:
    """What a locustfile records can have every aggregate."""
    metric = own_metric("docs_found")
    assert (metric.shape, metric.unit, metric.kind) == (Shape.DISTRIBUTION, Unit.NUMBER, Kind.METRIC)


def test_growth_is_had_where_a_course_is_kept() -> None:
    """Of the watched processes, and of what the series tells of the whole test; of nothing else."""
    growing = {name for name, metric in CATALOGUE.items() if "growth" in aggregates_of(metric)}
    courses = {name for name, metric in CATALOGUE.items() if metric.shape is Shape.COURSE}
    assert growing == courses | {"latency", "ttft", "tpot", "error_rate"}
    assert "growth" not in aggregates_of(own_metric("latency"))


def test_what_stands_alone_needs_no_aggregate() -> None:
    """Ratios, throughputs and what a shape found are numbers of their own."""
    alone = {metric.shape for metric in CATALOGUE.values() if stands_alone(metric)}
    assert alone == {Shape.RATIO, Shape.THROUGHPUT, Shape.FINDING}
