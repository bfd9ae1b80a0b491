"""What an agent run is made of: its calls, its tools and the runs within it, as values without texts.

What a step says of a tool's arguments and results are digests and sizes. Their texts are kept only
when a test was asked to (`--capture-texts`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jiter

from agentlocust.usage import Usage

MAX_STEPS = 500  # of a run that are kept; those beyond are counted
_MAX_DONE = 10_000  # tools of a run that are remembered
_LARGE = 1 << 20  # characters of JSON from elsewhere that are looked into


@dataclass(frozen=True, slots=True)
class ToolAsk:
    """One tool call that a reply asked for. `problem` is "" when its arguments are as the tool's schema wants them.

    `digest` is equal for equal arguments, in whatever order and spacing they are written.
    """

    name: str
    digest: str
    problem: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class CallStep:
    """One LLM call. `started` is monotonic seconds, `ttft` and `ttfo` count from it; `failure` is its kind or "".

    `repeats` is True when its request begins as the one before it in the same conversation did.
    """

    name: str
    model: str
    started: float
    latency: float
    ttft: float | None = None
    ttfo: float | None = None
    attempts: int = 1
    usage: Usage = field(default_factory=Usage)
    cost_picousd: int | None = 0
    failure: str = ""
    asks: tuple[ToolAsk, ...] = ()
    repeats: bool = False
    agent: str = ""
    said: str = ""
    replied: str = ""


@dataclass(frozen=True, slots=True)
class ToolStep:
    """One tool call that was run. `arguments` and `result` are digests, "" when not known.

    `size` is the length of the result as text, `items` that of the JSON list in it, if there is one.
    """

    name: str
    started: float
    latency: float
    error: str = ""
    arguments: str = ""
    result: str = ""
    size: int = 0
    items: int | None = None
    agent: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class RunStep:
    """A run inside a run, with its own steps."""

    name: str
    started: float
    latency: float
    error: str = ""
    end_reason: str = ""
    cost_picousd: int | None = 0
    steps: tuple[Step, ...] = ()
    steps_left_out: int = 0


Step = CallStep | ToolStep | RunStep


def parsed(text: str) -> Any:
    """A JSON text as values. Raises ValueError, and nothing else, when it is none or too large to look into."""
    if len(text) > _LARGE:
        raise ValueError("too large to look into")
    return jiter.from_json(text.encode("utf-8", "replace"), cache_mode="keys")


def digest(text: str) -> str:
    """Sixteen hexadecimal digits that are the same for JSON texts of equal content; "" for no text."""
    if not text:
        return ""
    try:
        text = json.dumps(parsed(text), sort_keys=True, separators=(",", ":"))
    except ValueError:
        pass  # not JSON: the text itself
    return raw_digest(text)


def raw_digest(text: str) -> str:
    """Sixteen hexadecimal digits of a text as it stands; "" for no text."""
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest() if text else ""


_KEYS = frozenset({"idempotency_key", "idempotencykey", "client_order_id", "clientorderid", "client_request_id"})


def key_digest(arguments: str) -> str:
    """The digest of the idempotency key among a tool's arguments; "" when there is none."""
    lowered = arguments.lower()
    if not any(name in lowered for name in _KEYS):
        return ""
    try:
        told = parsed(arguments)
    except ValueError:
        return ""
    if not isinstance(told, dict):
        return ""
    keys = [str(value) for name, value in told.items() if str(name).lower() in _KEYS and value not in (None, "")]
    return raw_digest(keys[0]) if keys else ""


class Done:
    """The tools that one run has executed, and those of the runs inside it."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: set[tuple[str, str]] = set()

    def again(self, name: str, arguments: str) -> bool:
        """A tool is executed: True when it was before, under the same idempotency key or else with equal arguments.

        One that failed counts as executed: whether it took effect first nobody knows.
        """
        done = (name, key_digest(arguments) or digest(arguments))
        if not done[1] or done in self._seen:
            return bool(done[1])
        if len(self._seen) < _MAX_DONE:
            self._seen.add(done)
        return False


def result_text(result: object) -> str:
    """A tool's result as the text a model would be told."""
    return result if isinstance(result, str) else "" if result is None else json.dumps(result, default=str)


def items_in(result: object) -> int | None:
    """How long the list in a tool's result is: the result itself, or the longest in it by name; None without one."""
    if isinstance(result, str):
        if result.lstrip()[:1] not in ("[", "{"):
            return None
        try:
            result = parsed(result)
        except ValueError:
            return None
    if isinstance(result, dict):
        lengths = [len(value) for value in result.values() if isinstance(value, list | tuple)]
        return max(lengths, default=None)
    return len(result) if isinstance(result, list | tuple) else None


def growth(inputs: Sequence[int]) -> float | None:
    """The slope of a conversation's input in tokens a turn (least squares); None for fewer than two turns."""
    n = len(inputs)
    if n < 2:
        return None
    middle, mean = (n - 1) / 2, sum(inputs) / n
    return sum((turn - middle) * (tokens - mean) for turn, tokens in enumerate(inputs)) / (n * (n * n - 1) / 12)


def conversations(steps: Sequence[Step]) -> list[list[CallStep]]:
    """The whole calls of a run in order, by the agent and the name they were made under, the longest first."""
    found: dict[tuple[str, str], list[CallStep]] = {}
    for step in steps:
        if isinstance(step, CallStep) and not step.failure:
            found.setdefault((step.agent, step.name), []).append(step)
    return sorted(found.values(), key=len, reverse=True)
