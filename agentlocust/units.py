"""Numbers as people write them: `500ms`, `$0.02`, `1%`, `20/s`, read and refused in one place."""

from __future__ import annotations

import re
from decimal import Decimal

from agentlocust.errors import ConfigError

PICOUSD = 10**12  # pico-dollars in a dollar

SECONDS_IN = {
    "ns": Decimal("1e-9"),
    "us": Decimal("1e-6"),
    "µs": Decimal("1e-6"),
    "ms": Decimal("1e-3"),
    "s": Decimal(1),
    "m": Decimal(60),
    "min": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}
_PER = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600}
_MULTIPLES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}

# At most 15 digits either side: no number here is larger, and no input can make the parser work hard.
_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,15})?|\.[0-9]{1,15}"
_DURATION_PART = re.compile(rf"\s*({_NUMBER})\s*([a-zµ]+)")
_MONEY = re.compile(rf"(-?)\s*\$\s*({_NUMBER})\Z")
_PERCENT = re.compile(rf"(-?(?:{_NUMBER}))\s*%\Z")
_RATE = re.compile(rf"({_NUMBER})\s*/\s*([a-z]+)\Z")
_PLAIN = re.compile(rf"(-?(?:{_NUMBER}))([kMG]?)\Z")


def parse_duration(text: object) -> float:
    """Seconds from `500ms`, `4s`, `2m`, `1h30m`. Raises ConfigError, also for a bare number."""
    raw = _text(text, "a duration", "500ms, 4s, 2m or 1h30m")
    if _PLAIN.match(raw):
        raise ConfigError(f"{raw!r} has no unit", hint=f"write {raw}s or {raw}ms")
    total, at = Decimal(0), 0
    while at < len(raw):
        part = _DURATION_PART.match(raw, at)
        if part is None or part[2] not in SECONDS_IN:
            raise ConfigError(f"{raw!r} is not a duration", hint="write 500ms, 4s, 2m or 1h30m")
        total += Decimal(part[1]) * SECONDS_IN[part[2]]
        at = part.end()
    return float(total)


def parse_money(text: object) -> int:
    """Pico-dollars, exact, from `$2` or `$0.02`. Raises ConfigError."""
    raw = _text(text, "an amount of money", "$2 or $0.02")
    found = _MONEY.match(raw)
    if found is None:
        hint = f"write ${raw}" if _PLAIN.match(raw) else "write $2 or $0.02"
        raise ConfigError(f"{raw!r} is not an amount of money", hint=hint)
    pico = Decimal(found[2]) * PICOUSD
    if pico != int(pico):
        raise ConfigError(f"{raw!r} is finer than a pico-dollar", hint="at most 12 decimals")
    return -int(pico) if found[1] else int(pico)


def parse_percent(text: object) -> float:
    """A ratio (1% is 0.01) from `1%`. Raises ConfigError, also for a bare number."""
    raw = _text(text, "a percentage", "1% or 0.5%")
    found = _PERCENT.match(raw)
    if found is None:
        hint = f"write {raw}%" if _PLAIN.match(raw) else "write 1% or 0.5%"
        raise ConfigError(f"{raw!r} is not a percentage", hint=hint)
    return float(Decimal(found[1]) / 100)


def parse_rate(text: object) -> float:
    """A rate per second from `20/s`, `100/min` or `50/h`. Raises ConfigError."""
    raw = _text(text, "a rate", "20/s, 100/min or 50/h")
    found = _RATE.match(raw)
    if found is None or found[2] not in _PER:
        hint = f"write {raw}/s or {raw}/min" if _PLAIN.match(raw) else "write 20/s, 100/min or 50/h"
        raise ConfigError(f"{raw!r} is not a rate", hint=hint)
    return float(Decimal(found[1]) / _PER[found[2]])


def parse_number(text: object) -> float:
    """A bare number from `7`, `-0.5`, `12k` or `3M`. Raises ConfigError."""
    raw = _text(text, "a number", "7, 0.5 or 12k")
    found = _PLAIN.match(raw)
    if found is None:
        raise ConfigError(f"{raw!r} is not a number", hint="write 7, 0.5 or 12k")
    return float(Decimal(found[1]) * _MULTIPLES[found[2]])


def _text(value: object, what: str, examples: str) -> str:
    """The stripped text of a value that came from a file or an option."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)):
        raise ConfigError(f"{type(value).__name__} is not {what}", hint=f"write {examples}")
    raw = str(value).strip()
    if not raw or len(raw) > 80:
        raise ConfigError(f"{raw[:20]!r} is not {what}", hint=f"write {examples}")
    return raw


def show_seconds(seconds: float) -> str:
    """`0.41 ms`, `412 ms`, `1.21 s`, `14.2 s`, `5m00s`, `2h05m`: about three digits."""
    if seconds < 0:
        return "-" + show_seconds(-seconds)
    ms = seconds * 1000
    if ms < 9.995:
        return f"{ms:.2f} ms" if seconds else "0 ms"
    if ms < 99.95:
        return f"{ms:.1f} ms"
    if ms < 999.5:
        return f"{ms:.0f} ms"
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    return show_span(seconds)


def show_span(seconds: float) -> str:
    """A stretch of time in whole seconds: `9s`, `5m00s`, `2h05m`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def show_count(number: float) -> str:
    """`12,410` below a million, then `9.1 M`, `1.2 G`; a fraction keeps about three digits."""
    size = abs(number)
    if size >= 999_950_000:
        return f"{number / 1e9:,.1f} G"
    if size >= 1_000_000:
        return f"{number / 1e6:.1f} M"
    if number == int(number) or size >= 1000:
        return f"{number:,.0f}"
    return f"{number:.1f}" if size >= 10 else f"{number:.3g}"


def show_usd(dollars: float | Decimal) -> str:
    """`$31.20`, `$0.026`, `$0.00042`: cents, or two digits of what is less than ten cents."""
    amount = Decimal(dollars)
    size = abs(amount)
    sign = "-" if amount < 0 else ""
    if size >= 10_000:
        return f"{sign}${size:,.0f}"
    if size >= Decimal("0.0995") or not size:
        return f"{sign}${size:,.2f}" if size else "$0"
    return f"{sign}${Decimal(f'{size:.1e}'):f}"


def show_percent(ratio: float) -> str:
    """`0.32%`, `9.4%`, `97.1%`, `100%`; what is not all is never shown as 100%, what is some never as 0%."""
    percent = ratio * 100
    size = abs(percent)
    if size in (0, 100) or size >= 100:
        return f"{percent:,.0f}%"
    if size >= 99.95:
        return f"{min(percent, 99.99):.2f}%"
    if size >= 1:
        return f"{percent:.1f}%"
    return f"{percent:.2f}%" if size >= 0.005 else f"{percent:.1g}%"


def usd_text(picousd: int) -> str:
    """Exact dollars as a decimal string without an exponent: `31.2`, `0.000001`, `0`."""
    sign, whole = ("-" if picousd < 0 else ""), abs(picousd)
    fraction = f"{whole % PICOUSD:012d}".rstrip("0")
    return f"{sign}{whole // PICOUSD}" + (f".{fraction}" if fraction else "")


def picousd_of(text: str) -> int:
    """The pico-dollars that `usd_text` wrote."""
    return int(Decimal(text) * PICOUSD)
