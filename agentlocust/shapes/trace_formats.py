"""What recorded traffic looks like on disk: four formats, told apart by what the file holds.

- Azure's LLM inference traces, CSV: `TIMESTAMP,ContextTokens,GeneratedTokens` (2023, and 2024 with a time zone).
- BurstGPT, CSV: `Timestamp` in seconds, `Request tokens`, `Response tokens`; other columns are not read.
- Mooncake, JSON lines: `timestamp` in ms, `input_length`, `output_length`, `hash_ids` of blocks of 512 tokens.
- our own, JSON lines: `t` in seconds, `input`, `output`, `prompt`, `class`; `input` or `prompt` must be there.

An output of 0 tokens is a recorded failure. The request was sent, so it arrives; its output is unknown.
"""

from __future__ import annotations

import csv
import json
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

from agentlocust.errors import ConfigError

MAX_BYTES = 200_000_000
MAX_ROWS = 5_000_000
MAX_TOKENS = 1_000_000
MAX_TEXT = 4_000_000  # bytes of one prompt
MAX_BLOCKS = 10_000  # a row: 5 M tokens
MAX_CLASSES = 200
MAX_NUMBER = 1e15  # of seconds or ms, in JSON
SECOND_NS = 10**9
YEAR_NS = 366 * 86_400 * SECOND_NS
UNKNOWN = -1

_STAMP = re.compile(
    r"(\d{4}-\d\d-\d\d)[ T](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9})\d{0,9})?\s*(?:Z|([+-])(\d\d):?(\d\d))?", re.ASCII
)
_WHOLE = re.compile(r"\d{1,18}(?:\.0{1,9})?", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,18}(?:\.\d{1,18})?(?:[eE][+-]?\d{1,2})?", re.ASCII)
_FORMATS = "an Azure or BurstGPT CSV, Mooncake JSONL, or JSONL of {t, input, output}"


@dataclass(slots=True)
class Arrivals:
    """Recorded requests, one a row, in columns: nanoseconds from the first row's time, and sizes in tokens.

    A size of -1 is unknown. A row's blocks are those from the end of the row before to its own end.
    """

    times_ns: array[int] = field(default_factory=lambda: array("q"))
    inputs: array[int] = field(default_factory=lambda: array("i"))
    outputs: array[int] = field(default_factory=lambda: array("i"))
    blocks: array[int] = field(default_factory=lambda: array("q"))
    block_ends: array[int] = field(default_factory=lambda: array("q"))
    classes: array[int] = field(default_factory=lambda: array("B"))
    class_names: list[str] = field(default_factory=lambda: [""])
    prompts: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.times_ns)

    def add(
        self, time_ns: int, input: int, output: int, blocks: Iterable[int] = (), prompt: str = "", user_class: str = ""
    ) -> None:
        """Append a row. Raises ConfigError for more classes than can be told apart."""
        if user_class not in self.class_names:
            if len(self.class_names) > MAX_CLASSES:
                raise ConfigError(f"more than {MAX_CLASSES} classes", where="class")
            self.class_names.append(user_class)
        if prompt:
            self.prompts[len(self)] = prompt
        self.times_ns.append(time_ns)
        self.inputs.append(input)
        self.outputs.append(output or UNKNOWN)
        self.blocks.extend(blocks)
        self.block_ends.append(len(self.blocks))
        self.classes.append(self.class_names.index(user_class))

    def blocks_of(self, row: int) -> tuple[int, ...]:
        """The ids of a row's blocks."""
        return tuple(self.blocks[self.block_ends[row - 1] if row else 0 : self.block_ends[row]])

    def picked(self, rows: Iterable[int]) -> Arrivals:
        """These rows alone, in this order."""
        found = Arrivals(class_names=list(self.class_names))
        for row in rows:
            if row in self.prompts:
                found.prompts[len(found)] = self.prompts[row]
            found.times_ns.append(self.times_ns[row])
            found.inputs.append(self.inputs[row])
            found.outputs.append(self.outputs[row])
            found.blocks.extend(self.blocks_of(row))
            found.block_ends.append(len(found.blocks))
            found.classes.append(self.classes[row])
        return found


