"""Keeps secrets out of logs and of the exceptions that Locust shows and sends."""

from __future__ import annotations

import logging

from agentlocust.redact import Scrubber


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
    """Scrub an exception's own texts in place, before Locust keeps it or sends it to the master."""
    error.args = tuple(scrubber.scrub(arg) if isinstance(arg, str) else arg for arg in error.args)
    message = getattr(error, "message", None)
    if isinstance(message, str):
        error.message = scrubber.scrub(message)  # type: ignore[attr-defined]
