"""Numbers as people write and read them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust import units
from agentlocust.errors import ConfigError


@pytest.mark.parametrize(
    ("parse", "text", "expected"),
    [
        (units.parse_duration, "500ms", 0.5),
        (units.parse_duration, " 4 s ", 4.0),
        (units.parse_duration, "1h30m", 5400.0),
        (units.parse_duration, "250us", 0.00025),
        (units.parse_money, "$2", 2 * 10**12),
        (units.parse_money, "$0.02", 2 * 10**10),
        (units.parse_money, "$0.000000000001", 1),
        (units.parse_percent, "1%", 0.01),
        (units.parse_percent, "99.9 %", 0.999),
        (units.parse_rate, "20/s", 20.0),
        (units.parse_rate, "90/min", 1.5),
        (units.parse_rate, "3600/h", 1.0),
        (units.parse_number, "12k", 12_000.0),
        (units.parse_number, "-0.5", -0.5),
        (units.parse_number, 3, 3.0),
    ],
)
def test_a_number_with_its_unit_is_read(parse: Callable[[object], float], text: object, expected: float) -> None:
    """What people write is held in base units."""
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("parse", "text", "hint"),
    [
        (units.parse_duration, "5", "write 5s"),
        (units.parse_duration, 5, "write 5s"),
        (units.parse_duration, "5 parsecs", "write 500ms"),
        (units.parse_money, "2", r"write \$2"),
        (units.parse_money, "2€", r"write \$2"),
        (units.parse_money, "$0.0000000000001", "12 decimals"),
        (units.parse_percent, "0.01", "write 0.01%"),
        (units.parse_rate, "20", "write 20/s"),
        (units.parse_rate, "20/parsec", "write 20/s"),
        (units.parse_number, "1e400", "write 7"),
        (units.parse_number, "nan", "write 7"),
        (units.parse_number, True, "write 7"),
        (units.parse_number, "", "write 7"),
    ],
)
def test_a_number_without_its_unit_is_refused(parse: Callable[[object], float], text: object, hint: str) -> None:
    """A guess could be a thousand times wrong, so the error says what to write."""
    with pytest.raises(ConfigError, match=hint):
        parse(text)


@given(st.one_of(st.text(), st.floats(), st.integers(), st.none(), st.lists(st.integers())))
def test_any_value_is_a_number_or_a_config_error(value: object) -> None:
    """No input ends in any other exception, nor in a number that is not finite."""
    for parse in (units.parse_duration, units.parse_money, units.parse_percent, units.parse_rate, units.parse_number):
        try:
            assert abs(parse(value)) < 10**30
        except ConfigError:
            continue


@given(st.integers(min_value=-(10**20), max_value=10**20))
def test_money_survives_its_text(picousd: int) -> None:
    """Exact dollars as text are the same pico-dollars again."""
    text = units.usd_text(picousd)
    assert units.picousd_of(text) == picousd
    assert "E" not in text
    assert Decimal(text) * 10**12 == picousd


@pytest.mark.parametrize(
    ("show", "number", "text"),
    [
        (units.show_seconds, 0.0, "0 ms"),
        (units.show_seconds, 0.00041, "0.41 ms"),
        (units.show_seconds, 0.0213, "21.3 ms"),
        (units.show_seconds, 0.412, "412 ms"),
        (units.show_seconds, 0.9999, "1.00 s"),
        (units.show_seconds, 1.21, "1.21 s"),
        (units.show_seconds, 14.2, "14.2 s"),
        (units.show_seconds, 99.99, "1m40s"),
        (units.show_seconds, -2.0, "-2.00 s"),
        (units.show_span, 300, "5m00s"),
        (units.show_span, 7500, "2h05m"),
        (units.show_count, 12_410, "12,410"),
        (units.show_count, 9_100_000, "9.1 M"),
        (units.show_count, 1_200_000_000, "1.2 G"),
        (units.show_count, 9.87, "9.87"),
        (units.show_usd, 0, "$0"),
        (units.show_usd, 31.2, "$31.20"),
        (units.show_usd, 12_345, "$12,345"),
        (units.show_usd, 0.026, "$0.026"),
        (units.show_usd, 0.00042, "$0.00042"),
        (units.show_usd, -0.5, "-$0.50"),
        (units.show_percent, 0.0032, "0.32%"),
        (units.show_percent, 0.97129, "97.1%"),
        (units.show_percent, 0.99999, "99.99%"),
        (units.show_percent, 0.00001, "0.001%"),
        (units.show_percent, 1.0, "100%"),
        (units.show_percent, 0.0, "0%"),
    ],
)
def test_a_number_is_shown_with_about_three_digits(show: Callable[[float], str], number: float, text: str) -> None:
    """People read few digits and the right unit; almost all is never shown as all."""
    assert show(number) == text
