"""Keeps secrets out of logs and of the exceptions that Locust shows and sends."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from agentlocust.redact import Scrubber

if TYPE_CHECKING:
    from locust.stats import RequestStats


class ScrubbingFilter(logging.Filter):
    """Scrubs each log record, its traceback included."""

    def __init__(self, scrubber: Scrubber) -> None:
        super().__init__()
        self._scrubber = scrubber

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through, scrubbed."""
        try:
            text = record.getMessage()
        except (TypeError, ValueError):  # a wrong format string is the handler's to complain of
            return True
        scrubbed = self._scrubber.scrub(text)
        if scrubbed != text:
            record.msg, record.args = scrubbed, ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self._scrubber.scrub(record.exc_text)
        return True


def scrub_exception(error: BaseException, scrubber: Scrubber) -> None:
    """Scrub an exception in place, before Locust keeps it, shows it or sends it to the master.

    It stays an instance of its class, with its traceback.
    """
    if _clean(error, scrubber):
        return
    error.args = tuple(_scrubbed(arg, scrubber) for arg in error.args)
    for name in ("message", "strerror", "filename"):
        text = getattr(error, name, None)
        if isinstance(text, str):
            setattr(error, name, scrubber.scrub(text))
    if not _clean(error, scrubber):  # a class that writes its own text, out of anything
        said, shown = scrubber.scrub(str(error)), scrubber.scrub(repr(error))
        cls = type(error)
        error.__class__ = type(cls.__name__, (cls,), {"__str__": lambda _: said, "__repr__": lambda _: shown})


def _clean(error: BaseException, scrubber: Scrubber) -> bool:
    texts = (str(error), repr(error))
    return all(scrubber.scrub(text) == text for text in texts)


def _scrubbed(value: object, scrubber: Scrubber) -> object:
    if isinstance(value, str):
        return scrubber.scrub(value)
    shown = str(value)
    scrubbed = scrubber.scrub(shown)
    return value if scrubbed == shown else scrubbed


def scrub_failures(stats: RequestStats, scrubber: Scrubber) -> None:
    """Scrub every error that Locust's failures table is given, from whatever User it comes."""
    log_error = stats.log_error

    def log_scrubbed(method: str, name: str, error: Exception | str | None) -> None:
        if isinstance(error, BaseException):
            scrub_exception(error, scrubber)
        elif isinstance(error, str):
            error = scrubber.scrub(error)
        log_error(method, name, error)

    stats.log_error = log_scrubbed  # type: ignore[method-assign]  # no event comes before the table
