"""One trial: an agent ticks through a scenario, and what was seen of it is measured and judged."""

from __future__ import annotations

import errno
import logging
import random
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from paper_agents.clock import ScaledClock, SteppedClock
from paper_agents.desk import Desk, TradingAgent
from paper_exchange.market import SYMBOL, Session
from paper_exchange.process import ExchangeProcess

from paper_trials.scenario import Event, Scenario, Seen

Ask = Callable[[str, tuple[str, ...]], str]
"""Puts a question to the model, which is to answer one of the choices."""

Tool = Callable[[str], AbstractContextManager[Any]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was measured, what is wrong in words (nothing: it passed), and the alerts."""

    numbers: dict[str, float]
    broken: tuple[str, ...]
    alerts: tuple[str, ...]


class FullDisk(logging.Handler):
    """A log on a disk that may be full: then it raises, as a handler does that swallows nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.full = False
        self.lines = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line. Raises OSError (ENOSPC)."""
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.lines += 1


class Trial:
    """A scenario with one agent in it: its clock, its desk, and what happens to its machine."""

    def __init__(self, scenario: Scenario, exchange: ExchangeProcess, ask: Ask, tool: Tool) -> None:
        """Sets the exchange up; time begins to pass, unless it is stepped."""
        self.scenario, self._exchange, self._ask = scenario, exchange, ask
        self._session = Session.load(scenario.session)
        self._resolves = True
        self._alerts: list[tuple[float, str]] = []
        self._asked: list[tuple[float, str]] = []
        self._disk = FullDisk()
        epoch = time.time()
        exchange.setup(
            session=scenario.session,
            speed=scenario.speed,
            epoch=epoch,
            cash=scenario.cash,
            position=scenario.position,
            faults=scenario.faults,
        )
        self._clock = ScaledClock(scenario.speed, epoch) if scenario.speed else SteppedClock(exchange.step, epoch)
        log = logging.getLogger(f"paper_agents.{scenario.name}.{exchange.port}")
        log.handlers, log.propagate = [self._disk], False  # nothing of it reaches the test's log
        log.setLevel(logging.INFO)
        self.desk = Desk(
            address=self._address,
            key=exchange.key,
            secret=exchange.secret,
            symbol=SYMBOL,
            clock=self._clock,
            advise=self._advise,
            alert=lambda text: self._alerts.append((self._clock.monotonic(), text)),
            log=log,
            tool=tool,
            random=random.Random(scenario.seed),
        )

    def run(self, agent: TradingAgent) -> Outcome:
        """Tick until the scenario is over or the agent has crashed; then judge."""
        scenario, clock = self.scenario, self._clock
        events, ticks, slowest_s, crash = list(scenario.events), 0, 0.0, ""
        while (at := ticks * scenario.tick_s) < scenario.duration_s and clock.monotonic() < scenario.duration_s:
            clock.sleep(at - clock.monotonic())
            while events and events[0].at_s <= clock.monotonic():
                self._happen(events.pop(0))
            began = clock.monotonic()
            try:
                agent.tick()
            except Exception as error:  # whatever it is, an agent in production would be gone
                crash = f"{type(error).__name__}: {error}"
                break
            slowest_s = max(slowest_s, clock.monotonic() - began)
            ticks += 1
        lasted_s = clock.monotonic()
        if any(fault["do"] == "delay" for fault in scenario.faults):
            clock.sleep(10)  # what was sent late arrives while the truth is still kept
        cash = None if crash else Decimal(agent.cash)
        seen = Seen(self._exchange.truth(), lasted_s, crash, tuple(self._alerts), tuple(self._asked), slowest_s, cash)
        return judged(scenario, seen)

    # -- what the desk is made of ----------------------------------------------------------------

    def _address(self, host: str) -> tuple[str, int]:
        if host == "trade" and not self._resolves:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return "127.0.0.1", self._exchange.port

    def _advise(self, question: str) -> str:
        elapsed_s = self._clock.monotonic()
        choices = self.scenario.may_say(elapsed_s)
        if self.scenario.says is None:  # what it last said in the recording
            said = self._session.advice[: self._session.tick(elapsed_s) + 1]
            choices = next(((each,) for each in reversed(said) if each), ("hold",))
        advice = self._ask(question, choices)
        self._asked.append((elapsed_s, advice))
        return advice

    def _happen(self, event: Event) -> None:
        if event.what == "clock_jump":
            self._clock.jump(event.amount)
        elif event.what == "disk_full":
            self._disk.full = True
        else:
            self._resolves = event.what == "dns_up"


def judged(scenario: Scenario, seen: Seen) -> Outcome:
    """The scenario's rules on what was seen."""
    numbers = {"crashes": float(bool(seen.crash)), **scenario.measure(seen)}
    wanted = {rule.metric for rule in scenario.rules}
    broken = [rule.verdict(numbers[rule.metric]) for rule in scenario.rules]
    told = tuple(f"{why} ({seen.crash})" if why == "the agent crashed" else why for why in broken if why)
    return Outcome({name: numbers[name] for name in sorted(wanted)}, told, tuple(text for _, text in seen.alerts))
