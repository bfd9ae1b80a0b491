"""Detectors on real runs: `python tests/reliability/detectors.py --runs 1`.

One test holds twenty agent runs of one kind, sick or healthy, from `locustfiles/pathologies.py`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from studies import study  # isort: skip  # puts the harness on the path

from agentlocust.records import FindingKind
from harness import ROOT, run

RUNS = 20
SPEC = "ttft=5ms,itl=1ms,tokens=8"


def found(directory: Path, kind: FindingKind, *, sick: bool) -> list[str]:
    """Every sick run is found, with a sentence and an example; no healthy run is, of any kind."""
    args = ("Sick" if sick else "Healthy", "--tags", kind.value, "--mock", SPEC, "--agent-runs", str(RUNS))
    result = run(directory, ROOT / "locustfiles" / "pathologies.py", *args, users=4, run_time="60s")
    summary = result.summary
    runs = {found["kind"]: found["runs"] for found in summary["findings"]}
    wanted = {kind.value: RUNS} if sick else {}
    problems = [f"{found['kind']} has no example" for found in summary["findings"] if not found["example"]["steps"]]
    if runs != wanted or summary["totals"]["runs"] != RUNS:
        problems.append(f"found {runs or 'nothing'} in {summary['totals']['runs']} runs, not {wanted or 'nothing'}")
    for finding in summary["findings"]:
        print(f"    {finding['kind']}: {finding['sentence']}")
    return problems


if __name__ == "__main__":
    trials = [
        (f"{kind.value} {'sick' if sick else 'healthy'}", partial(found, kind=kind, sick=sick))
        for kind in FindingKind
        for sick in (True, False)
    ]
    study(f"Detectors on {RUNS} real runs each", trials)
