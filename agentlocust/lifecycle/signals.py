"""Signals on the node that judges: the first drains and reports, the second quits at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import gevent
import psutil


class Signals:
    """Tells of the first SIGINT or SIGTERM and lets Locust act on it; ends the process at the second."""

    def __init__(self, told: Callable[[int], None]) -> None:
        self._told = told
        self._first = 0
        signal.signal(signal.SIGINT, self._on_interrupt)
        # Locust installs its own SIGTERM handler after this; a hub's watcher stands beside it.
        self._watcher = gevent.get_hub().loop.signal(signal.SIGTERM)
        self._watcher.start(self._on_signal, signal.SIGTERM)

    def _on_interrupt(self, number: int, frame: Any) -> None:
        self._on_signal(signal.SIGINT)
        raise KeyboardInterrupt

    def _on_signal(self, number: int) -> None:
        if self._first:
            quit_at_once(128 + number)
        self._first = number
        self._told(number)


def quit_at_once(code: int) -> None:
    """End this process and its workers now, with nothing more written."""
    for child in psutil.Process().children(recursive=True):
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
    os._exit(code)
