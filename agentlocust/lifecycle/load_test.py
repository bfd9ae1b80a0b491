"""One load test: when it began, what it was asked for, and what came of it."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import Event

from agentlocust.errors import ConfigError
from agentlocust.health import Health
from agentlocust.ledger import Ledger
from agentlocust.lifecycle.observation import is_condition
from agentlocust.lifecycle.options import Settings
from agentlocust.lifecycle.proxied import Proxied
from agentlocust.lifecycle.proxying import Proxying
from agentlocust.lifecycle.quota import Quota
from agentlocust.lifecycle.reports import Reports
from agentlocust.lifecycle.spending import Spending
from agentlocust.lifecycle.watching import Watching
from agentlocust.metrics import Kind
from agentlocust.mock.embedded import EmbeddedMock
from agentlocust.rating import load_rating
from agentlocust.records import MAIN_PHASE, WARMUP_PHASE
from agentlocust.shapes.dataset import repeat_warning
from agentlocust.shapes.stage import Finding, Load
from agentlocust.summary import Phase, Summary, TestFacts, build_summary
from agentlocust.summary.bottleneck import bottleneck
from agentlocust.summary.drift import drifts
from agentlocust.summary.generator import hold_to_rating
from agentlocust.summary.load_model import ShapeModel
from agentlocust.users.base import MOCK_HOST
from agentlocust.windows import Windows
from agentlocust.wire.target import Target

if TYPE_CHECKING:
    from locust.env import Environment
    from locust.runners import Runner

    from agentlocust.lifecycle.driver import Span

MAX_USER_POINTS = 100_000


@dataclass(slots=True)
class LoadTest:
    """The state of one test on the node that judges it (alone or the master)."""

    number: int
    settings: Settings
    environment: Environment
    runner: Runner
    ledger: Ledger
    reports: Reports
    health: Health = field(default_factory=Health)
    mock: EmbeddedMock | None = None
    id: str = ""
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    started: float = field(default_factory=time.monotonic)
    measured_from: float = 0.0
    begun: bool = False  # everyone is ready, users may start
    ended: float = 0.0
    stop_reason: str = ""
    signal: int = 0
    most_users: int = 0
    users_at: dict[int, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    departed: list[str] = field(default_factory=list)
    ticker: gevent.Greenlet | None = None
    wake: Event = field(default_factory=Event)  # the ticker should look now
    spans: list[Span] = field(default_factory=list)  # phases of a driven test
    finding: Finding | None = None
    quota: Quota = field(default_factory=Quota)
    watching: Watching | None = None
    spending: Spending | None = None
    proxying: Proxying | None = None
    proxied: Proxied | None = None
    windows: Windows = field(init=False)  # as far as their phases have come

    def __post_init__(self) -> None:
        self.windows = self.settings.windows
        self.measured_from = self.started
        stem = Path(self.environment.locustfile or "locustfile").stem
        self.id = f"{self.started_at:%Y-%m-%dT%H-%M-%S}-{stem}"

    def restart_measuring(self) -> None:
        """Locust's statistics were reset: what came before does not count."""
        self.ledger.clear()
        self.health.clear()
        self.measured_from = time.monotonic()
        self.users_at.clear()

    def note_users(self, users: int) -> None:
        """Remember how many users there are now."""
        self.most_users = max(self.most_users, users)
        if len(self.users_at) < MAX_USER_POINTS:
            self.users_at[int(time.monotonic() - self.measured_from)] = users

    def summary(self) -> Summary:
        """The Summary as things stand, without a verdict."""
        summary = build_summary(self.ledger, self._facts())
        if self.ended and summary.generator is not None and self.settings.out is not None:
            rating = load_rating(self.settings.out)
            if rating is not None:
                hold_to_rating(summary, rating, target_is_here=self._target_is_here())
        if self.ended:
            summary.drift = drifts(summary)
            limited = bottleneck(summary)
            summary.bottleneck = {
                "limit": limited.limit.value,
                "sentence": limited.sentence,
                "evidence": list(limited.evidence),
            }
        return summary

    def _faults(self) -> dict[str, Any]:
        """What was broken on purpose: the plan, and how often each of its faults struck an attempt."""
        plan = self.settings.faults
        if not plan:
            return {}
        counts = self.ledger.counts

        def told(kind: Kind) -> dict[str, int]:
            rows = [row.counts for _, row in self.ledger.select(kind)]
            own = ("injected", "failed", "injected_failed")
            struck, failed, injected = (
                sum(row.get(name, 0) - row.get(f"inside:{name}", 0) for row in rows) for name in own
            )
            return {"struck": struck, "injected_failed": injected, "organic_failed": failed - injected}

        calls = told(Kind.LLM)
        return {
            "plan": plan.text,
            "seed": self.settings.seed,
            "at": self.settings.faults_at,
            "rules": plan.spans(),
            "counts": {name: counts.get(f"fault:{name}", 0) for name in plan.names},
            "calls": calls["struck"],
            "injected_failed": calls["injected_failed"],
            "organic_failed": calls["organic_failed"],
            "runs": told(Kind.AGENT),
            "tools": told(Kind.TOOL),
        }

    def _target_is_here(self) -> bool:
        try:
            return self.mock is not None or Target.parse(self.environment.host or "").origin.is_loopback
        except ConfigError:  # a host that only other Users understand
            return False

    def _facts(self) -> TestFacts:
        now = self.ended or time.monotonic()
        duration = now - self.measured_from
        warmup = min(max(self.settings.warmup_s - (self.measured_from - self.started), 0.0), duration)
        phases = [Phase(MAIN_PHASE, warmup, duration, self.runner.user_count or self.most_users)]
        if warmup:
            phases.insert(0, Phase(WARMUP_PHASE, 0.0, warmup))
        if self.spans:
            phases = self._driven_phases()
        lost = self.reports.lost() if self.ended else []
        return TestFacts(
            id=self.id,
            locustfile=self.environment.locustfile or "",
            started=self.started_at.isoformat(timespec="seconds"),
            duration_s=duration,
            host=MOCK_HOST if self.mock is not None else self.environment.host or "",
            seed=self.settings.seed,
            workers=len(self.reports.workers),
            users=self.most_users,
            settings=self._settings(),
            versions=versions(),
            stop_reason=self.stop_reason,
            signal=self.signal,
            budget_picousd=self.settings.budget.total,
            faults=self._faults(),
            # What is open yet is looked at as if it ended now.
            windows=self.windows.entered("", self.spans[-1].end_s if self.ended and self.spans else duration),
            budget=self.spending.facts() if self.spending is not None else {},
            validity="degraded" if self.problems or lost else "strained" if self.departed else "valid",
            validity_reasons=[*self.problems, *(f"worker {name} left before the end" for name in self.departed)],
            workers_lost=lost,
            health=self.health,
            saturated_allowed=self.settings.allow_saturated,
            phases=phases,
            shape=self._shape(),
            monitor=self.watching.summary() if self.watching is not None else {},
            warnings=self._warnings(),
            users_at=self.users_at,
        )

    def _driven_phases(self) -> list[Phase]:
        """The phases that the driver held; what their calls took beyond the last is in none."""
        shape = self.settings.load.shape
        assert shape is not None
        late = self.measured_from - self.started  # spans count from the start, a summary from the last reset
        found = []
        for span in self.spans:
            start_s, end = max(span.start_s - late, 0.0), max(span.end_s - late, 0.0)
            if end > start_s or not late:
                users = round(span.level) if shape.load is Load.USERS else self.settings.load.pool
                rate = span.level if shape.load is Load.RATE else None
                found.append(Phase(span.phase, start_s, end, users, rate))
        return found

    def _warnings(self) -> list[str]:
        counts, plan = self.ledger.counts, self.settings.load
        if plan.dataset is None:
            return [*self._missed_faults(), *plan.notes]
        repeated = repeat_warning(counts.get("prompts_given", 0), counts.get("prompts_repeated", 0))
        told = (*self._missed_faults(), plan.dataset.warning(), repeated, *plan.notes, *plan.dataset.notes)
        return [text for text in told if text]

    def _missed_faults(self) -> list[str]:
        """The faults of the plan that struck nothing: a phase that never was, a call that nobody makes."""
        if not self.ended:
            return []
        counts = self.ledger.counts
        missed = [name for name in self.settings.faults.names if not counts.get(f"fault:{name}")]
        return [f"the fault {name} struck nothing: look at its windows, phases and calls" for name in missed]

    def _shape(self) -> ShapeModel | None:
        plan = self.settings.load
        if plan.shape is None:
            return None
        finding = self.finding or Finding(("the test ended before its shape was through",))
        return ShapeModel(
            name=plan.shape.name,
            load=plan.shape.load.value,
            settings=dict(plan.shape.settings),
            complete=self.finding is not None,
            searches=plan.shape.searches,
            conditions=self._conditions() if plan.shape.searches else [],
            sentences=list(finding.sentences) if self.ended else [],
            figures=dict(finding.figures),
            metrics=dict(finding.metrics),
        )

    def _conditions(self) -> list[str]:
        return [check.text for check in self.settings.checks if is_condition(check) and not check.default]

    def _settings(self) -> dict[str, Any]:
        options = self.environment.parsed_options
        own = {key: value for key, value in vars(options).items() if key.startswith("agentlocust_")}
        locust = {key: getattr(options, key, None) for key in ("num_users", "spawn_rate", "run_time", "processes")}
        classes = [cls.__name__ for cls in self.environment.user_classes]
        stop_timeout = self.environment.stop_timeout
        return {
            **{key.removeprefix("agentlocust_"): _without_blanks(value) for key, value in own.items()},
            **locust,
            "stop_timeout_s": stop_timeout,
            "user_classes": classes,
            "target": "embedded mock" if self.mock is not None else "host",
        }


def _without_blanks(value: Any) -> Any:
    return [item for item in value if item] if isinstance(value, list) else value


def versions() -> dict[str, str]:
    """Versions of what made the numbers."""
    found = {"python": platform.python_version(), "platform": platform.platform(terse=True)}
    for package in ("agentlocust", "locust", "gevent", "openai", "anthropic", "geventhttpclient"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
