"""Gathers the checks of a test from its Users, options and files, and adds those nobody may forget."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from agentlocust.config import Document, Duration, load_yaml, validate
from agentlocust.errors import ConfigError
from agentlocust.sla.expression import Check, parse_check

Source = str | Path | Mapping[str, Any]

DEFAULT_ERROR_RATE = "error_rate < 1%"
DEFAULT_TASK_ERRORS = "sum(task_errors) <= 0"
MAX_CHECKS = 1000

_ERROR_METRICS = frozenset(
    {"error_rate", "availability", "run_error_rate", "tool_error_rate", "failed", "runs_failed", "tools_failed"}
)
_FILE_ENDINGS = (".yaml", ".yml", ".json")


class LongForm(BaseModel):
    """A check with its conditions: `{check: …, abort: true, after: 30s, min_samples: 100, name: …}`."""

    model_config = ConfigDict(extra="forbid")

    check: str
    name: str = Field(default="", max_length=100)
    abort: bool = False
    after: Duration = 0.0
    min_samples: int = Field(default=1, ge=1)


class SlaFile(BaseModel):
    """A file of checks: `sla: ['p95(ttft) < 800ms', {check: …, abort: true}]`."""

    model_config = ConfigDict(extra="forbid")

    sla: list[str | LongForm]


def load_checks(
    sources: Iterable[Source], *, own_metrics: Iterable[str] = (), has_goodput: bool = True, where: str = ""
) -> list[Check]:
    """The checks of all sources, with the default ones added; none when no source holds any.

    A source is a check, a mapping in the long form, or a file: a Path, or text that ends in .yaml,
    .yml or .json or names an existing file. The same check given twice counts once. `where` names
    the place of sources that are not files. Raises ConfigError.
    """
    own = list(own_metrics)
    checks: dict[Check, None] = {}
    for source in sources:
        for text, form, place in _forms(source, where):
            check = parse_check(text, own_metrics=own, has_goodput=has_goodput, where=place)
            if form is not None:
                check = dataclasses.replace(
                    check, name=form.name, abort=form.abort, after=form.after, min_samples=form.min_samples
                )
            checks[check] = None
    if len(checks) > MAX_CHECKS:
        raise ConfigError(f"more than {MAX_CHECKS} checks", where=where)
    return with_defaults(list(checks))


def with_defaults(checks: list[Check]) -> list[Check]:
    """The checks, and those that an SLA has unless it speaks of them: on errors of calls and of tasks."""
    if not checks:
        return []
    named = {check.metric.name for check in checks}
    added = []
    if not named & _ERROR_METRICS:
        added.append(parse_check(DEFAULT_ERROR_RATE, default=True))
    if "task_errors" not in named:
        added.append(parse_check(DEFAULT_TASK_ERRORS, default=True))
    return checks + added


def _forms(source: Source, where: str) -> Iterable[tuple[str, LongForm | None, str]]:
    """Text, long form and place of each check of a source."""
    if isinstance(source, Mapping):
        form = validate(Document.of(dict(source), where or "sla"), LongForm)
        return [(form.check, form, where)]
    if isinstance(source, Path) or _names_a_file(source):
        document = load_yaml(source)
        if isinstance(document.data, list):
            raise ConfigError("a list of checks without its key", where=document.where(), hint="begin with `sla:`")
        found: list[tuple[str, LongForm | None, str]] = []
        for index, item in enumerate(validate(document, SlaFile).sla):
            if isinstance(item, str):
                found.append((item, None, document.where("sla", index)))
            else:
                found.append((item.check, item, document.where("sla", index, "check")))
        return found
    return [(source, None, where)]


def _names_a_file(source: object) -> bool:
    if not isinstance(source, str):
        return False
    text = source.strip()
    if text.lower().endswith(_FILE_ENDINGS):
        return True
    try:
        return bool(text) and Path(text).is_file()
    except (OSError, ValueError):  # too long for a name, or a NUL in it: a check then
        return False
