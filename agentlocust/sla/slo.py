"""The SLO of one call, by which goodput counts: `goodput = {"ttft": "500ms", "latency": "4s"}`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agentlocust.config import did_you_mean
from agentlocust.errors import ConfigError
from agentlocust.records import Call
from agentlocust.units import parse_duration

_TIMES = ("ttft", "ttfo", "latency", "tpot")


@dataclass(frozen=True, slots=True)
class Slo:
    """Upper limits in seconds; None where nothing is stated."""

    ttft: float | None = None
    ttfo: float | None = None
    latency: float | None = None
    tpot: float | None = None

    @classmethod
    def parse(cls, mapping: object, where: str = "goodput") -> Slo:
        """Read a User's `goodput`. Raises ConfigError for an unknown time or a limit without a unit."""
        if not isinstance(mapping, Mapping) or not mapping:
            raise ConfigError("goodput states no time", where=where, hint="write {'ttft': '500ms', 'latency': '4s'}")
        limits = {}
        for time, limit in mapping.items():
            if time not in _TIMES:
                hint = did_you_mean(str(time), _TIMES) or "one of " + ", ".join(_TIMES)
                raise ConfigError(f"goodput knows no time {time!r}", where=where, hint=hint)
            try:
                limits[time] = parse_duration(limit)
            except ConfigError as error:
                raise ConfigError(error.what, where=f"{where}:{time}", hint=error.hint) from error
        return cls(**limits)

    def met(self, call: Call) -> bool:
        """True when a completed call keeps to every stated limit.

        A call without a ttft (not streamed) does not meet one; one without a tpot (a single
        token) has nothing to be slow at.
        """
        if not call.ok:
            return False
        if self.tpot is not None and call.tpot is not None and call.tpot > self.tpot:
            return False
        stated = ((self.ttft, call.ttft), (self.ttfo, call.ttfo), (self.latency, call.latency))
        return all(limit is None or (time is not None and time <= limit) for limit, time in stated)
