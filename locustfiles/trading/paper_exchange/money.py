"""Money and quantities: decimals written as text, of at most eight places."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

PLACES = Decimal("0.00000001")
MOST = Decimal(10) ** 12


def amount(value: object, what: str) -> Decimal:
    """The positive number that a request gives as text or an integer. Raises ValueError, for floats too."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"{what} is to be written as text")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise ValueError(f"{what} is not a number") from None
    if not number.is_finite() or not 0 < number <= MOST:
        raise ValueError(f"{what} is not between 0 and {MOST:g}")
    if number != number.quantize(PLACES):
        raise ValueError(f"{what} has more than eight places")
    return number


def rounded(number: Decimal) -> Decimal:
    """The number at eight places, half to even."""
    return number.quantize(PLACES, ROUND_HALF_EVEN)


def text(number: Decimal) -> str:
    """A number as it is sent: never in powers of ten."""
    return f"{number:f}"
