"""Puts the metering under httpx and httpx2, and hands a run's context on to what it starts. All is undone again.

In force while somebody holds it, and then only for what is done within a run (`metering.Scope`):

- `HTTPTransport.handle_request` and `AsyncHTTPTransport.handle_async_request` of both packages are
  wrapped at class level, whatever client, SDK or framework sits on top. Transports that are not
  theirs (mocks, other HTTP libraries) are not seen.
- Greenlets begin with an empty context: one that is spawned within a run gets a copy of its
  spawner's. The same for threads, which are greenlets here, but not for those of a
  ThreadPoolExecutor, which outlive the run: there each piece of work brings its own.
- Connection pools ask of each idle connection whether it has become readable, with a poll that
  waits for nothing: gevent's poll would go through the hub for it.
"""

from __future__ import annotations

import concurrent.futures
import concurrent.futures.thread
import contextlib
import contextvars
import importlib
import logging
import platform
import select
import sys
import threading
from collections.abc import Callable
from typing import Any

import gevent
from gevent import monkey

from agentlocust.wire.bridge_refusal import refuse_loops
from agentlocust.wire.foreign_body import metered_send, metered_send_async
from agentlocust.wire.metering import current_scope

_PACKAGES = ("httpx", "httpx2")
_POOLS = tuple(f"{core}._backends.{kind}" for core in ("httpcore", "httpcore2") for kind in ("sync", "anyio"))

_original_poll: Any = monkey.get_original("select", "poll") if hasattr(select, "poll") else None
_submit = concurrent.futures.ThreadPoolExecutor.submit


def warm_up() -> None:
    """Import both packages, where they are, and ask what machine this is: each SDK would, in a child process."""
    for name in _PACKAGES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
            log = logging.getLogger(name)
            if log.level == logging.NOTSET:  # it tells of each request, which under load is all one reads
                log.setLevel(logging.WARNING)
    platform.platform()
    platform.processor()
    with contextlib.suppress(ImportError):
        importlib.import_module("distro").id()


class Underneath:
    """The metering's place under this process's HTTP clients: there while it is held."""

    def __init__(self) -> None:
        self._held = 0
        self._undo: list[Callable[[], None]] = []

    def hold(self) -> None:
        """Put it in place, if nobody holds it yet."""
        self._held += 1
        if self._held == 1:
            warm_up()
            self._install()

    def release(self) -> None:
        """Let go; the last one has everything put back."""
        self._held -= 1
        if self._held == 0:
            while self._undo:
                self._undo.pop()()

    def _install(self) -> None:
        for name in _PACKAGES:
            package: Any = sys.modules.get(name)
            if package is not None:
                sync, not_sync = package.HTTPTransport, package.AsyncHTTPTransport
                self._put(sync, "handle_request", metered_send(package, sync.handle_request))
                self._put(not_sync, "handle_async_request", metered_send_async(package, not_sync.handle_async_request))
        for name in _POOLS:
            with contextlib.suppress(ImportError):
                if _original_poll is not None:
                    self._put(importlib.import_module(name), "is_socket_readable", _is_readable)
        self._put(concurrent.futures.ThreadPoolExecutor, "submit", _submit_in_context)
        gevent.Greenlet.add_spawn_callback(_hand_on)
        self._undo.append(lambda: gevent.Greenlet.remove_spawn_callback(_hand_on))
        self._undo.append(refuse_loops())

    def _put(self, owner: Any, name: str, value: object) -> None:
        before = getattr(owner, name)
        setattr(owner, name, value)
        self._undo.append(lambda: setattr(owner, name, before))


def _hand_on(greenlet: gevent.Greenlet) -> None:
    """A greenlet is about to start: it belongs to the run of its spawner."""
    if current_scope() is None:
        return
    thread = getattr(getattr(greenlet, "_run", None), "__self__", None)
    if isinstance(thread, threading.Thread) and getattr(thread, "_target", None) is concurrent.futures.thread._worker:
        return
    with contextlib.suppress(AttributeError, ValueError):  # it has a context of its own
        if greenlet.gr_context is None:
            greenlet.gr_context = contextvars.copy_context()


def _submit_in_context(
    self: concurrent.futures.ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> concurrent.futures.Future[Any]:
    if current_scope() is None:
        return _submit(self, fn, *args, **kwargs)
    return _submit(self, contextvars.copy_context().run, fn, *args, **kwargs)


def _is_readable(sock: Any) -> bool:
    fd = None if sock is None else sock.fileno()
    if fd is None or fd < 0:
        return True
    poll = _original_poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


underneath = Underneath()
