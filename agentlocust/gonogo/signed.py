"""Evidence that people give: sign-offs, and journals of days."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

from agentlocust.errors import ConfigError
from agentlocust.gonogo.checklist import DaysEvidence, SignatureEvidence
from agentlocust.gonogo.finding import Finding, Scene, aged, red
from agentlocust.gonogo.paths import read_bounded

MAX_JOURNAL_BYTES = 50_000_000
_DAY = re.compile(r"(?<![0-9])([0-9]{4}-[0-9]{2}-[0-9]{2})(?![0-9])")


def judge_signature(evidence: SignatureEvidence, scene: Scene) -> Finding:
    """Who answers for it, and whether that still holds."""
    if not evidence.by.strip() or evidence.on is None:
        return red(f"not signed: {evidence.says}")
    day = evidence.on
    made = datetime(day.year, day.month, day.day, tzinfo=UTC)
    number = f" ({evidence.number.text})" if evidence.number is not None else ""
    text = f"{evidence.says}{number}: {evidence.by.strip()}, {day}"
    if evidence.number is not None:
        value = evidence.number.number
        if evidence.at_most is not None and value > evidence.at_most.number:
            return red(f"{text}; at most {evidence.at_most.text}", made)
        if evidence.at_least is not None and value < evidence.at_least.number:
            return red(f"{text}; at least {evidence.at_least.text}", made)
    return aged(text, made, scene, evidence.valid_for)


def journal_days(evidence: DaysEvidence, scene: Scene) -> set[date]:
    """The days of a journal: the first date of each line. Raises ConfigError when it cannot be read."""
    raw = read_bounded(scene.folder / evidence.journal, MAX_JOURNAL_BYTES)
    days = set()
    for line in raw.decode("utf-8", "replace").splitlines():
        found = _DAY.search(line)
        if found is not None:
            try:
                days.add(date.fromisoformat(found[1]))
            except ValueError as error:  # 2026-02-30
                raise ConfigError(f"{evidence.journal}: {found[1]} is not a day") from error
    return days
