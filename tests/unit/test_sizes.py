"""Bytes are read with their unit and shown in three digits."""

from __future__ import annotations

import pytest

from agentlocust.errors import ConfigError
from agentlocust.sizes import parse_size, show_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("500MB", 5e8), ("1.5 GiB", 1.5 * 2**30), ("12kB", 12e3), ("0B", 0.0), ("3KB", 3e3), ("2TB", 2e12)],
)
def test_a_size_is_read(text: str, size: float) -> None:
    """Powers of ten, and of two with an i."""
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "hint"), [("500", "500MB or 500GB"), ("5mb", "1.5GiB"), ("MB", "1.5GiB"), ("-1MB", "1.5GiB")]
)
def test_anything_else_is_refused_with_a_way_out(text: str, hint: str) -> None:
    """A bare number could mean anything."""
    with pytest.raises(ConfigError) as caught:
        parse_size(text)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (4096, "4.10 kB"), (120e6, "120 MB"), (1.25e9, "1.25 GB"), (-12.5e6, "-12.5 MB"),
     (2.5e15, "2,500 TB"), (999_600, "1.00 MB")],
)  # fmt: skip
def test_a_size_is_shown_in_three_digits(size: float, text: str) -> None:
    """In the largest unit that it fills."""
    assert show_size(size) == text
