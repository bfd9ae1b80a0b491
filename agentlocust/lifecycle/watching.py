"""What a test watches beside itself: the target's processes, the machine, its metrics page, and the alerts on them."""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentlocust.errors import ConfigError
from agentlocust.monitor.alerts import Alert, AlertState, live_values, parse_alert
from agentlocust.monitor.gpu import Gpus
from agentlocust.monitor.readings import Monitor
from agentlocust.monitor.scrape import Scrape, parse_scrape
from agentlocust.monitor.wanted import Wanted, resolve
from agentlocust.monitor.watch import Reading, Watch
from agentlocust.redact import terminal_safe
from agentlocust.summary import courses
from agentlocust.summary.drift import SHOWN_AS, WATCHED
from agentlocust.trend import judge_leak
from agentlocust.units import parse_duration

if TYPE_CHECKING:
    from agentlocust.mock.embedded import EmbeddedMock
    from agentlocust.summary.model import Point

logger = logging.getLogger(__name__)

MOCK = "mock"  # in --watch: the embedded mock LLM


@dataclass(frozen=True, slots=True)
class WatchPlan:
    """What is to be watched, looked up; `mock` when the embedded LLM is among it."""

    targets: tuple[Wanted, ...] = ()
    mock: bool = False
    interval_s: float = 1.0
    alerts: tuple[Alert, ...] = ()
    scrapes: tuple[Scrape, ...] = ()
    gpu: bool = False

    @property
    def reads(self) -> bool:
        """True when something is to be read that a process of its own reads."""
        of_machine = any("(machine" in alert.key for alert in self.alerts)
        return bool(self.targets or self.mock or self.scrapes or self.gpu or of_machine)


def read_watch(options: argparse.Namespace) -> WatchPlan:
    """What options ask to be watched; all of it must be there. Raises ConfigError."""
    texts = [text.strip() for text in options.agentlocust_watch if text.strip()]
    own = not options.host or options.host == MOCK
    mock = own and MOCK in texts
    targets = resolve([text for text in texts if not (mock and text == MOCK)], os.getpid())
    try:
        interval_s = parse_duration(options.agentlocust_watch_interval)
    except ConfigError as error:
        raise ConfigError(error.what, where="--watch-interval", hint=error.hint) from None
    Watch(lambda _: None, interval_s=interval_s)
    labels = [target.label for target in targets] + [MOCK] * mock
    host = "" if own else options.host
    scrapes = tuple(parse_scrape(text, host) for text in options.agentlocust_scrape if text.strip())
    alerts = tuple(parse_alert(text, labels=labels) for text in options.agentlocust_alert if text.strip())
    if options.agentlocust_gpu:
        Gpus().close()
    return WatchPlan(tuple(targets), mock, interval_s, alerts, scrapes, bool(options.agentlocust_gpu))


class Watching:
    """The watch of one test, on the node that judges it."""

    def __init__(self, plan: WatchPlan, mock: EmbeddedMock | None) -> None:
        self._monitor = Monitor(time.monotonic(), plan.interval_s)
        self._alerts = [AlertState(alert) for alert in plan.alerts]
        targets = [*plan.targets]
        if plan.mock and mock is not None:
            targets.append(Wanted(MOCK, "pid", str(mock.pid)))
        self._watch: Watch | None = None
        if plan.reads:
            self._watch = Watch(
                self._take, interval_s=plan.interval_s, targets=targets, scrapes=plan.scrapes, gpu=plan.gpu
            )
            self._watch.start()

    @property
    def events(self) -> Sequence[Mapping[str, Any]]:
        """What happened to what is watched: {t, what, label, pid, detail}."""
        return self._monitor.events

    def leaks(self, since_s: float) -> str:
        """What of a watched target leaks, by its readings from then on, in a sentence; "" for nothing."""
        for subject in self._monitor.subjects:
            for figure, unit in WATCHED.items() if subject.startswith(f"{courses.TARGET}:") else ():
                points = [point for point in self._monitor.points(subject, figure) if point[0] >= since_s]
                label = subject.removeprefix(f"{courses.TARGET}:")
                leak = judge_leak(points, unit=unit, what=f"{label}: {SHOWN_AS[figure]}")
                if leak.verdict == "leaking":
                    return leak.sentence
        return ""

    def add_generator(self, process: str, seconds: Sequence[Sequence[int]]) -> None:
        """Take the vitals that a process of the generator told of."""
        self._monitor.add_generator(process, seconds)

    def look(self, t: float, point: Point | None) -> None:
        """Hold the alert rules to what is known now; `point` is the last whole second of the series."""
        if not self._alerts:
            return
        values = {**self._monitor.values(), **(live_values(point) if point is not None else {})}
        for state in self._alerts:
            change = state.update(t, values)
            if change is not None:
                logger.warning("agentlocust: alert %s: %s", change, state.alert.text)

    def stop(self) -> None:
        """Read nothing more."""
        if self._watch is not None:
            self._watch.stop()
            self._watch = None

    def summary(self) -> dict[str, Any]:
        """The `monitor` part of a Summary."""
        return self._monitor.summary([record for state in self._alerts if (record := state.record()) is not None])

    def _take(self, reading: Reading) -> None:
        for event in self._monitor.add(reading):
            what = f"{event['label']} {event['what']} {event.get('detail', '')}".strip()
            logger.warning("agentlocust: %s (%.0f s into the test)", terminal_safe(what), event["t"])
