"""Loads written down in a file: a YAML list of stages, or a CSV of (second, users)."""

from __future__ import annotations

import csv
import io
from itertools import pairwise
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from agentlocust import units
from agentlocust.config import Document, Duration, Rate, did_you_mean, load_yaml, read_text, validate
from agentlocust.errors import ConfigError
from agentlocust.shapes.keys import MAX_SECONDS, MAX_STAGES, Asked, Key, refused
from agentlocust.shapes.levels import MAX_LEVEL, level_name, shown
from agentlocust.shapes.patterns import play
from agentlocust.shapes.stage import Load, Shape, Stage
from agentlocust.units import show_span

MAX_BYTES = 4_000_000
MAX_ROWS = 100_000
_FORBIDDEN = set(";{}=,")

STAGES_KEYS = (Key("file", str, "-", "YAML list of {name, users or rate, duration, ramp}"),)
CSV_KEYS = (Key("file", str, "-", "CSV with the columns second and users (or rate)"),)


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = ""
    users: int | None = Field(default=None, ge=0, le=MAX_LEVEL)
    rate: Annotated[Rate, Field(ge=0, le=MAX_LEVEL)] | None = None
    duration: Annotated[Duration, Field(gt=0, le=MAX_SECONDS)]
    ramp: Duration = 0.0

    @property
    def level(self) -> float:
        """The users or the rate, whichever is given."""
        return float(self.users if self.users is not None else self.rate or 0)


def stages(asked: Asked) -> Shape:
    """The stages of a YAML file; the ramp at the start of one is a phase of its own. Raises ConfigError."""
    path = _path(asked, "stages")
    document = load_yaml(path)
    if not isinstance(document.data, list) or not 1 <= len(document.data) <= MAX_STAGES:
        raise ConfigError(
            f"not a list of 1 to {MAX_STAGES:,} stages",
            where=document.where(),
            hint="write - {users: 30, duration: 5m} on a line for each",
        )
    entries = [
        validate(Document(data, document.source, document.mark.children[index]), _Entry)
        for index, data in enumerate(document.data)
    ]
    load = _load_of(entries, document)
    if load is Load.USERS and asked.load is Load.RATE:
        raise refused(
            f"{path} holds users, and --rate asks for a rate", "file", "write rate in it, or leave out --rate"
        )
    made: list[Stage] = []
    before = 0.0
    for index, entry in enumerate(entries):
        name = entry.name or level_name(entry.level, load)
        if _FORBIDDEN & set(name) or not name.isprintable() or name != name.strip() or len(name) > 60:
            where = document.where(index, "name")
            raise ConfigError(f"{name[:60]!r} is not a phase's name", where=where, hint="without ; , { } and =")
        if entry.ramp >= entry.duration:
            where = document.where(index, "ramp")
            raise ConfigError("the ramp leaves nothing of the stage", where=where, hint="the duration includes it")
        seconds = asked.scaled(entry.duration)
        ramp = entry.ramp * asked.time_scale
        if ramp:
            made.append(Stage(f"{name} (ramp)", ramp, before, entry.level))
        made.append(Stage.hold(name, seconds - ramp, entry.level))
        before = entry.level
    return _shape("stages", load, made, path)


def table(asked: Asked) -> Shape:
    """The load of a CSV file: straight lines between its rows, time counted from the first. Raises ConfigError."""
    path = _path(asked, "csv")
    load, rows = _rows(path)
    if load is Load.USERS and asked.load is Load.RATE:
        raise refused(f"{path} holds users, and --rate asks for a rate", "file", "name the column rate")
    made = [
        Stage("csv", (later - second) * asked.time_scale, level, end)
        for (second, level), (later, end) in pairwise(rows)
        if later > second
    ]
    if not made:
        raise ConfigError("no time passes in it", where=str(path), hint="two rows at least, of different seconds")
    return _shape("csv", load, made, path)


def _shape(name: str, load: Load, made: list[Stage], path: Path) -> Shape:
    most = max(max(stage.start, stage.end) for stage in made)
    total = sum(stage.seconds for stage in made)
    if not most:
        raise ConfigError("it holds no load at all", where=str(path), hint="a level above 0 in one place at least")
    settings = {"file": str(path), "unit": str(load), "stages": len(made), "duration_s": total}
    return Shape(name, load, settings, most, total, lambda: play(made))


def _path(asked: Asked, name: str) -> Path:
    if not asked.has("file"):
        raise refused(f"{name} needs a file", "file", f"write {name}:FILE")
    return asked.folder / str(asked.get("file", ""))


def _load_of(entries: list[_Entry], document: Document) -> Load:
    """What all entries are in. Raises ConfigError when that is not one thing."""
    for index, entry in enumerate(entries):
        if (entry.users is None) == (entry.rate is None):
            raise ConfigError(
                "a stage needs users or a rate, one of them",
                where=document.where(index),
                hint="write users: 30",
            )
        if (entry.rate is None) != (entries[0].rate is None):
            raise ConfigError("stages in users and in rates do not mix", where=document.where(index), hint="choose one")
    return Load.USERS if entries[0].rate is None else Load.RATE


def _rows(path: Path) -> tuple[Load, list[tuple[float, float]]]:
    reader = csv.reader(io.StringIO(read_text(path, MAX_BYTES), newline=""))
    rows: list[tuple[float, float]] = []
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        load = _columns(header, path)
        columns = header.index("second"), header.index("users" if load is Load.USERS else "rate")
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            where = f"{path}:{reader.line_num}"
            if len(row) <= max(columns):
                raise ConfigError(f"{len(row)} columns of {len(header)}", where=where)
            second = _number(row[columns[0]], f"{where}:second", MAX_SECONDS * 1000)
            level = _number(row[columns[1]], f"{where}:{header[columns[1]]}", MAX_LEVEL)
            if load is Load.USERS and level != int(level):
                raise ConfigError(f"{level:g} users cannot be", where=f"{where}:users", hint="users are whole")
            if rows and second < rows[-1][0]:
                raise ConfigError(
                    f"second {second:g} comes after {rows[-1][0]:g}", where=f"{where}:second", hint="sort the rows"
                )
            rows.append((second, level))
            if len(rows) > MAX_ROWS:
                raise ConfigError(f"more than {MAX_ROWS:,} rows", where=where)
    except csv.Error as error:
        raise ConfigError(f"not a CSV file: {error}", where=f"{path}:{reader.line_num}") from error
    if rows and rows[-1][0] - rows[0][0] > MAX_SECONDS:
        raise ConfigError("longer than 30 days", where=str(path))
    return load, rows


def _columns(header: list[str], path: Path) -> Load:
    if "second" not in header or ("users" in header) == ("rate" in header):
        near = next((hint for name in header if (hint := did_you_mean(name, ["second", "users", "rate"]))), "")
        hint = near if near and "second" not in header else "begin with the line: second,users"
        raise ConfigError("needs the columns second and users (or rate)", where=f"{path}:1", hint=hint)
    return Load.USERS if "users" in header else Load.RATE


def _number(text: str, where: str, most: float) -> float:
    try:
        number = units.parse_number(text)
    except ConfigError as error:
        raise ConfigError(error.what, where=where, hint=error.hint) from None
    if not 0 <= number <= most:
        raise ConfigError(f"{text.strip()} is out of range", where=where, hint=f"from 0 to {most:,.0f}")
    return number


def tell(shape: Shape) -> str:
    """The file's load in a line."""
    settings = shape.settings
    most, span = shown(shape.most, shape.load), show_span(settings["duration_s"])
    return f"{settings['stages']} stages of {settings['file']}, up to {most}, {span} in all"
