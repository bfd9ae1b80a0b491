"""Serving the mock: one process, one event loop, until it is told to stop or its parent is gone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
import uvloop

from agentlocust.errors import ConfigError
from agentlocust.mock.app import MockApp
from agentlocust.mock.behaviour import parse_spec
from agentlocust.mock.exchange import Connection

if TYPE_CHECKING:
    from agentlocust.mock.faults import FaultyApp
    from agentlocust.mock.replay import ReplayApp

BACKLOG = 4096
KEEP_ALIVE = 75  # seconds: longer than any client keeps an idle connection, so the mock is never first to close
MIN_SPEED, MAX_SPEED = 0.01, 10_000.0


class _Server(uvicorn.Server):
    """uvicorn, ended by a signal with exit code 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self.stop())
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say where."""
        await super().startup(sockets)
        for listener in sockets or ():
            host, port = listener.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            sys.stdout.write(f"agentlocust mock listening on http://{shown}:{port}\n")
        sys.stdout.flush()

    def stop(self) -> None:
        """End soon, whatever is still being answered."""
        self.should_exit = True


def serve(
    host: str, port: int, spec: str, seed: int, instance: str, *, faults: str = "", with_parent: bool = False
) -> None:
    """Serve until SIGINT or SIGTERM; with `with_parent` also until stdin closes or the parent dies.

    `faults` is a plan of what goes wrong on purpose. Prints one line with the address when it listens.
    Raises ConfigError for a bad spec, plan or address.
    """

    def is_ending() -> bool:
        return server.should_exit or (with_parent and _has_ended(0))

    mock = MockApp(parse_spec(spec), seed, instance, is_ending)
    app = _faulty(mock, faults, seed) if faults else mock
    listener = _listen(host, port)
    server = _server_of(app)
    _serve(server, listener, with_parent)


def serve_cassette(host: str, port: int, path: Path, speed: float, instance: str) -> None:
    """Serve recorded replies until SIGINT or SIGTERM. Raises ConfigError for a bad file, speed or address."""
    if not MIN_SPEED <= speed <= MAX_SPEED:
        raise ConfigError(f"a speed of {speed:g}", where="--speed", hint=f"from {MIN_SPEED:g} to {MAX_SPEED:g}")
    from agentlocust.cassette import load
    from agentlocust.mock.replay import ReplayApp

    app = ReplayApp(load(path), speed, instance)
    _serve(_server_of(app), _listen(host, port), with_parent=False)


def _faulty(mock: MockApp, faults: str, seed: int) -> FaultyApp | MockApp:
    # A mock without faults starts faster without pydantic, which reads a plan.
    from agentlocust.faults.injector import PlanInjector
    from agentlocust.faults.plan import FaultPlan
    from agentlocust.mock.faults import FaultyApp

    plan = FaultPlan.parse(faults)
    return FaultyApp(mock, PlanInjector(plan, seed)) if plan else mock


def _server_of(app: MockApp | FaultyApp | ReplayApp) -> _Server:
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL + 1)  # a cut stream is no news here
    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=0,
    )
    return _Server(config)


def _serve(server: _Server, listener: socket.socket, with_parent: bool) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(server, listener, with_parent))


async def _run(server: _Server, listener: socket.socket, with_parent: bool) -> None:
    watch = asyncio.create_task(_watch_parent(server)) if with_parent else None
    await server.serve(sockets=[listener])
    if watch is not None:
        watch.cancel()


async def _watch_parent(server: _Server) -> None:
    """Stop the server when stdin, held open by the parent, ends, or when there is another parent."""
    parent = os.getppid()
    with contextlib.suppress(OSError, ValueError):
        asyncio.get_running_loop().add_reader(0, _end_of_stdin, server)
    while os.getppid() == parent:  # noqa: ASYNC110  # nothing tells of a change of parent
        await asyncio.sleep(0.5)
    server.stop()


def _end_of_stdin(server: _Server) -> None:
    if not os.read(0, 4096):
        asyncio.get_running_loop().remove_reader(0)
        server.stop()


def _has_ended(stdin: int) -> bool:
    """Whether the parent let go of our stdin; it never writes to it."""
    with contextlib.suppress(OSError, ValueError):
        return bool(select.select([stdin], [], [], 0)[0])
    return False


def _listen(host: str, port: int) -> socket.socket:
    """A bound socket that starts to listen when the server takes it. Raises ConfigError."""
    where = f"{host}:{port}"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)  # now, so that a taken port is refused here
    except (OSError, OverflowError, UnicodeError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        hint = "use --port 0 for a free port"
        raise ConfigError(f"the mock cannot listen on {where}: {reason}", where="mock:port", hint=hint) from None
    return listener
