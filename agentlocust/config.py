"""Config files: YAML without its traps, and every error with its file, line and key.

Only the JSON-like core of YAML is read. Keys are text, `no` and `2026-01-01` stay text, tags,
duplicate keys and alias bombs are refused; so a file means what it looks like.
"""

from __future__ import annotations

import difflib
import math
import re
import typing
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ValidationError

from agentlocust import units
from agentlocust.errors import ConfigError

MAX_BYTES = 1_000_000
MAX_VALUES = 100_000  # counted after aliases are expanded
MAX_DEPTH = 50
MAX_PROBLEMS = 20

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml reads ten times as fast
_CONSTANTS: dict[str, bool | None] = {"": None, "~": None, "null": None, "true": True, "false": False}
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,18})\Z")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]{1,4})?\Z")
_STR_TAGS = (None, "!", "tag:yaml.org,2002:str")

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class _Mark:
    """Where a value stands: its line, and the marks of what it holds."""

    line: int  # 0: not in a file
    size: int = 1
    children: dict[str | int, _Mark] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data (dict, list, str, int, float, bool, None) that knows the line of each value."""

    data: Any
    source: str
    mark: _Mark

    def where(self, *path: str | int) -> str:
        """`file:line:key` of the value at `path`, or of the nearest value above it."""
        mark = self.mark
        for step in path:
            mark = mark.children.get(step, mark)
        key = ".".join(str(step) for step in path)
        place = f"{self.source}:{mark.line}" if mark.line else self.source
        return f"{place}:{key}" if key else place

    @classmethod
    def of(cls, data: Any, source: str) -> Document:
        """Data that a locustfile holds, as if it had been read: for `validate` and its messages."""
        return cls(data, source, _Mark(0))


def load_yaml(path: str | Path) -> Document:
    """Read a YAML or JSON file. Raises ConfigError with file and line for whatever is wrong with it."""
    path = Path(path)
    return parse_yaml(read_text(path, MAX_BYTES), str(path))


def read_text(path: Path, most: int) -> str:
    """The text of a file that a user names, of at most so many bytes. Raises ConfigError with its name."""
    try:
        if not path.is_file():
            raise ConfigError(f"no such file: {path}" if not path.exists() else f"not a file: {path}")
        with path.open("rb") as file:
            raw = file.read(most + 1)
    except OSError as error:
        raise ConfigError(f"cannot read it: {error.strerror or error}", where=str(path)) from error
    except ValueError as error:  # a NUL in the name
        raise ConfigError(f"not a file name: {str(path)!r}") from error
    if len(raw) > most:
        raise ConfigError(f"larger than {most // 10**6} MB", where=str(path))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError("not UTF-8", where=f"{path}:{line}", hint="save the file as UTF-8") from error


def parse_yaml(text: str, source: str = "<text>") -> Document:
    """Read YAML or JSON text; `source` names it in errors. Raises ConfigError."""
    if len(text) > MAX_BYTES:
        raise ConfigError("larger than 1 MB", where=source)
    try:
        return _Reader(text, source).document()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError("a character that YAML does not allow", where=f"{source}:{line}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{source}:{mark.line + 1}" if mark else source
        raise ConfigError(f"not valid YAML: {error.problem or error.context}", where=where) from error
    except UnicodeEncodeError as error:
        raise ConfigError("not UTF-8", where=source) from error


def validate(document: Document, model: type[Model]) -> Model:
    """The document as a pydantic model. Raises one ConfigError that lists every problem with its place."""
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        problems = [_problem(document, model, detail) for detail in error.errors(include_url=False)]
    if len(problems) == 1:
        raise problems[0]
    shown = [str(problem) for problem in problems[:MAX_PROBLEMS]]
    if len(problems) > MAX_PROBLEMS:
        shown.append(f"… and {len(problems) - MAX_PROBLEMS} more")
    raise ConfigError(f"{len(problems)} problems in {document.source}:\n  " + "\n  ".join(shown))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?`, or "" when nothing known is near."""
    near = difflib.get_close_matches(word[:100].lower(), list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else ""


def _as_value_error(parse: typing.Callable[[object], float | int]) -> BeforeValidator:
    def read(value: object) -> float | int:
        try:
            return parse(value)
        except ConfigError as error:
            raise ValueError(str(error)) from error

    return BeforeValidator(read)


# Field types for models: written as people write them, held in base units.
Duration = Annotated[float, _as_value_error(units.parse_duration)]  # seconds
Money = Annotated[int, _as_value_error(units.parse_money)]  # pico-dollars
Percent = Annotated[float, _as_value_error(units.parse_percent)]  # a ratio
Rate = Annotated[float, _as_value_error(units.parse_rate)]  # per second


class _Reader:
    """Builds data and marks from YAML's events, which (unlike nodes) come without recursion or expansion."""

    def __init__(self, text: str, source: str) -> None:
        self._source = source
        self._events: Any = yaml.parse(text, Loader=_Loader)
        self._anchors: dict[str, tuple[Any, _Mark]] = {}

    def _next(self) -> Any:
        return next(self._events)

    def document(self) -> Document:
        self._next()  # the start of the stream
        event = self._next()
        if isinstance(event, yaml.StreamEndEvent):
            return Document(None, self._source, _Mark(1))
        data, mark = self._value(self._next(), 0)
        self._next()  # the end of the document
        event = self._next()
        if not isinstance(event, yaml.StreamEndEvent):
            raise self._error("a second document", event, "keep one document in a file")
        return Document(data, self._source, mark)

    def _value(self, event: Any, depth: int) -> tuple[Any, _Mark]:
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise self._error(f"unknown alias *{event.anchor}", event)
            return self._anchors[event.anchor]
        if depth > MAX_DEPTH:
            raise self._error(f"nested deeper than {MAX_DEPTH} levels", event)
        if event.tag not in _STR_TAGS:
            raise self._error(f"tags are not allowed: {event.tag}", event, "remove it")
        if isinstance(event, yaml.ScalarEvent):
            found = self._scalar(event), _Mark(_line(event))
        elif isinstance(event, yaml.SequenceStartEvent):
            found = self._list(event, depth)
        else:
            found = self._dict(event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = found
        return found

    def _scalar(self, event: Any) -> Any:
        text = event.value
        if not event.implicit[0]:  # quoted, or tagged !!str
            return text
        if text.lower() in _CONSTANTS:
            return _CONSTANTS[text.lower()]
        if _INT.match(text):
            return int(text)
        if _FLOAT.match(text):
            number = float(text)
            if math.isinf(number):
                raise self._error(f"{text} is too large a number", event)
            return number
        return text

    def _list(self, start: Any, depth: int) -> tuple[list[Any], _Mark]:
        data: list[Any] = []
        children: dict[str | int, _Mark] = {}
        size = 1
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            value, mark = self._value(event, depth + 1)
            children[len(data)] = mark
            data.append(value)
            size = self._grown(size, mark, event)
        return data, _Mark(_line(start), size, children)

    def _dict(self, start: Any, depth: int) -> tuple[dict[str, Any], _Mark]:
        data: dict[str, Any] = {}
        children: dict[str | int, _Mark] = {}
        size = 1
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise self._error("a key that is not text", event)
            if event.tag not in _STR_TAGS:
                raise self._error(f"tags are not allowed: {event.tag}", event, "remove it")
            key, line = event.value, _line(event)
            if key in data:
                first = children[key].line
                raise ConfigError(
                    f"duplicate key {key!r}", where=f"{self._source}:{line}:{key}", hint=f"first on line {first}"
                )
            value, mark = self._value(self._next(), depth + 1)
            data[key] = value
            children[key] = _Mark(line, mark.size, mark.children)
            size = self._grown(size, mark, event)
        return data, _Mark(_line(start), size, children)

    def _grown(self, size: int, mark: _Mark, event: Any) -> int:
        size += mark.size
        if size > MAX_VALUES:
            raise self._error(f"more than {MAX_VALUES:,} values", event, "aliases count as often as they are used")
        return size

    def _error(self, what: str, event: Any, hint: str = "") -> ConfigError:
        return ConfigError(what, where=f"{self._source}:{_line(event)}", hint=hint)


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _problem(document: Document, model: type[BaseModel], detail: Any) -> ConfigError:
    """One of pydantic's error details as a ConfigError."""
    path = _known_path(document, detail["loc"])
    what, hint = detail["msg"].removeprefix("Value error, "), ""
    if detail["type"] == "extra_forbidden":
        known = _fields_at(model, detail["loc"][:-1])
        what = f"unknown key {detail['loc'][-1]!r}"
        hint = did_you_mean(str(detail["loc"][-1]), known) or ("known keys: " + ", ".join(sorted(known)))
    elif detail["type"] == "missing":
        what = f"missing key {detail['loc'][-1]!r}"
    elif detail["type"] == "model_type":
        what = "should be a mapping of keys to values"
    return ConfigError(what, where=document.where(*path), hint=hint)


def _known_path(document: Document, loc: tuple[str | int, ...]) -> list[str | int]:
    """`loc` without pydantic's own steps (names of union members, `[key]`)."""
    path: list[str | int] = []
    mark = document.mark
    for number, step in enumerate(loc):
        if step in mark.children:
            mark = mark.children[step]
            path.append(step)
        elif number == len(loc) - 1 and mark.children and step != "[key]":
            path.append(step)  # a missing key
    return path


def _fields_at(model: type[BaseModel], loc: Iterable[str | int]) -> list[str]:
    """The keys that the model found by following `loc` accepts."""
    models = {model}
    for step in loc:
        inner: set[type[BaseModel]] = set()
        for candidate in models:
            for name, info in candidate.model_fields.items():
                if step in (name, info.alias):
                    inner |= _models_in(info.annotation)
        models = inner or {candidate for candidate in models if step == candidate.__name__} or models
    return [info.alias or name for candidate in models for name, info in candidate.model_fields.items()]


def _models_in(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {found for argument in typing.get_args(annotation) for found in _models_in(argument)}
