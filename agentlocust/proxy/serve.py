"""Serving the proxy: one process, one event loop, until it is told to stop or its parent is gone."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import uvloop

from agentlocust.budget import Budget
from agentlocust.dialects import NAMES, by_name
from agentlocust.errors import ConfigError
from agentlocust.faults.injector import PlanInjector
from agentlocust.faults.plan import FaultPlan
from agentlocust.pricing import PriceBook
from agentlocust.proxy.books import Books, Listener
from agentlocust.proxy.client import Client
from agentlocust.proxy.gateway import FIRST_BYTE_S, Gateway
from agentlocust.proxy.guard import Guard, OwnTreasury
from agentlocust.proxy.passage import Passage
from agentlocust.proxy.record import Attempt
from agentlocust.proxy.recorder import Recorder
from agentlocust.wire.target import Target

BACKLOG = 4096
_LAST_S = 1.0  # in which what has ended is read before the process ends


@dataclass(frozen=True, slots=True)
class Plan:
    """What a proxy is asked for. With `pipe` records go to stdout and orders come from stdin, a line of JSON each."""

    upstream: Target
    host: str = "127.0.0.1"
    port: int = 0
    tools: Mapping[str, Target] = field(default_factory=dict)
    faults: FaultPlan = field(default_factory=FaultPlan)
    seed: int = 0
    budget: Budget = field(default_factory=Budget)
    pricing: tuple[Path, ...] = ()
    record: Path | None = None
    texts: str = "keep"
    calls: Path | None = None
    timeout_s: float = FIRST_BYTE_S
    pipe: bool = False


def serve(plan: Plan) -> None:
    """Serve until SIGINT or SIGTERM, or the end of stdin with `pipe`. Raises ConfigError for a bad address or file."""
    listener = _listen(plan.host, plan.port)
    with contextlib.ExitStack() as stack:
        calls = stack.enter_context(_appended(plan.calls, "--calls")) if plan.calls is not None else None
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_Process(plan, listener, calls).run())


class _Process:
    """All of it, wired up."""

    def __init__(self, plan: Plan, listener: socket.socket, calls: IO[str] | None) -> None:
        self._plan = plan
        self._listener = listener
        self._calls = calls
        self._stop = asyncio.Event()
        self._out: asyncio.WriteTransport | None = None
        self._orders = b""
        self._guard: Guard | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Serve to the end."""
        plan, loop = self._plan, asyncio.get_running_loop()
        prices = PriceBook.load(plan.pricing)
        prices.price("a model of which nobody has heard")  # the first such look-up takes a while
        for name in NAMES:
            by_name(name)
        listeners: list[Listener] = [self._tell]
        recorder = Recorder(plan.record, plan.texts) if plan.record is not None else None
        if recorder is not None:
            listeners.append(recorder)
        books = Books(prices, listeners)
        guard = self._guard = self._guard_of(prices)
        if guard is not None:
            listeners.append(guard.ended)
        gateway = self._gateway = Gateway(
            plan.upstream,
            books.add,
            tools=plan.tools,
            injector=PlanInjector(plan.faults, plan.seed) if plan.faults else None,
            guard=guard,
            beside_test=plan.pipe,
            copies_all=recorder is not None,
            timeout_s=plan.timeout_s,
            totals=books.totals,
        )
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        if plan.pipe:
            self._out, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(os.dup(1), "wb", 0))
            loop.add_reader(0, self._hear)
            self._tasks.append(loop.create_task(self._watch_parent()))
        server = await loop.create_server(lambda: Client(gateway), sock=self._listener, backlog=BACKLOG)
        host, port = self._listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        self._say(f"agentlocust proxy listening on http://{shown}:{port}")
        reading = loop.create_task(books.run())
        gc.freeze()  # what is here now is here to stay: a full collection would hold streams for milliseconds
        await self._stop.wait()
        server.close()
        for client in list(gateway.clients):
            client.cancel()
        await asyncio.sleep(0)
        books.finish()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reading, _LAST_S)
        if recorder is not None:
            recorder.close()
        for task in self._tasks:
            task.cancel()
        if plan.pipe:
            await self._flush()
        else:
            self._say(json.dumps(books.totals(), indent=1))

    def _guard_of(self, prices: PriceBook) -> Guard | None:
        budget = self._plan.budget
        if not budget:
            return None
        if self._plan.pipe:
            return Guard(prices, self._tell_word, shared=budget.shared, run=budget.run)
        treasury = OwnTreasury(budget)
        guard = treasury.guard = Guard(prices, treasury.told, shared=budget.shared, run=budget.run)
        if budget.rate is not None:
            self._tasks.append(asyncio.get_running_loop().create_task(treasury.pass_time()))
        return guard

    def _tell_word(self, word: dict[str, Any]) -> None:
        self._say(json.dumps({"purse": word}))

    def _say(self, line: str) -> None:
        if self._out is not None:
            self._out.write(line.encode() + b"\n")
            return
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def _tell(self, passage: Passage, attempt: Attempt) -> None:
        line = attempt.encode()
        if self._calls is not None:
            self._calls.write(line + "\n")
            self._calls.flush()
        if self._out is not None:
            self._out.write(line.encode("utf-8", "replace") + b"\n")

    async def _flush(self) -> None:
        out = self._out
        for _ in range(100):
            if out is None or out.is_closing() or not out.get_write_buffer_size():
                return
            await asyncio.sleep(0.01)

    # -- the parent ----------------------------------------------------------------------------

    def _hear(self) -> None:
        data = os.read(0, 65536)
        if not data:
            asyncio.get_running_loop().remove_reader(0)
            self._stop.set()
            return
        *lines, self._orders = (self._orders + data).split(b"\n")
        for line in lines:
            order: dict[str, Any] = json.loads(line)
            self._obey(order)

    def _obey(self, order: dict[str, Any]) -> None:
        if "began_ns" in order:
            self._gateway.began_ns = order["began_ns"]
        if "slice" in order and self._guard is not None:
            self._guard.hear(order["slice"])
        if "phase" in order:
            self._gateway.phase = order["phase"]

    async def _watch_parent(self) -> None:
        parent = os.getppid()
        while os.getppid() == parent:  # noqa: ASYNC110  # nothing tells of a change of parent
            await asyncio.sleep(0.5)
        self._stop.set()


def _appended(path: Path, where: str) -> IO[str]:
    try:
        return path.open("a", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}", where=where) from None


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises ConfigError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError, UnicodeError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        hint = "use port 0 for a free one"
        raise ConfigError(
            f"the proxy cannot listen on {host}:{port}: {reason}", where="proxy:port", hint=hint
        ) from None
    return listener
