"""A fault plan: what goes wrong in a test and when, from a line or a file, as one text that travels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentlocust.config import Document, did_you_mean, load_yaml
from agentlocust.errors import ConfigError
from agentlocust.faults.grammar import make_rule, parse_line, parse_only, parse_rule, parse_window
from agentlocust.faults.rules import Rule

_FILES = (".yaml", ".yml", ".json")
_SETTINGS = ("fault", "scenario", "window", "phase", "share", "only")


@dataclass(frozen=True, slots=True)
class Local:
    """What is wrong with the process that runs the agent: seconds its clock is ahead, bytes, processes."""

    skew_s: float = 0.0
    disk_full: bool = False
    memory: int = 0
    cores: int = 0

    def __bool__(self) -> bool:
        return bool(self.skew_s or self.disk_full or self.memory or self.cores)


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """The rules of a test. `text` is the whole of it in the grammar of `--faults`."""

    rules: tuple[Rule, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.rules)

    @property
    def text(self) -> str:
        """One line that `FaultPlan.parse` reads as this very plan."""
        return ", ".join(rule.text for rule in self.rules)

    @property
    def names(self) -> tuple[str, ...]:
        """The faults in it, each once."""
        return tuple(dict.fromkeys(rule.fault.name for rule in self.rules))

    @classmethod
    def parse(cls, text: str, where: str = "--faults") -> FaultPlan:
        """A plan from a line, or from the YAML file that is named. Raises ConfigError."""
        stripped = text.strip()
        if stripped.lower().endswith(_FILES) and "(" not in stripped:
            return cls.load(Path(stripped))
        return cls(parse_line(stripped, where))

    @classmethod
    def load(cls, path: Path) -> FaultPlan:
        """A plan from a YAML file: a list of lines and of mappings, or that list under `faults`. Raises ConfigError."""
        document = load_yaml(path)
        at: tuple[str | int, ...] = ()
        data = document.data
        if isinstance(data, dict):
            unknown = next((key for key in data if key != "faults"), None)
            if unknown is not None or "faults" not in data:
                hint = "write the list under faults:"
                raise ConfigError(f"no key {unknown!r} is known here", where=document.where(unknown or ""), hint=hint)
            data, at = data["faults"], ("faults",)
        if not isinstance(data, list) or not data:
            raise ConfigError("not a list of faults", where=document.where(*at), hint="write - cut(after=10):5%")
        rules: list[Rule] = []
        for index, item in enumerate(data):
            rules += _entry(document, (*at, index), item)
        return cls(tuple(rules))

    def spans(self) -> list[dict[str, Any]]:
        """When each rule is on: its text, its fault and its windows in seconds (None: until the end) or phases."""
        return [
            {
                "rule": rule.text,
                "fault": rule.fault.name,
                "windows": [
                    {"phase": window.phase}
                    if window.phase
                    else {"start_s": window.start_s, "end_s": None if math.isinf(window.end_s) else window.end_s}
                    for window in rule.windows
                ],
            }
            for rule in self.rules
        ]

    def local(self, at_s: float, phase: str) -> Local:
        """What is to be wrong with the process itself at that moment."""
        on = [rule for rule in self.rules if rule.local and rule.on(at_s, phase)]

        def total(fault: str, key: str) -> float:
            return float(sum(rule.values[key] for rule in on if rule.fault.name == fault))

        return Local(
            skew_s=total("clock_skew", "jump"),
            disk_full=any(rule.fault.name == "disk_full" for rule in on),
            memory=int(total("memory_pressure", "size")),
            cores=int(total("cpu_pressure", "cores")),
        )


def _entry(document: Document, at: tuple[str | int, ...], item: Any) -> tuple[Rule, ...]:
    where = document.where(*at)
    if isinstance(item, str):
        return parse_line(item, where)
    if not isinstance(item, dict) or ("fault" in item) == ("scenario" in item):
        raise ConfigError("not a fault", where=where, hint="write - fault: cut, or a line such as - cut(after=10):5%")
    windows = tuple(
        parse_window(text, document.where(*at, key)) for key in ("window", "phase") for text in _texts(item.get(key))
    )
    only = item.get("only", {})
    if not isinstance(only, dict):
        raise ConfigError(
            "not the calls it is for", where=document.where(*at, "only"), hint="write only: {name: refund}"
        )
    chosen = parse_only({key: _text(value) for key, value in only.items()}, document.where(*at, "only"))
    name = _text(item.get("fault", item.get("scenario")))
    if "scenario" in item:
        extra = next((key for key in item if key not in ("scenario", "window", "phase", "only")), None)
        if extra is not None:
            raise ConfigError(f"a scenario has no key {extra!r}", where=document.where(*at, extra))
        text = name + "".join(f"@{window.text}" for window in windows)
        text += "{" + ";".join(f"{each.key}={each.text}" for each in chosen) + "}" if chosen else ""
        return parse_rule(text, where)
    told = {key: _text(value) for key, value in item.items() if key not in _SETTINGS}
    _check_texts(told, document, at)
    return (make_rule(name, told, windows, _text(item.get("share", "")), chosen, where),)


def _check_texts(told: Mapping[str, str], document: Document, at: tuple[str | int, ...]) -> None:
    """The plan travels as a line: its texts must fit into one."""
    for key, value in told.items():
        if any(sign in value for sign in "(){},;=") or not value.isprintable() or not value:
            where, hint = document.where(*at, key), did_you_mean(key, _SETTINGS)
            raise ConfigError(f"{value[:40]!r} cannot be", where=where, hint=hint or "without ( ) { } , ; and =")


def _texts(value: Any) -> list[str]:
    if value is None:
        return []
    return [_text(each) for each in value] if isinstance(value, list) else [_text(value)]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value).strip()
