"""Judges a checklist: every item by its evidence, and one verdict."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from agentlocust.errors import ConfigError
from agentlocust.gonogo import checklist as kinds
from agentlocust.gonogo.finding import Colour, Finding, Scene, red
from agentlocust.gonogo.keys import judge_environment, judge_keys
from agentlocust.gonogo.signed import journal_days, judge_signature
from agentlocust.gonogo.trials import judge_days, judge_scenarios, judge_test
from agentlocust.gonogo.xml_reports import judge_coverage, judge_junit


@dataclass(frozen=True, slots=True)
class Judged:
    """One item and what was found of it."""

    name: str
    finding: Finding


@dataclass(frozen=True, slots=True)
class Decision:
    """The whole checklist at one moment. `go` only when every item is green."""

    title: str
    at: datetime
    items: tuple[Judged, ...]

    @property
    def go(self) -> bool:
        """True when nothing is red and nothing is stale."""
        return all(item.finding.colour is Colour.GREEN for item in self.items)

    @property
    def word(self) -> str:
        """GO or NO-GO."""
        return "GO" if self.go else "NO-GO"

    @property
    def exit_code(self) -> int:
        """0, or 99 as for a check that failed."""
        return 0 if self.go else 99

    def count(self, colour: Colour) -> int:
        """How many items have a colour."""
        return sum(item.finding.colour is colour for item in self.items)


def decide(checklist: kinds.Checklist, scene: Scene) -> Decision:
    """Judge every item. Evidence that is missing or broken makes its item red and stops no other."""
    items = tuple(Judged(item.name, _found(item.evidence, scene)) for item in checklist.items)
    return Decision(checklist.title, scene.now, items)


def _found(evidence: kinds.Evidence, scene: Scene) -> Finding:
    try:
        return _judged(evidence, scene)
    except (ConfigError, OSError, ValueError) as error:
        return red(f"cannot tell: {error}")


def _judged(evidence: kinds.Evidence, scene: Scene) -> Finding:
    match evidence:
        case kinds.TestEvidence():
            return judge_test(evidence, scene)
        case kinds.ScenarioEvidence():
            return judge_scenarios(evidence, scene)
        case kinds.DaysEvidence():
            return judge_days(evidence, scene, journal_days(evidence, scene) if evidence.journal else None)
        case kinds.CoverageEvidence():
            return judge_coverage(evidence, scene)
        case kinds.JunitEvidence():
            return judge_junit(evidence, scene)
        case kinds.KeysEvidence():
            return judge_keys(evidence, scene)
        case kinds.EnvironmentEvidence():
            return judge_environment(evidence, scene)
        case kinds.SignatureEvidence():
            return judge_signature(evidence, scene)