def read_arrivals(path: str) -> Arrivals:
    """The file's rows as they stand. Raises ConfigError with `file:line:column` for whatever is wrong with it."""
    lines = ((number, line) for number, line in text_lines(path, "--trace") if line.strip())
    first = next(lines, None)
    if first is None:
        raise ConfigError("an empty file", where=path, hint=f"give {_FORMATS}")
    number, line = first
    every = chain([first], lines)
    reader: Callable[[Any], _Row]
    if line.lstrip().startswith("{"):
        reader = _json_reader(json_object(line, path, number), f"{path}:{number}")
        rows: Iterator[tuple[int, Any]] = ((number, json_object(line, path, number)) for number, line in every)
    else:
        rows = csv_rows(every, path)
        reader = _csv_reader(next(rows, (number, list[str]()))[1], f"{path}:{number}")
    found, origin = Arrivals(), None
    for number, row in rows:
        try:
            time_ns, *rest = reader(row)
            origin = time_ns if origin is None else origin
            if abs(time_ns - origin) > YEAR_NS:
                raise ConfigError("more than a year from the first row", where="time", hint="is it another unit?")
            found.add(time_ns - origin, *rest)
        except ConfigError as error:
            raise ConfigError(error.what, where=f"{path}:{number}:{error.where}", hint=error.hint) from None
        if len(found) > MAX_ROWS:
            raise ConfigError(f"more than {MAX_ROWS:,} rows", where=f"{path}:{number}", hint="cut the file down")
    if not found:
        raise ConfigError("holds no arrivals", where=path, hint=f"give {_FORMATS}")
    return found


# -- files that people hand us, also read by the dataset ---------------------------------------


def text_lines(path: str, option: str) -> Iterator[tuple[int, str]]:
    """The numbered lines of a UTF-8 file, blank ones too. Raises ConfigError; `option` asked for the file."""
    read, number = 0, 0
    try:
        if not Path(path).is_file():
            raise ConfigError(f"no such file: {path}", where=option)
        with Path(path).open("rb") as file:
            for number, raw in enumerate(file, 1):
                read += len(raw)
                if read > MAX_BYTES:
                    raise ConfigError(f"larger than {MAX_BYTES // 1_000_000} MB", where=path, hint="cut it down")
                yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError("not UTF-8", where=f"{path}:{number}", hint="save the file as UTF-8") from error
    except OSError as error:
        raise ConfigError(f"cannot read it: {error.strerror or error}", where=path) from error
    except ValueError as error:  # a NUL in the name
        raise ConfigError(f"not a file name: {path!r}", where=option) from error


