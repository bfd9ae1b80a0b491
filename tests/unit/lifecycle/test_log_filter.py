"""Exceptions and failures lose their secrets before Locust sees them, and nothing else."""

from __future__ import annotations

import pytest
from locust.stats import RequestStats

from agentlocust.lifecycle.log_filter import scrub_exception, scrub_failures
from agentlocust.redact import Scrubber

KEY = "a-key-of-some-length"
SCRUBBER = Scrubber([KEY])


class OwnText(Exception):
    """As the SDKs' errors do, it says more than its arguments."""

    def __init__(self, body: dict[str, str]) -> None:
        super().__init__("refused")
        self.body = body

    def __str__(self) -> str:
        return f"refused: {self.body}"


@pytest.mark.parametrize(
    "error",
    [
        ValueError(f"bad key {KEY}"),
        RuntimeError("refused", {"key": KEY}, [KEY]),
        KeyError(KEY),
        OSError(2, f"no such key: {KEY}", f"/keys/{KEY}"),
        OwnText({"key": KEY}),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_exception_loses_its_secret_and_keeps_its_class(error: Exception) -> None:
    """Whatever its text is made of."""
    cls = type(error)
    assert KEY in str(error)
    scrub_exception(error, SCRUBBER)
    assert KEY not in str(error) + repr(error)
    assert "***" in str(error)
    assert isinstance(error, cls)
    assert type(error).__name__ == cls.__name__


def test_an_exception_without_a_secret_is_left_alone() -> None:
    """Its arguments too are the very same."""
    argument = {"a": 1}
    error = ValueError("all is well", argument)
    scrub_exception(error, SCRUBBER)
    assert error.args[1] is argument


@pytest.mark.parametrize("error", [f"refused {KEY}", ValueError(f"refused {KEY}")], ids=["text", "exception"])
def test_the_failures_table_holds_no_secret(error: Exception | str) -> None:
    """Errors of any User, given as text or as an exception."""
    stats = RequestStats()
    scrub_failures(stats, SCRUBBER)
    stats.log_error("GET", "/", error)
    (failure,) = stats.errors.values()
    assert KEY not in str(failure.to_dict())
    assert "***" in str(failure.to_dict())
