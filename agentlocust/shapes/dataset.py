"""Prompts from a file, each worker its own part of them: `FILE:order=in-order|shuffle|sample`.

Read are JSON lines and CSV with a header (`prompt`, `input`, `question` or `text`, and `output_tokens` or
`max_tokens`; JSON lines also `messages`), and a JSON list of such objects or of ShareGPT's: `conversations` of
`{from, value}`, whose first human turn is the prompt and whose reply's length is the output.
"""

from __future__ import annotations

import json
import random
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

from agentlocust.errors import ConfigError
from agentlocust.shapes.trace import choice, file_and_options
from agentlocust.shapes.trace_formats import (
    MAX_ROWS,
    MAX_TOKENS,
    csv_rows,
    json_object,
    prompt_text,
    text_lines,
    whole_number,
)
from agentlocust.tokens import approximate
from agentlocust.units import show_percent

IN_ORDER, SHUFFLE, SAMPLE = "in-order", "shuffle", "sample"
DUPLICATES = 0.1  # of the prompts: above it a cache answers for the model
FEW_DISTINCT = 20
MAX_TURNS = 10_000

_TEXT_KEYS = ("prompt", "input", "question", "text")
_OUTPUT_KEYS = ("output_tokens", "max_tokens")
_ROLES = ("system", "developer", "user", "assistant")
_SPACE = re.compile(r"[ \t\r\n]*")


class Row(NamedTuple):
    """One prompt; 0 output tokens is unknown. `messages` is a whole conversation as JSON, "" when there is none."""

    text: str
    output: int = 0
    messages: str = ""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Prompts in the file's order. `notes` are for the person to read."""

    source: str
    rows: Sequence[Row]
    order: str
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, index: int, count: int) -> list[Any]:
        """Every `count`-th prompt from the `index`-th on, ready for msgpack; `Prompts.decode` reads it.

        With fewer prompts than workers, a worker that would have none shares one.
        """
        rows = self.rows[index::count] or [self.rows[index % len(self.rows)]]
        outputs = [row.output for row in rows]
        return [self.order, index, [row.text for row in rows], outputs, [row.messages for row in rows]]

    def warning(self) -> str:
        """Why caches may answer for the model: too many prompts are the same, or there are few; "" when neither."""
        distinct = len({row.messages or row.text for row in self.rows})
        same = 1 - distinct / len(self.rows)
        if same > DUPLICATES:
            what = f"{show_percent(same)} of the {len(self.rows):,} prompts are duplicates"
        elif distinct < FEW_DISTINCT:
            what = f"only {distinct} distinct {'prompt' if distinct == 1 else 'prompts'}"
        else:
            return ""
        return f"{self.source}: {what}: a cache in the target makes it look faster than it is"


class Prompts:
    """One worker's prompts, handed out one after the other; in order and shuffled they begin again when all are used.

    `given` counts what was handed out, `repeats` what had been handed out before.
    """

    def __init__(self, rows: Sequence[Row], order: str, key: str) -> None:
        self._rows = rows
        self._order = order
        self._key = key  # of the shuffles
        self._used = bytearray(len(rows))
        self._queue: Sequence[int] = ()
        self._at = 0
        self._passes = 0
        self.given = 0
        self.repeats = 0

    @classmethod
    def decode(cls, payload: list[Any], seed: int = 0) -> Prompts:
        """The part that `Dataset.part` wrote; `seed` is the test's."""
        order, index, texts, outputs, messages = payload
        return cls([Row(*row) for row in zip(texts, outputs, messages, strict=True)], order, f"{seed}:{index}")

    def next(self, rng: random.Random) -> Row:
        """The next prompt; `rng` draws it when they are sampled, with replacement."""
        row = rng.randrange(len(self._rows)) if self._order == SAMPLE else self._following()
        self.given += 1
        self.repeats += self._used[row]
        self._used[row] = 1
        return self._rows[row]

    def _following(self) -> int:
        if self._at == len(self._queue):
            self._queue, self._at = range(len(self._rows)), 0
            if self._order == SHUFFLE:  # anew each pass, and not by `rng`: which user asks must not matter
                self._queue = array("l", self._queue)
                random.Random(f"{self._key}:{self._passes}").shuffle(self._queue)
            self._passes += 1
        self._at += 1
        return self._queue[self._at - 1]


def repeat_warning(given: int, repeats: int) -> str:
    """Why caches may answer for the model, by what all workers' `Prompts` counted; "" when no prompt came twice."""
    if not repeats:
        return ""
    share = show_percent(repeats / given)
    return f"{share} of the {given:,} prompts sent had been sent before: a cache in the target may have answered them"


def load_dataset(text: str, count_tokens: Callable[[str], int] = approximate) -> Dataset:
    """The prompts that `FILE:order=…` asks for. Raises ConfigError with `file:line:key`.

    `count_tokens` tells the length of a reply in ShareGPT's.
    """
    path, asked = file_and_options(text, "--dataset", {"order": choice(IN_ORDER, SHUFFLE, SAMPLE)})
    rows: list[Row] = []
    skipped = 0
    for number, item in _items(path):
        try:
            row = _conversation(item, count_tokens) if "conversations" in item else _row(item)
        except ConfigError as error:
            raise ConfigError(error.what, where=f"{path}:{number}:{error.where}", hint=error.hint) from None
        if row is None:
            skipped += 1
        else:
            rows.append(row)
        if len(rows) > MAX_ROWS:
            raise ConfigError(f"more than {MAX_ROWS:,} prompts", where=f"{path}:{number}", hint="cut the file down")
    if not rows:
        raise ConfigError("holds no prompts", where=path, hint="give JSONL or CSV with a prompt, or ShareGPT JSON")
    notes = (f"{path}: {skipped:,} conversations without a human turn were left out",) if skipped else ()
    return Dataset(path, rows, asked.get("order", IN_ORDER), notes)


