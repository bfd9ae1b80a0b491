"""Evidence from XML reports of other tools: coverage and JUnit. Entities are refused, nothing is fetched."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

from agentlocust.errors import ConfigError
from agentlocust.gonogo.checklist import CoverageEvidence, JunitEvidence
from agentlocust.gonogo.finding import Finding, Scene, aged, red
from agentlocust.gonogo.paths import read_bounded
from agentlocust.units import show_percent

MAX_BYTES = 50_000_000
_JUNIT_COUNTS = ("tests", "failures", "errors", "skipped")


@dataclass
class _Seen:
    """The attributes of the root, and of each element of the wanted name that lies in no other of it."""

    root: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    elements: list[dict[str, str]] = field(default_factory=list)
    depth: int = 0


def judge_coverage(evidence: CoverageEvidence, scene: Scene) -> Finding:
    """The whole line rate of the report, as old as the report says it is."""
    try:
        seen = _read(scene.folder / evidence.file, "coverage")
        if seen.root != "coverage":
            return red(f"{evidence.file} is no coverage report: its root is <{seen.root[:40]}>")
        rate = _ratio(seen.attributes)
        made = datetime.fromtimestamp(_seconds(seen.attributes.get("timestamp", "")), UTC)
    except ConfigError as error:
        return red(str(error))
    except (ValueError, OverflowError, OSError):
        return red(f"{evidence.file} does not say how much it covers, or when")
    text = f"{show_percent(rate)} of lines, asked at least {show_percent(evidence.at_least)}"
    if rate < evidence.at_least:
        return red(text, made)
    return aged(text, made, scene, evidence.max_age)


def judge_junit(evidence: JunitEvidence, scene: Scene) -> Finding:
    """All suites together, as old as the oldest says it is."""
    try:
        seen = _read(scene.folder / evidence.file, "testsuite")
        if seen.root not in ("testsuites", "testsuite") or not seen.elements:
            return red(f"{evidence.file} is no JUnit report")
        counts = {name: sum(int(suite.get(name) or 0) for suite in seen.elements) for name in _JUNIT_COUNTS}
        made = min(_time(suite.get("timestamp", "")) for suite in seen.elements)
    except ConfigError as error:
        return red(str(error))
    except ValueError:
        return red(f"{evidence.file} does not say how many tests there were, or when")
    if min(counts.values()) < 0:
        return red(f"{evidence.file} has negative counts")
    bad, ran = counts["failures"] + counts["errors"], counts["tests"] - counts["skipped"]
    if bad:
        return red(f"{bad} of {counts['tests']} tests failed", made)
    if ran < evidence.at_least:
        return red(f"{ran} tests ran ({counts['skipped']} skipped), asked at least {evidence.at_least}", made)
    return aged(f"{ran} tests passed", made, scene, evidence.max_age)


def _read(path: Path, element: str) -> _Seen:
    """What the file holds. Raises ConfigError for what is not XML, or plays tricks with entities."""
    raw = read_bounded(path, MAX_BYTES)
    seen = _Seen()

    def start(name: str, attributes: Mapping[str, str]) -> None:
        if not seen.root:
            seen.root, seen.attributes = name, dict(attributes)
        if name == element:
            if not seen.depth:
                seen.elements.append(dict(attributes))
            seen.depth += 1

    def end(name: str) -> None:
        seen.depth -= name == element

    def refuse(*_: object) -> NoReturn:
        raise ConfigError(f"{path.name} declares entities, which no report needs")

    # A document type is let pass (some writers name Cobertura's), as long as it declares nothing.
    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.EntityDeclHandler = refuse
    parser.UnparsedEntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse
    try:
        parser.Parse(raw, True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise ConfigError(f"{path.name} is not XML: {str(error)[:100]}") from error
    return seen


def _ratio(attributes: Mapping[str, str]) -> float:
    """From the counts, where there are any: the rate itself is rounded. Raises ValueError."""
    rate = float(attributes["line-rate"]) if "line-rate" in attributes else math.nan
    if "lines-valid" in attributes:
        valid, covered = int(attributes["lines-valid"]), int(attributes["lines-covered"])
        if not 0 <= covered <= valid or not valid:
            raise ValueError("counts that cannot be")
        if not abs(covered / valid - rate) <= 0.01:
            raise ValueError("rate and counts differ")
        return covered / valid
    if not 0 <= rate <= 1:
        raise ValueError("a rate that cannot be")
    return rate


def _seconds(text: str) -> float:
    """coverage.py writes milliseconds, others seconds: a number of today tells which. Raises ValueError."""
    number = float(text)
    return number / 1000 if number > 1e11 else number


def _time(text: str) -> datetime:
    """A time without a zone is this machine's."""
    found = datetime.fromisoformat(text)
    return found.astimezone(UTC)
