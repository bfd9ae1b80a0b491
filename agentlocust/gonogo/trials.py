"""Evidence from tests: what their `summary.json` says came of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from agentlocust.errors import ConfigError
from agentlocust.gonogo.checklist import DaysEvidence, ScenarioEvidence, TestEvidence, parse_shown
from agentlocust.gonogo.finding import Colour, Finding, Scene, aged, red
from agentlocust.gonogo.paths import matching, read_bounded
from agentlocust.sla import evaluate
from agentlocust.summary import CheckResult, Summary, parse_summary

MAX_SUMMARY_BYTES = 100_000_000


@dataclass(frozen=True, slots=True)
class Trial:
    """A test's directory: its Summary, or why there is none."""

    folder: Path
    summary: Summary | None
    started: datetime | None
    problem: str = ""


def trials(scene: Scene, pattern: str) -> list[Trial]:
    """The tests in the directories that the pattern names, or directly below one; the newest first.

    One whose summary cannot be read comes first of all: nobody knows whether it is the newest.
    """
    found: dict[Path, Trial] = {}
    for folder in matching(scene.folder, pattern):
        for candidate in [folder] if (folder / "summary.json").exists() else _below(folder):
            place = candidate.resolve()  # `latest` is a link to one that is there already
            if place not in found:
                found[place] = _read(candidate)
    return sorted(found.values(), key=lambda trial: (trial.started is None, trial.started or scene.now), reverse=True)


def judge_test(evidence: TestEvidence, scene: Scene) -> Finding:
    """The newest test decides, also when an older one was better."""
    found = trials(scene, evidence.results)
    if not found:
        return red(f"no test in {evidence.results}")
    if evidence.locustfile:
        found = [trial for trial in found if trial.summary is None or _ran(trial.summary, evidence.locustfile)]
        if not found:
            return red(f"no test of {evidence.locustfile} in {evidence.results}")
    return _judged(found[0], scene, evidence.max_age, evidence.checks, evidence.shows)


def judge_scenarios(evidence: ScenarioEvidence, scene: Scene) -> Finding:
    """Every scenario by its newest test; the worst colour is the item's."""
    found = trials(scene, evidence.results)
    findings = {}
    for name in evidence.names:
        mine = [trial for trial in found if _bears(trial, name)]
        findings[name] = _judged(mine[0], scene, evidence.max_age) if mine else red("no test")
    details = tuple(f"{name}: {finding.colour}, {finding.text}" for name, finding in findings.items())
    colours = [finding.colour for finding in findings.values()]
    oldest = min((finding.made for finding in findings.values() if finding.made), default=None)
    worst = next((colour for colour in (Colour.RED, Colour.STALE) if colour in colours), Colour.GREEN)
    good = colours.count(Colour.GREEN)
    return Finding(worst, f"{good} of {len(colours)} scenarios passed and are recent", oldest, details)


def judge_days(evidence: DaysEvidence, scene: Scene, journal_days: set[date] | None) -> Finding:
    """Days counted once each; a day on which a test failed does not count."""
    if journal_days is not None:
        days = journal_days
    else:
        days = set()
        bad: set[date] = set()
        for trial in trials(scene, evidence.results):
            if trial.started is not None:
                (days if _passed(trial) else bad).add(trial.started.date())
        days -= bad
    today = scene.now.date()
    if any(day > today for day in days):
        return red(f"a day that is yet to come: {max(days)}")
    if evidence.within is not None:
        first = scene.now - timedelta(seconds=evidence.within)
        days = {day for day in days if _noon(day) >= first}
    if len(days) < evidence.at_least:
        return red(f"{len(days)} of {evidence.at_least} days", _noon(max(days)) if days else None)
    last = min(_noon(max(days)), scene.now)  # today's noon may be still to come
    return aged(f"{len(days)} days, the last {max(days)}", last, scene, evidence.max_age)


def _noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def _judged(
    trial: Trial,
    scene: Scene,
    max_age_s: float | None,
    checks: list[str] | None = None,
    shows: list[str] | None = None,
) -> Finding:
    summary, name = trial.summary, trial.folder.name
    if summary is None or trial.started is None:
        return red(f"{name}: {trial.problem}")
    verdict = summary.verdict
    if verdict is None:
        return red(f"{name} has no verdict", trial.started)
    if not _passed(trial):
        why = "; ".join(verdict.reasons) or verdict.status
        failed = [_said(check) for check in verdict.checks if not check.ok]
        return red(f"{name} {verdict.status} (exit {verdict.exit_code}): {why}", trial.started, failed)
    if not verdict.checks:
        return red(f"{name} had no check: that nothing was asked proves nothing", trial.started)
    seen = []
    for wanted in checks or []:
        own = [check for check in verdict.checks if wanted in (check.name, check.check)]
        if not own or not all(check.ok for check in own):
            return red(f"{name} made no check {wanted!r}" if not own else _said(own[0]), trial.started)
        seen += own
    shown = evaluate([parse_shown(text) for text in shows or []], summary)
    seen += shown
    missed = [_said(result) for result in shown if not result.ok]
    if missed:
        return red(f"{name} does not show it: {missed[0]}", trial.started, missed[1:])
    found = aged(f"{name} passed {len(verdict.checks)} checks", trial.started, scene, max_age_s)
    return Finding(found.colour, found.text, found.made, tuple(map(_said, seen)))


def _said(check: CheckResult) -> str:
    reason = f" ({check.reason})" if check.reason else ""
    return f"{check.name or check.check}: {check.observed_text}, asked {check.limit_text}{reason}"


def _passed(trial: Trial) -> bool:
    verdict = trial.summary.verdict if trial.summary is not None else None
    return (
        verdict is not None
        and verdict.exit_code == 0
        and verdict.status == "passed"
        and all(check.ok for check in verdict.checks)
    )


def _ran(summary: Summary, locustfile: str) -> bool:
    return Path(summary.test.locustfile).name.removesuffix(".py") == Path(locustfile).name.removesuffix(".py")


def _bears(trial: Trial, name: str) -> bool:
    summary = trial.summary
    if summary is not None and (
        _ran(summary, name) or any(row.kind == "AGENT" and row.name == name and row.count for row in summary.rows)
    ):
        return True
    return trial.folder.name == name or trial.folder.name.endswith(f"-{name}")


def _below(folder: Path) -> list[Path]:
    try:
        return [child for child in sorted(folder.iterdir()) if (child / "summary.json").exists()]
    except OSError:  # a file, or a folder nobody may read: no test is in it
        return []


def _read(folder: Path) -> Trial:
    try:
        summary = parse_summary(read_bounded(folder / "summary.json", MAX_SUMMARY_BYTES), "summary.json")
        started = datetime.fromisoformat(summary.test.started)
    except ConfigError as error:
        return Trial(folder, None, None, str(error))
    except ValueError:
        return Trial(folder, None, None, "summary.json has no time at which the test began")
    return Trial(folder, summary, started if started.tzinfo else started.replace(tzinfo=UTC))