def _items(path: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """What the file lists, each with its line."""
    lines = text_lines(path, "--dataset")
    ahead: list[tuple[int, str]] = []
    for numbered in lines:
        ahead.append(numbered)
        if numbered[1].strip():
            break
    opening = ahead[-1][1].lstrip()[:1] if ahead else ""
    every = chain(ahead, lines)
    if opening == "[":
        yield from _json_list("".join(line for _, line in every), path)
    elif opening == "{":
        for number, line in every:
            if line.strip():
                yield number, json_object(line, path, number)
    else:
        yield from _csv_items(every, path)


def _csv_items(lines: Iterable[tuple[int, str]], path: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    rows = csv_rows(lines, path)
    number, header = next(rows, (1, []))
    names = [name.strip().lower() for name in header]
    if not set(names) & set(_TEXT_KEYS):
        what = "no column of prompts"
        raise ConfigError(what, where=f"{path}:{number}", hint=f"name one of them {', '.join(_TEXT_KEYS)}")
    for number, row in rows:
        if len(row) != len(names):
            raise ConfigError(f"{len(row)} columns where the header has {len(names)}", where=f"{path}:{number}")
        yield number, dict(zip(names, row, strict=True))


def _json_list(text: str, path: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The objects of a JSON list, one after the other, so that the whole is never held as objects."""
    decoder = json.JSONDecoder()
    at, line, counted = _after_space(text, 0) + 1, 1, 0
    while True:
        at = _after_space(text, at)
        line, counted = line + text.count("\n", counted, at), at
        if text[at : at + 1] == "]" and not text[at + 1 :].strip():
            return
        where = f"{path}:{line}"
        try:
            item, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            raise ConfigError(f"not JSON: {error.msg}", where=f"{path}:{error.lineno}") from error
        except (ValueError, RecursionError) as error:
            raise ConfigError("JSON that is too deep or holds too long a number", where=where) from error
        if not isinstance(item, dict):
            raise ConfigError("not a JSON object", where=where, hint="a list of objects is needed")
        yield line, item
        at = _after_space(text, at)
        if text[at : at + 1] == ",":
            at += 1
        elif text[at : at + 1] != "]":
            raise ConfigError("not JSON: expecting ',' or ']'", where=f"{path}:{text.count(chr(10), 0, at) + 1}")


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _row(item: Mapping[str, Any]) -> Row:
    """A prompt from its own key, or from a conversation of `messages`."""
    told = [key for key in _OUTPUT_KEYS if item.get(key) not in (None, "")]  # a blank cell tells nothing
    tokens = whole_number(item[told[0]], told[0], 1, MAX_TOKENS) if told else 0
    for name in _TEXT_KEYS:
        if item.get(name) is not None:
            return Row(prompt_text(item[name], name), tokens)
        if name == "prompt" and item.get("messages") is not None:
            return _from_messages(item["messages"], tokens)
    raise ConfigError("no prompt", where="prompt", hint=f"write one of {', '.join((*_TEXT_KEYS, 'messages'))}")


def _from_messages(messages: object, output: int) -> Row:
    """A conversation that ends with the user; its last turn is the text."""
    turns = []
    if not isinstance(messages, list) or not 0 < len(messages) <= MAX_TURNS:
        raise ConfigError("not a list of messages", where="messages")
    for turn in messages:
        role = turn.get("role") if isinstance(turn, dict) else None
        if role not in _ROLES:
            shown = "a message without a role" if role is None else f"{str(role)[:40]!r} is not a role"
            raise ConfigError(shown, where="messages", hint=f"write {', '.join(_ROLES)}")
        content = turn.get("content")
        if isinstance(content, list):
            content = "".join(_part_text(part) for part in content)
        turns.append({"role": role, "content": prompt_text(content, "messages")})
    if turns[-1]["role"] != "user":
        raise ConfigError("the last message is not the user's", where="messages", hint="end with what is asked")
    whole = json.dumps(turns, ensure_ascii=False, separators=(",", ":"))
    prompt_text(whole, "messages")  # for its size
    return Row(turns[-1]["content"], output, whole if len(turns) > 1 else "")


def _part_text(part: object) -> str:
    text = part.get("text") if isinstance(part, dict) else None
    if not isinstance(text, str):
        raise ConfigError("content that is not text", where="messages", hint="only text can be sent")
    return text


def _conversation(item: Mapping[str, Any], count_tokens: Callable[[str], int]) -> Row | None:
    """ShareGPT's: the first human turn and how long its reply was; None when no human says anything."""
    turns = item["conversations"]
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise ConfigError("not a list of turns", where="conversations")
    for number, turn in enumerate(turns):
        said = turn.get("value")
        if turn.get("from") in ("human", "user") and (said.strip() if isinstance(said, str) else said is not None):
            text = prompt_text(said, "conversations")
            reply = turns[number + 1] if number + 1 < len(turns) else {}
            answered = reply.get("from") in ("gpt", "assistant") and isinstance(reply.get("value"), str)
            return Row(text, min(count_tokens(reply["value"]), MAX_TOKENS) if answered else 0)
    return None
