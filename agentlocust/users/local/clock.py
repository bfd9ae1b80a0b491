"""A clock that has jumped, for the agent's code alone: the generator's own timing must stay true.

In the agent's modules the names `time` and `datetime`, and what was imported from these modules, are
bound to others that are ahead. Monotonic clocks go on as they are, as after a real jump. An import of
`time` within a function that runs meanwhile finds the true one.
"""

from __future__ import annotations

import datetime as dt
import time as real_time
from collections.abc import Callable
from types import ModuleType
from typing import Any

from agentlocust.users.local.agents import modules


class SkewedClock:
    """The agent's clock, so many seconds ahead between `begin` and `end`."""

    def __init__(self, skew_s: float) -> None:
        self._skew_s = skew_s
        self._undo: list[tuple[dict[str, Any], str, Any]] = []

    def begin(self) -> None:
        """The clock jumps."""
        others = _others(self._skew_s)
        for module in modules():
            names = vars(module)
            for name, value in list(names.items()):
                other = others.get(id(value))
                if other is not None and not name.startswith("__"):
                    self._undo.append((names, name, value))
                    names[name] = other

    def end(self) -> None:
        """It jumps back."""
        while self._undo:
            names, name, value = self._undo.pop()
            names[name] = value


def _others(skew_s: float) -> dict[int, Any]:
    """What is bound instead of what, by the identity of that."""
    time, datetime = _time(skew_s), _datetime(skew_s)
    found = {id(real_time): time, id(dt): datetime}
    for name in ("time", "time_ns", "gmtime", "localtime", "ctime", "strftime"):
        found[id(getattr(real_time, name))] = getattr(time, name)
    found[id(dt.datetime)] = datetime.datetime
    found[id(dt.date)] = datetime.date
    return found


def _time(skew_s: float) -> Any:
    other: Any = _copy(real_time)
    other.time = lambda: real_time.time() + skew_s
    other.time_ns = lambda: real_time.time_ns() + round(skew_s * 1e9)

    def from_now(convert: Callable[[float], Any]) -> Callable[..., Any]:
        return lambda seconds=None: convert(other.time() if seconds is None else seconds)

    for name in ("gmtime", "localtime", "ctime"):
        setattr(other, name, from_now(getattr(real_time, name)))
    other.strftime = lambda form, moment=None: real_time.strftime(form, other.localtime() if moment is None else moment)
    return other


def _datetime(skew_s: float) -> Any:
    other: Any = _copy(dt)
    ahead = dt.timedelta(seconds=skew_s)

    class OfDatetime(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, dt.datetime)

    class OfDate(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, dt.date)

    class Datetime(dt.datetime, metaclass=OfDatetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return dt.datetime.now(tz) + ahead

        @classmethod
        def utcnow(cls) -> Any:
            return dt.datetime.now(dt.UTC).replace(tzinfo=None) + ahead

        @classmethod
        def today(cls) -> Any:
            return cls.now()

    class Date(dt.date, metaclass=OfDate):
        @classmethod
        def today(cls) -> Any:
            return Datetime.now().date()

    other.datetime, other.date = Datetime, Date
    return other


def _copy(module: ModuleType) -> ModuleType:
    other = ModuleType(module.__name__, module.__doc__)
    vars(other).update({name: value for name, value in vars(module).items() if not name.startswith("__")})
    return other
