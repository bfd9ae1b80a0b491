"""A disk that is full, for the agent's code: what it writes to files, log files among them, fails with ENOSPC.

Files that are opened to be written while it lasts, and the streams of log files that are open already.
The generator's own files are left alone, and so are file descriptors that are written to directly.
"""

from __future__ import annotations

import builtins
import errno
import io
import logging
import os
import sys
from types import FrameType, TracebackType
from typing import Any, Self

from agentlocust.users.local.agents import GENERATOR

_PASSED_ON = frozenset({"pathlib", "io", "codecs", "logging", "logging.handlers", "tempfile", "shutil", "csv", "json"})
_WRITES = set("wax+")


class FullDisk:
    """Full between `begin` and `end`."""

    def __init__(self) -> None:
        self._open = builtins.open
        self._logs: list[tuple[logging.FileHandler, Any]] = []
        self._on = False

    def begin(self) -> None:
        """From now on nothing can be written."""
        self._on = True
        setattr(builtins, "open", self._open_full)  # noqa: B010  # pathlib has io.open, which is the same function
        setattr(io, "open", self._open_full)  # noqa: B010
        for handler in _log_files():
            stream: Any = handler.stream  # None before the first line of one that was told to wait for it
            if stream is not None and not _is_generators(handler):
                self._logs.append((handler, stream))
                setattr(handler, "stream", _Full(stream, self))  # noqa: B010

    def end(self) -> None:
        """There is room again."""
        self._on = False
        setattr(builtins, "open", self._open)  # noqa: B010
        setattr(io, "open", self._open)  # noqa: B010
        while self._logs:
            handler, stream = self._logs.pop()
            now: Any = handler.stream
            if isinstance(now, _Full):  # else somebody has reopened it
                handler.stream = stream

    @property
    def full(self) -> bool:
        """True while it lasts."""
        return self._on

    def _open_full(self, file: Any, mode: str = "r", *args: Any, **settings: Any) -> Any:
        opened = self._open(file, mode, *args, **settings)
        if not _WRITES & set(mode) or _of_generator() or _is_device(file):
            return opened
        return _Full(opened, self)


class _Full:
    """A file that takes nothing while its disk is full."""

    def __init__(self, file: Any, disk: FullDisk) -> None:
        self._file = file
        self._disk = disk

    def write(self, data: Any) -> Any:
        """Raises OSError ENOSPC."""
        if self._disk.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._file.write(data)

    def writelines(self, lines: Any) -> None:
        """Raises OSError ENOSPC."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __iter__(self) -> Any:
        return iter(self._file)

    def __enter__(self) -> Self:
        self._file.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, traceback)


def _log_files() -> list[logging.FileHandler]:
    return [handler for handler in _handlers() if isinstance(handler, logging.FileHandler)]


def _handlers() -> list[logging.Handler]:
    references: list[Any] = list(getattr(logging, "_handlerList", ()))
    found: list[logging.Handler | None] = [reference() for reference in references]
    return [handler for handler in found if handler is not None]


def _is_generators(handler: logging.Handler) -> bool:
    """True for the log file that Locust itself was told to write."""
    loggers = [logging.getLogger(), logging.getLogger("locust")]
    return any(handler in logger.handlers for logger in loggers) and handler.name == "log_file"


def _of_generator() -> bool:
    """True when it is the generator that opens a file."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__") in _PASSED_ON:
        frame = frame.f_back
    name = str(frame.f_globals.get("__name__", "")) if frame is not None else ""
    return name.partition(".")[0] in GENERATOR or name in ("subprocess", "multiprocessing", "importlib")


def _is_device(file: Any) -> bool:
    return isinstance(file, int) or str(file).startswith(("/dev/", "/proc/"))
