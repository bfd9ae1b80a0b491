"""What the detectors found in a test's runs."""

from __future__ import annotations

from collections.abc import Sequence

from agentlocust.ledger import Ledger
from agentlocust.summary.model import FindingModel, Row


def findings(rows: Sequence[Row], ledger: Ledger) -> list[FindingModel]:
    """Each kind of finding: in how many runs, and the run that shows it most plainly; the most frequent first."""
    runs: dict[str, int] = {}
    for row in rows:
        for kind, count in row.findings.items():
            runs[kind] = runs.get(kind, 0) + count
    found = []
    for kind, count in sorted(runs.items(), key=lambda item: (-item[1], item[0])):
        example = ledger.captured.example(kind)
        told = [each["sentence"] for each in example.get("findings", ()) if each["kind"] == kind]
        found.append(FindingModel(kind=kind, runs=count, sentence=told[0] if told else "", example=example))
    return found