def csv_rows(lines: Iterable[tuple[int, str]], path: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file with the line each ends at, the header first, blank ones left out. Raises ConfigError."""
    at = 1

    def numbered() -> Iterator[str]:
        nonlocal at
        for at, line in lines:  # noqa: B007 (told to the rows below)
            yield line

    usual = csv.field_size_limit(MAX_TEXT)
    try:
        for row in csv.reader(numbered(), strict=True):
            if any(cell.strip() for cell in row):
                yield at, row
    except csv.Error as error:
        raise ConfigError(f"not valid CSV: {error}", where=f"{path}:{at}") from error
    finally:
        csv.field_size_limit(usual)


def json_object(line: str, path: str, number: int) -> dict[str, Any]:
    """The JSON object on one line. Raises ConfigError."""
    where = f"{path}:{number}"
    try:
        found = json.loads(line)
    except json.JSONDecodeError as error:
        raise ConfigError(f"not JSON: {error.msg}", where=where, hint="one JSON object a line") from error
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits; ten thousand brackets
        raise ConfigError("JSON that is too deep or holds too long a number", where=where) from error
    if not isinstance(found, dict):
        raise ConfigError("not a JSON object", where=where, hint="one JSON object a line")
    return found


def whole_number(value: object, key: str, low: int, high: int) -> int:
    """A whole number from JSON or from a cell of CSV. Raises ConfigError that names `key`."""
    number = UNKNOWN
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        number = int(value.strip().partition(".")[0])
    elif isinstance(value, float) and value.is_integer():
        number = int(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    if not low <= number <= high:
        shown = "it is not there" if value is None else f"{str(value)[:40]!r} is not one"
        raise ConfigError(f"{shown}: a whole number from {low} to {high} is needed", where=key)
    return number


def prompt_text(value: object, key: str) -> str:
    """Text fit to be sent: not blank, at most 4 MB, no half characters. Raises ConfigError that names `key`."""
    if not isinstance(value, str):
        raise ConfigError(f"{type(value).__name__} is not text", where=key, hint="only text can be sent")
    if not value.strip():
        raise ConfigError("an empty prompt", where=key)
    raw = value.encode("utf-8", "replace")  # JSON can hold half a surrogate pair, which no wire takes
    if len(raw) > MAX_TEXT:
        raise ConfigError(f"a prompt larger than {MAX_TEXT // 1_000_000} MB", where=key, hint="leave it out")
    return value if value.isascii() else raw.decode()


# -- the formats -------------------------------------------------------------------------------

_Row = tuple[Any, ...]  # what `Arrivals.add` takes, the time not yet counted from the first row


def _csv_reader(header: list[str], where: str) -> Callable[[list[str]], _Row]:
    """Reads a row, by what the header says."""
    names = [name.strip().lower() for name in header]
    if {"timestamp", "contexttokens", "generatedtokens"} <= set(names):
        keys, clock = ("TIMESTAMP", "ContextTokens", "GeneratedTokens"), _stamp
    elif {"timestamp", "request tokens", "response tokens"} <= set(names):
        keys, clock = ("Timestamp", "Request tokens", "Response tokens"), _seconds_cell
    else:
        raise ConfigError("the columns of no known format", where=where, hint=f"give {_FORMATS}")
    columns = [names.index(key.lower()) for key in keys]

    def read(row: list[str]) -> _Row:
        if len(row) <= max(columns):
            raise ConfigError(f"{len(row)} columns where the header has {len(names)}", where=keys[-1])
        return (
            clock(row[columns[0]], keys[0]),
            whole_number(row[columns[1]], keys[1], 0, MAX_TOKENS),
            whole_number(row[columns[2]], keys[2], 0, MAX_TOKENS),
        )

    return read


def _json_reader(first: Mapping[str, Any], where: str) -> Callable[[Mapping[str, Any]], _Row]:
    """Reads a row, by what the first one holds."""
    if "timestamp" in first and "input_length" in first:
        return _mooncake
    if "t" in first:
        return _own
    raise ConfigError("the keys of no known format", where=where, hint=f"give {_FORMATS}")


def _mooncake(row: Mapping[str, Any]) -> _Row:
    ids = row.get("hash_ids") or []
    if not isinstance(ids, list) or len(ids) > MAX_BLOCKS:
        raise ConfigError(f"not a list of at most {MAX_BLOCKS:,} block ids", where="hash_ids")
    return (
        _number_ns(row.get("timestamp"), "timestamp", 10**6),
        whole_number(row.get("input_length"), "input_length", 0, MAX_TOKENS),
        whole_number(row.get("output_length"), "output_length", 0, MAX_TOKENS),
        [whole_number(block, "hash_ids", 0, 2**63 - 1) for block in ids],
    )


def _own(row: Mapping[str, Any]) -> _Row:
    unknown = sorted(row.keys() - {"t", "input", "output", "prompt", "class"})
    if unknown:
        what = f"{unknown[0][:40]!r} is not a key of ours"
        raise ConfigError(what, where="keys", hint="write t, input, output, prompt or class")
    prompt = prompt_text(row["prompt"], "prompt") if row.get("prompt") is not None else ""
    sized = row.get("input") is not None or not prompt
    return (
        _number_ns(row.get("t"), "t", SECOND_NS),
        whole_number(row.get("input"), "input", 0, MAX_TOKENS) if sized else UNKNOWN,
        whole_number(row.get("output") or 0, "output", 0, MAX_TOKENS),
        (),
        prompt,
        class_name(row["class"], "class") if row.get("class") is not None else "",
    )


def class_name(value: object, key: str) -> str:
    """The name of a User class. Raises ConfigError that names `key`."""
    if not isinstance(value, str) or not value.isidentifier() or len(value) > 100:
        raise ConfigError(f"{str(value)[:40]!r} is not the name of a class", where=key)
    return value


def _number_ns(value: object, key: str, unit_ns: int) -> int:
    """Nanoseconds from a JSON number of some unit."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < MAX_NUMBER:  # NaN neither
        raise ConfigError("it is not there" if value is None else "it is not a usable number", where=key)
    return round(value * unit_ns)


def _seconds_cell(cell: str, key: str) -> int:
    """Nanoseconds from seconds in a cell of CSV."""
    if not _NUMBER.fullmatch(cell.strip()):
        raise ConfigError(f"{cell[:40]!r} is not a number of seconds", where=key)
    return int(Decimal(cell.strip()) * SECOND_NS)


def _stamp(cell: str, key: str) -> int:
    """Nanoseconds from a date and time with up to nine decimals of a second; what follows them is dropped."""
    found = _STAMP.fullmatch(cell.strip())
    try:
        if found is None:
            raise ValueError
        day, hour, minute, second, fraction, sign, off_hour, off_minute = found.groups()
        seconds = _days(day) * 86_400 + int(hour) * 3600 + int(minute) * 60 + int(second)
    except ValueError:
        hint = "write 2023-11-16 18:17:03.9799600"
        raise ConfigError(f"{cell[:40]!r} is not a date and time", where=key, hint=hint) from None
    if sign:
        seconds -= int(sign + "1") * (int(off_hour) * 3600 + int(off_minute) * 60)
    return seconds * SECOND_NS + int((fraction or "").ljust(9, "0"))


@lru_cache(maxsize=512)
def _days(day: str) -> int:
    return date.fromisoformat(day).toordinal()
