"""Recorded traffic played again: when requests came, and how large they were.

`FILE:speed=2,from=10s,cut=60s,loop=yes,class=Name`. `from` and `cut` choose a stretch of the recording, in its own
time: from 10 s after its first arrival, for 60 s. `speed` then plays that stretch faster. `loop` plays it again after
its length: the `cut` where the recording goes on beyond it, else the last arrival's time and one mean gap. `class`
gives the rows that name no User class of their own to this one.
"""

from __future__ import annotations

import difflib
import re
import sys
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from agentlocust import units
from agentlocust.errors import ConfigError
from agentlocust.shapes.trace_formats import SECOND_NS, UNKNOWN, Arrivals, class_name, read_arrivals

MAX_SPEED = 1000.0
_OPTIONS_FOLLOW = re.compile(r":(?=[a-z_]+=)")
_COLUMNS = (
    ("times_ns", "q"),
    ("inputs", "i"),
    ("outputs", "i"),
    ("blocks", "q"),
    ("block_ends", "q"),
    ("classes", "B"),
)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One arrival: when it is due, from the start of the replay, and what was asked then; sizes in tokens.

    `blocks` are the ids of the prompt's blocks of 512 tokens: prompts that begin with the same ids
    begin with the same text. `prompt` is the recorded text, `user_class` who sends it; "" when not recorded.
    """

    at_ns: int
    input: int | None
    output: int | None
    blocks: tuple[int, ...] = ()
    prompt: str = ""
    user_class: str = ""


@dataclass(frozen=True, slots=True)
class Trace:
    """A recording as it is to be played: sorted by time, cut, at its speed. `notes` are for the person to read."""

    source: str
    arrivals: Arrivals
    length_ns: int
    loop: bool = False
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.arrivals)

    @property
    def times_ns(self) -> array[int]:
        """When each arrives, from the start of the replay."""
        return self.arrivals.times_ns

    @property
    def inputs(self) -> array[int]:
        """Tokens of each prompt, -1 when unknown."""
        return self.arrivals.inputs

    @property
    def outputs(self) -> array[int]:
        """Tokens of each reply, -1 when unknown."""
        return self.arrivals.outputs

    @property
    def classes(self) -> tuple[str, ...]:
        """The User classes that the rows name, "" among them when some name none."""
        return tuple(dict.fromkeys(self.arrivals.class_names[number] for number in sorted(set(self.arrivals.classes))))

    def of_class(self, name: str) -> Trace:
        """The rows of one User class, with the length of the whole."""
        arrivals = self.arrivals
        wanted = {number for number, known in enumerate(arrivals.class_names) if known == name}
        return replace(
            self, arrivals=arrivals.picked(row for row, each in enumerate(arrivals.classes) if each in wanted)
        )

    def part(self, index: int, count: int) -> list[Any]:
        """Every `count`-th arrival from the `index`-th on, ready for msgpack; `TracePart.decode` reads it."""
        part = self.arrivals.picked(range(index, len(self), count))
        columns = [_pack(getattr(part, name)) for name, _ in _COLUMNS]
        rows = list(part.prompts)
        texts = list(part.prompts.values())
        return [self.length_ns if self.loop else 0, part.class_names, rows, texts, *columns]


@dataclass(frozen=True, slots=True)
class TracePart:
    """One worker's share of a trace; it begins again each `length_ns`, unless that is 0."""

    arrivals: Arrivals
    length_ns: int

    @classmethod
    def decode(cls, payload: list[Any]) -> TracePart:
        """The part that `Trace.part` wrote."""
        length_ns, class_names, rows, texts, *columns = payload
        arrivals = Arrivals(class_names=list(class_names), prompts=dict(zip(rows, texts, strict=True)))
        for (name, typecode), raw in zip(_COLUMNS, columns, strict=True):
            setattr(arrivals, name, _unpack(typecode, raw))
        return cls(arrivals, length_ns)

    def __len__(self) -> int:
        return len(self.arrivals)

    def starts(self, after_ns: int = 0) -> Iterator[Arrival]:
        """The arrivals due at `after_ns` or later, in order; without end when the trace loops."""
        if not self.arrivals:
            return
        lap = after_ns // self.length_ns if self.length_ns else 0
        row = bisect_left(self.arrivals.times_ns, after_ns - lap * self.length_ns)
        while True:
            for each in range(row, len(self.arrivals)):
                yield self._start(each, lap * self.length_ns)
            if not self.length_ns:
                return
            lap, row = lap + 1, 0

    def _start(self, row: int, lap_ns: int) -> Arrival:
        arrivals = self.arrivals
        asked, replied = arrivals.inputs[row], arrivals.outputs[row]
        return Arrival(
            at_ns=lap_ns + arrivals.times_ns[row],
            input=None if asked == UNKNOWN else asked,
            output=None if replied == UNKNOWN else replied,
            blocks=arrivals.blocks_of(row),
            prompt=arrivals.prompts.get(row, ""),
            user_class=arrivals.class_names[arrivals.classes[row]],
        )


