"""What the mock answers: an ask, a behaviour and a seeded random source make one answer."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from collections import OrderedDict
from dataclasses import dataclass

from agentlocust.dialects.answers import Answer, FunctionCall
from agentlocust.mock.asks import Ask, clean
from agentlocust.mock.behaviour import Behaviour
from agentlocust.mock.readers import MAX_TOKENS
from agentlocust.mock.schema import value_for
from agentlocust.mock.words import WORDS, split_json, split_text
from agentlocust.usage import Usage

MAX_BODIES = 65_536  # bodies whose occurrences are remembered; the one not seen for longest goes first
_ASKED_THINKING = 16  # reasoning tokens when a request asks for thinking and the behaviour has none


@dataclass(frozen=True, slots=True)
class Plan:
    """An answer, the output tokens in each of its pieces, and its usage, told to the client or not."""

    answer: Answer
    weights: tuple[int, ...]
    usage: Usage


class Occurrences:
    """How often each body was seen, so that the n-th time the same body has its own, fixed answer."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._seen: OrderedDict[bytes, int] = OrderedDict()

    def source(self, path: str, body: object, seed: int | None = None) -> random.Random:
        """The random source of this occurrence of `body`: the same for the same seed, body and index."""
        canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
        digest = hashlib.blake2b(f"{path}\n{canonical}".encode(), digest_size=16).digest()
        index = self._seen.pop(digest, 0)
        self._seen[digest] = index + 1
        if len(self._seen) > MAX_BODIES:
            self._seen.popitem(last=False)
        chosen = self.seed if seed is None else seed
        mixed = hashlib.blake2b(b"%d/%d/" % (chosen, index) + digest, digest_size=8).digest()
        return random.Random(int.from_bytes(mixed, "big"))


def input_usage(tokens: int, behaviour: Behaviour) -> Usage:
    """The input part of a usage, its shares read from and written to the cache."""
    read = int(tokens * behaviour.cached)
    write = int(tokens * behaviour.cache_write)
    return Usage(uncached_input=tokens - read - write, cache_read=read, cache_write_5m=write)


def make_plan(ask: Ask, behaviour: Behaviour, model: str, created: int, rng: random.Random) -> Plan:
    """The answer to `ask`. An output token is one piece of text, or `bundle` of them in a piece."""
    identity = _identity(rng)
    reasoning = _words(_reasoning_tokens(ask, behaviour, rng), rng)
    text: tuple[str, ...] = ()
    calls: list[FunctionCall] = []
    if _calls_tools(ask, behaviour):
        calls = [_call(ask, rng) for _ in range(behaviour.tool_calls if ask.parallel else 1)]
    elif ask.schema is not None:
        text = split_json(json.dumps(value_for(ask.schema, rng), separators=(",", ":")))
    elif behaviour.echo == "prompt" and ask.last_user.strip():
        text = split_text(ask.last_user)
    else:
        text = _words(_text_tokens(ask, behaviour, len(reasoning), rng), rng)

    wanted = len(reasoning) + len(text) + sum(len(call.pieces) for call in calls)
    output = min(wanted, ask.limit or wanted)
    reasoning = reasoning[:output]
    text = text[: output - len(reasoning)]
    calls = _within(calls, output - len(reasoning) - len(text))
    usage = dataclasses.replace(input_usage(ask.input_tokens, behaviour), output=output, reasoning=len(reasoning))
    size = behaviour.bundle
    channels = [len(reasoning), len(text), *(len(call.pieces) for call in calls)]
    answer = Answer(
        id=identity,
        model=model,
        created=created,
        usage=usage if behaviour.usage else None,
        finish="length" if output < wanted else "tools" if calls else "stop",
        reasoning=_bundled(reasoning, size),
        text=_bundled(text, size),
        calls=tuple(FunctionCall(call.id, call.name, _bundled(call.pieces, size)) for call in calls),
    )
    weights = tuple(min(size, length - at) for length in channels for at in range(0, length, size))
    return Plan(answer, weights, usage)


def _calls_tools(ask: Ask, behaviour: Behaviour) -> bool:
    """Whether the answer calls tools: what the request demands comes before what the behaviour prefers."""
    if not ask.tools or ask.choice == "none":
        return False
    if ask.choice in ("required", "named"):
        return True
    return behaviour.tools == "always" or (behaviour.tools == "auto" and not ask.answered)


def _text_tokens(ask: Ask, behaviour: Behaviour, reasoning: int, rng: random.Random) -> int:
    if behaviour.fill and ask.limit:
        return ask.limit - reasoning
    drawn = behaviour.tokens.draw_int(rng)
    return drawn if behaviour.tokens.constant else max(1, drawn)


def _reasoning_tokens(ask: Ask, behaviour: Behaviour, rng: random.Random) -> int:
    if ask.thinking is False:
        return 0
    drawn = behaviour.reasoning_tokens.draw_int(rng)
    return _ASKED_THINKING if ask.thinking and not drawn else drawn


def _call(ask: Ask, rng: random.Random) -> FunctionCall:
    tool = rng.choice(ask.tools)
    arguments = value_for(tool.schema or {"type": "object"}, rng)
    written = json.dumps(arguments if isinstance(arguments, dict) else {}, separators=(",", ":"))
    return FunctionCall(_identity(rng), clean(tool.name), split_json(written))


def _within(calls: list[FunctionCall], limit: int) -> list[FunctionCall]:
    """`calls` cut to `limit` tokens in all; those with nothing left are dropped."""
    kept = []
    for call in calls:
        if limit > 0:
            kept.append(FunctionCall(call.id, call.name, call.pieces[:limit]))
        limit -= len(call.pieces)
    return kept


def _identity(rng: random.Random) -> str:
    return f"{rng.getrandbits(96):024x}"


def _words(number: int, rng: random.Random) -> tuple[str, ...]:
    """`number` tokens of text: words, each but the first with the space before it."""
    if number < 1:
        return ()
    drawn = rng.choices(WORDS, k=min(number, MAX_TOKENS))
    return (drawn[0], *(" " + word for word in drawn[1:]))


def _bundled(pieces: tuple[str, ...], size: int) -> tuple[str, ...]:
    if size == 1:
        return pieces
    return tuple("".join(pieces[at : at + size]) for at in range(0, len(pieces), size))
