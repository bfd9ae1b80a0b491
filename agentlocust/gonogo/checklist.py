"""The checklist as a person writes it: items, each bound to one kind of evidence.

Whatever is wrong with the file is a ConfigError with its file, line and key; whatever is wrong
with the evidence is not: that makes its item red.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from agentlocust.config import Document, Duration, Percent, load_yaml, validate
from agentlocust.errors import ConfigError
from agentlocust.sla import Check, parse_check
from agentlocust.units import parse_money, parse_number, parse_percent

MAX_ITEMS = 200
DEFAULT_AGE_S = 14 * 86_400.0

_Text = Annotated[str, StringConstraints(min_length=1, max_length=500)]
_Name = Annotated[str, StringConstraints(min_length=1, max_length=100)]


def _day(value: object) -> date | None:
    if value in ("", None):
        return None
    try:
        return date.fromisoformat(value) if isinstance(value, str) and len(value) == 10 else _no_day(value)
    except ValueError:
        return _no_day(value)


def _no_day(value: object) -> date:
    raise ValueError(f"{str(value)[:20]!r} is not a day, write 2026-11-21")


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its unit: `%`, `$` or "". Percentages are ratios, money is in pico-dollars."""

    number: float
    unit: str
    text: str

    @classmethod
    def read(cls, value: object) -> Figure:
        """Read `10%`, `$500` or `30`. Raises ValueError."""
        text = str(value).strip()
        try:
            if text.endswith("%"):
                return cls(parse_percent(text), "%", text)
            if "$" in text:
                return cls(float(parse_money(text)), "$", text)
            return cls(parse_number(value), "", text)
        except ConfigError as error:
            raise ValueError(str(error)) from error


_Day = Annotated[date | None, BeforeValidator(_day)]
_Figure = Annotated[Figure, BeforeValidator(Figure.read)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class TestEvidence(_Strict):
    """The newest test among the directories that `results` names (a path or a pattern).

    It must have passed. `locustfile` must be what it ran; `checks` are checks it must have made itself,
    by name or text; `shows` are checks that are made on its summary now.
    """

    __test__ = False  # not a test of pytest's

    results: _Text
    locustfile: str = ""
    checks: list[_Text] = []
    shows: list[_Text] = []
    max_age: Duration | None = None


class ScenarioEvidence(_Strict):
    """Of each scenario the newest test whose agent runs, locustfile or directory bear its name."""

    results: _Text
    names: list[_Name] = Field(min_length=1, max_length=100)
    max_age: Duration | None = None

    @model_validator(mode="after")
    def _each_once(self) -> ScenarioEvidence:
        if len(set(self.names)) < len(self.names):
            raise ValueError("a scenario is named twice: each counts once")
        return self


class DaysEvidence(_Strict):
    """Days on which something ran and nothing failed: the days of passed tests, or of a journal's lines.

    A journal is a text file; the first date (2026-11-21) of a line is its day. Only days `within` count.
    """

    at_least: int = Field(ge=1, le=3650)
    results: str = ""
    journal: str = ""
    within: Duration | None = None
    max_age: Duration | None = None

    @model_validator(mode="after")
    def _one_source(self) -> DaysEvidence:
        if bool(self.results) == bool(self.journal):
            raise ValueError("give either results or journal")
        return self


class CoverageEvidence(_Strict):
    """The line rate of a coverage.xml (`coverage xml`, `pytest --cov-report=xml`)."""

    file: _Text = "coverage.xml"
    at_least: Percent
    max_age: Duration | None = None


class JunitEvidence(_Strict):
    """A JUnit file, as pytest and all others write it: no failures, no errors, `at_least` tests that ran."""

    file: _Text
    at_least: int = Field(default=1, ge=1)
    max_age: Duration | None = None


class KeysEvidence(_Strict):
    """No provider key in the files that git tracks below `repository`; `apart_from` are patterns of paths."""

    repository: _Text = "."
    apart_from: list[_Text] = []


class EnvironmentEvidence(_Strict):
    """Variables that must hold something, and such that must not. Their values are never shown."""

    holds: list[_Name] = []
    lacks: list[_Name] = []

    @model_validator(mode="after")
    def _says_something(self) -> EnvironmentEvidence:
        if not self.holds and not self.lacks:
            raise ValueError("name a variable, under holds or lacks")
        return self


class SignatureEvidence(_Strict):
    """What a person answers for: a name and a day, valid for so long; a `number`, if given, within its limits."""

    says: _Text
    by: str = Field(default="", max_length=100)
    on: _Day = None
    valid_for: Duration
    number: _Figure | None = None
    at_most: _Figure | None = None
    at_least: _Figure | None = None

    @model_validator(mode="after")
    def _one_unit(self) -> SignatureEvidence:
        limits = [limit for limit in (self.at_most, self.at_least) if limit is not None]
        if limits and self.number is None:
            raise ValueError("a limit without a number")
        if any(self.number is not None and limit.unit != self.number.unit for limit in limits):
            raise ValueError("number and limit have different units")
        return self


Evidence = (
    TestEvidence
    | ScenarioEvidence
    | DaysEvidence
    | CoverageEvidence
    | JunitEvidence
    | KeysEvidence
    | EnvironmentEvidence
    | SignatureEvidence
)
_KINDS = ("test", "scenarios", "days", "coverage", "junit", "no_keys", "environment", "signed")


class Item(_Strict):
    """A line of the checklist; exactly one kind of evidence decides it."""

    name: _Name
    test: TestEvidence | None = None
    scenarios: ScenarioEvidence | None = None
    days: DaysEvidence | None = None
    coverage: CoverageEvidence | None = None
    junit: JunitEvidence | None = None
    no_keys: KeysEvidence | None = None
    environment: EnvironmentEvidence | None = None
    signed: SignatureEvidence | None = None

    @model_validator(mode="after")
    def _bound_once(self) -> Item:
        if len([kind for kind in _KINDS if getattr(self, kind) is not None]) != 1:
            raise ValueError("an item is bound to exactly one of " + ", ".join(_KINDS))
        return self

    @property
    def evidence(self) -> Evidence:
        """What decides it."""
        found: Evidence = next(getattr(self, kind) for kind in _KINDS if getattr(self, kind) is not None)
        return found


class Checklist(_Strict):
    """What must be green before GO. Evidence older than `max_age` is stale, unless it says otherwise itself."""

    title: str = Field(default="Go or no-go", min_length=1, max_length=200)
    max_age: Duration = DEFAULT_AGE_S
    items: list[Item] = Field(min_length=1, max_length=MAX_ITEMS)

    @model_validator(mode="after")
    def _told_apart(self) -> Checklist:
        names = [item.name for item in self.items]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two items are named {twice[0]!r}")
        return self


def load_checklist(path: str | Path) -> Checklist:
    """Read a checklist. Raises ConfigError with file, line and key for whatever is wrong with it."""
    document = load_yaml(path)
    checklist = validate(document, Checklist)
    for _ in _expressions(document, checklist):
        pass  # each was parsed: a bad one is the file's mistake, not its evidence's
    return checklist


def parse_shown(text: str, where: str = "") -> Check:
    """A check that is made on a summary. Raises ConfigError."""
    return parse_check(text, where=where)


def _expressions(document: Document, checklist: Checklist) -> Iterator[Check]:
    for index, item in enumerate(checklist.items):
        if item.test is not None:
            for number, text in enumerate(item.test.shows):
                yield parse_shown(text, document.where("items", index, "test", "shows", number))
