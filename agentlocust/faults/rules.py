"""A rule of a plan: which fault, when, how often, and for which calls."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from agentlocust.faults.fault import Fault, Group
from agentlocust.faults.injection import Asked

TEXTS = ("name", "model", "path", "method")
NUMBERS = ("user", "run", "call", "attempt")


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of the test: from `start_s` up to `end_s`, which may be infinite; or a phase."""

    start_s: float = 0.0
    end_s: float = math.inf
    phase: str = ""
    text: str = ""

    def holds(self, at_s: float, phase: str) -> bool:
        """True when that moment lies in it."""
        return phase == self.phase if self.phase else self.start_s <= at_s < self.end_s


@dataclass(frozen=True, slots=True)
class Only:
    """Which calls: `key` is one of theirs, `text` what it is to be: `*` and `?` stand for anything, 3-7 for a range."""

    key: str
    text: str
    least: int = 0
    most: int = 0

    def chooses(self, asked: Asked) -> bool:
        """True for such a call."""
        value = getattr(asked, self.key)
        if self.key in NUMBERS:
            return self.least <= int(value) <= self.most
        return fnmatchcase(str(value), self.text)


@dataclass(frozen=True, slots=True)
class Rule:
    """One fault of a plan. Without windows it is always on; `share` of the attempts that it is for are struck."""

    fault: Fault
    values: Mapping[str, Any]
    told: tuple[tuple[str, str], ...] = ()  # the keys that were given, as they were written
    windows: tuple[Window, ...] = ()
    share: float = 1.0
    share_text: str = ""
    only: tuple[Only, ...] = ()

    @property
    def local(self) -> bool:
        """True for a fault of the process, not of a call."""
        return self.fault.group is Group.LOCAL

    def on(self, at_s: float, phase: str) -> bool:
        """True within its windows."""
        return not self.windows or any(window.holds(at_s, phase) for window in self.windows)

    def covers(self, asked: Asked) -> bool:
        """True for an attempt that it is for, chance aside."""
        return (
            self.on(asked.at_s, asked.phase)
            and all(only.chooses(asked) for only in self.only)
            and self.fault.applies(asked)
        )

    @property
    def text(self) -> str:
        """The rule in the grammar of `--faults`."""
        return self._written(f":{self.share_text}" if self.share_text else "")

    @property
    def identity(self) -> str:
        """What chance knows the rule by: its text without the share, so that more of a share strikes the same and more.

        Other rules of the plan have no part in it.
        """
        return self._written("")

    def _written(self, share: str) -> str:
        keys = ",".join(f"{key}={value}" for key, value in self.told)
        windows = "".join(f"@{window.text}" for window in self.windows)
        only = ";".join(f"{only.key}={only.text}" for only in self.only)
        return f"{self.fault.name}({keys}){windows}{share}" + (f"{{{only}}}" if only else "")