def load_trace(text: str) -> Trace:
    """The trace that `FILE:speed=2,…` asks for. Raises ConfigError with `file:line:column`."""
    path, asked = file_and_options(text, "--trace", _READERS)
    arrivals = read_arrivals(path)
    notes = []
    late = _out_of_order(arrivals.times_ns)
    if late:
        notes.append(f"{path}: {late:,} of {len(arrivals):,} rows were out of order, and were sorted by time")
        arrivals = arrivals.picked(sorted(range(len(arrivals)), key=arrivals.times_ns.__getitem__))
    arrivals, length = _stretch(arrivals, asked.get("from", 0), asked.get("cut"), path)
    speed = asked.get("speed", 1.0)
    times = array("q", (int(time / speed) for time in arrivals.times_ns)) if speed != 1 else arrivals.times_ns
    loop = asked.get("loop", False)
    if loop and not length:
        hint = "say how long a pass is with cut=60s"
        raise ConfigError("its arrivals have no gap to be repeated by", where="--trace:loop", hint=hint)
    names = [asked.get("class", ""), *arrivals.class_names[1:]]
    arrivals = replace(arrivals, times_ns=times, class_names=names)
    return Trace(path, arrivals, max(int(length / speed), times[-1] + 1), loop, tuple(notes))


def file_and_options(text: str, option: str, readers: Mapping[str, Callable[[str], Any]]) -> tuple[str, dict[str, Any]]:
    """The file and the settings in `FILE:key=value,…`. Raises ConfigError; `option` is where it was given."""
    path, *rest = _OPTIONS_FOLLOW.split(text.strip(), maxsplit=1)
    found: dict[str, Any] = {}
    for part in rest[0].split(",") if rest else ():
        key, _, value = (piece.strip() for piece in part.partition("="))
        if key not in readers:
            near = difflib.get_close_matches(key, readers, n=1)
            hint = f"did you mean {near[0]}?" if near else f"write {', '.join(readers)}"
            raise ConfigError(f"no setting {key[:40]!r}", where=option, hint=hint)
        if key in found:
            raise ConfigError(f"{key} is given twice", where=f"{option}:{key}", hint="keep one of them")
        try:
            found[key] = readers[key](value)
        except ConfigError as error:
            raise ConfigError(error.what, where=f"{option}:{key}", hint=error.hint) from None
    if not path:
        raise ConfigError("no file is named", where=option, hint=f"write {option} FILE")
    return path, found


def choice(*words: str) -> Callable[[str], str]:
    """A reader for one of these words."""

    def read(text: str) -> str:
        if text not in words:
            raise ConfigError(f"{text[:40]!r} is not a choice", hint=f"write {' or '.join(words)}")
        return text

    return read


def _stretch(arrivals: Arrivals, start: int, cut: int | None, path: str) -> tuple[Arrivals, int]:
    """The arrivals of a stretch of sorted ones, in its own time, and its length; 0 when it has none."""
    origin = arrivals.times_ns[0] + start
    last = arrivals.times_ns[-1] - origin
    first_row = bisect_left(arrivals.times_ns, origin)
    end_row = len(arrivals) if cut is None else bisect_left(arrivals.times_ns, origin + cut)
    if first_row >= end_row:
        end = f" and {units.show_seconds((start + cut) / SECOND_NS)}" if cut is not None else " and its end"
        what = f"no arrivals between {units.show_seconds(start / SECOND_NS)}{end}"
        raise ConfigError(what, where=path, hint=f"it lasts {units.show_seconds((last + start) / SECOND_NS)}")
    if first_row or end_row < len(arrivals):
        arrivals = arrivals.picked(range(first_row, end_row))
    times = array("q", (time - origin for time in arrivals.times_ns))
    if cut is not None and last >= cut:
        length = cut
    else:
        gap = (times[-1] - times[0]) // (len(times) - 1) if len(times) > 1 else 0
        length = times[-1] + gap if gap else 0
    return replace(arrivals, times_ns=times), length


def _out_of_order(times: array[int]) -> int:
    """How many come later in the file than one that happened after them."""
    late, latest = 0, times[0]
    for time in times:
        if time < latest:
            late += 1
        else:
            latest = time
    return late


def _pack(column: array[int]) -> bytes:
    """Little-endian, as nearly every machine has it."""
    return _native(column).tobytes()


def _unpack(typecode: str, raw: bytes) -> array[int]:
    column = array(typecode)
    column.frombytes(raw)
    return _native(column)


def _native(column: array[int]) -> array[int]:
    if sys.byteorder == "little":
        return column
    swapped = array(column.typecode, column)
    swapped.byteswap()
    return swapped


def _speed(text: str) -> float:
    speed = units.parse_number(text)
    if not 1 / MAX_SPEED <= speed <= MAX_SPEED:
        raise ConfigError(f"{text} is not a speed", hint=f"write a number from {1 / MAX_SPEED} to {MAX_SPEED:.0f}")
    return speed


def _span_ns(text: str) -> int:
    return round(units.parse_duration(text) * SECOND_NS)


def _cut_ns(text: str) -> int:
    length = _span_ns(text)
    if not length:
        raise ConfigError("a cut of no length", hint="write cut=60s")
    return length


_READERS: dict[str, Callable[[str], Any]] = {
    "speed": _speed,
    "from": _span_ns,
    "cut": _cut_ns,
    "loop": lambda text: choice("yes", "no")(text) == "yes",
    "class": lambda text: class_name(text, "class"),
}
