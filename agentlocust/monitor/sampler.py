"""The child process that watches targets and the machine: `python -m agentlocust.monitor.sampler`.

Apart from the generator, whose hub no slow system call may hold. It reads one JSON line from stdin,

    {"parent": PID, "interval": 1.0, "watch": [[LABEL, KIND, VALUE], …],
     "scrape": [[SCHEME, HOST, PORT, PATH, [METRIC, …]], …], "gpu": false}

and writes one line a reading, `t` in monotonic seconds, figures as ints or null:

    {"t": 12.3, "subjects": {"machine": {"cpu": 120, …}, "target:8000": {…}}, "events": [{…}]}

or, last of all, `{"error": TEXT}`. It ends when stdin has more to say or closes, or when its parent is
gone: so it outlives nobody, whatever kills them.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from typing import Any

from agentlocust.errors import AgentLocustError
from agentlocust.monitor.gpu import Gpus
from agentlocust.monitor.machine import Machine
from agentlocust.monitor.target import Event, Figures, Target
from agentlocust.monitor.wanted import Wanted

_NAPS_S = 1.0  # between looks at whether the parent is there, when readings are further apart


class Sampler:
    """Everything that is read, as its parent asked for it."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self.interval = float(asked["interval"])
        self._machine = Machine()
        self._targets = [
            (f"target:{label}", Target(Wanted(label, kind, value), asked["parent"]))
            for label, kind, value in asked["watch"]
        ]
        self._scrapers = []
        if asked["scrape"]:  # an HTTP client is too much to load for nothing
            from agentlocust.monitor.scrape import Scrape, Scraper

            for scheme, host, port, path, metrics in asked["scrape"]:
                scraper = Scraper(Scrape(scheme, host, port, path, tuple(metrics)), self.interval)
                scraper.start()
                self._scrapers.append(scraper)
        self._gpus = Gpus() if asked["gpu"] else None

    def read(self, now: float) -> dict[str, Any]:
        """One reading."""
        subjects: dict[str, Figures] = {"machine": self._machine.read(now)}
        events: list[Event] = []
        for name, target in self._targets:
            subjects[name], news = target.read(now)
            events += news
        for scraper in self._scrapers:
            figures, news = scraper.take()
            events += news
            if figures:
                subjects[f"server:{scraper.scrape.label}"] = figures
        if self._gpus is not None:
            subjects.update(self._gpus.read())
        return {"t": round(now, 3), "subjects": subjects, "events": events}


def run(asked: dict[str, Any]) -> None:
    """Read and tell until the parent wants no more, or is gone."""
    sampler = Sampler(asked)
    following = time.monotonic()
    while True:
        # The first reading comes at once, as what rates count from.
        _tell(sampler.read(time.monotonic()))
        following = max(following + sampler.interval, time.monotonic())
        while (left := following - time.monotonic()) > 0:
            if select.select([0], [], [], min(left, _NAPS_S))[0] or os.getppid() != asked["parent"]:
                return


def _tell(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Do what stdin asks for; 1 when something broke, which is told in the last line."""
    try:
        line = sys.stdin.readline()
        if line:
            run(json.loads(line))
    except BrokenPipeError:  # nobody reads any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the interpreter complains at its end
    except Exception as error:
        text = str(error) if isinstance(error, AgentLocustError) else f"{type(error).__name__}: {error}"
        _tell({"error": text})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
