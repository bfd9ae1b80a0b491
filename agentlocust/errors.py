"""The errors a person can cause, each with one clear message: what, where, how to fix it."""

from __future__ import annotations


class AgentLocustError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigError(AgentLocustError):
    """A bad option, SLA, price file or plan: raised before any load starts, exit code 2.

    `where` is `file:line:key`, as much of it as is known; `hint` says how to fix it.
    """

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        self.what = what
        self.where = where
        self.hint = hint
        super().__init__(what, where, hint)

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head} ({self.hint})" if self.hint else head


class WireError(AgentLocustError):
    """A connection or a reply failed; `kind` names the failure (see `failures.FailureKind`)."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)
