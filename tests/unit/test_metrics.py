"""The metric catalogue is whole and consistent."""

from __future__ import annotations

from agentlocust.metrics import AGGREGATES, CATALOGUE, SCALE, Kind, Shape, Unit, catalogue_markdown, own_metric


def test_every_shape_has_its_aggregates_and_every_distribution_its_scale() -> None:
    """Whatever is in the catalogue can be evaluated and shown."""
    assert set(AGGREGATES) == set(Shape)
    assert all(metric.unit in SCALE for metric in CATALOGUE.values() if metric.shape is Shape.DISTRIBUTION)


def test_the_table_has_a_row_for_each_metric() -> None:
    """The documentation's table is made from the catalogue and from nothing else."""
    lines = catalogue_markdown().splitlines()
    assert len(lines) == len(CATALOGUE) + 2
    assert {line.count(" | ") for line in lines if "`" in line} == {4}
    assert "| `error_rate` | LLM | none: stands alone | ratio | failed / (completed + failed) calls |" in lines


def test_an_own_metric_is_a_distribution_without_a_unit() -> None:
    """What a locustfile records can have every aggregate."""
    metric = own_metric("docs_found")
    assert (metric.shape, metric.unit, metric.kind) == (Shape.DISTRIBUTION, Unit.NUMBER, Kind.METRIC)
